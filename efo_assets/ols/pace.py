"""The pace of requests: how many at once, how long between them, when to stop. No HTTP here.

Rows in flight are what hurts OLS. So requests begin few and double every round until the server is
overloaded for the first time; from then on they grow by one a round. They halve whenever it is
overloaded, stand still together when it says `Retry-After`, go one at a time and ever more slowly
when nothing succeeds any more, and stop when that has lasted. A budget bounds those of several
processes together; who keeps it, and how, is of no concern here.
"""

import asyncio
import contextlib
import email.utils
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Protocol

Pause = Callable[[float], Awaitable[None]]
"""Wait for so many seconds; tests put in one that doesn't."""

BACKOFF_BASE_S = 0.5
BACKOFF_CAP_S = 30.0
MAX_RETRY_AFTER_S = 300.0
"""A server that asks for more than five minutes is taken to mean five minutes."""
SUSPICIOUS_FAILURES_IN_A_ROW = 8
"""From here on it is an outage rather than bad luck: one request at a time, with long pauses."""
MAX_FAILURES_IN_A_ROW = 36
"""With those under way at first, a total outage costs at most 48 requests (for 40 in flight)."""
MAX_OUTAGE_S = 600.0
"""Ten minutes without a success end a download even if few requests fitted into them."""


def backoff_s(attempt: int, rng: random.Random) -> float:
    """Seconds before attempt `attempt + 1`: exponential, with full jitter."""
    return rng.uniform(0, min(BACKOFF_CAP_S, BACKOFF_BASE_S * 2.0**attempt))


def probe_pause_s(failures_in_a_row: int, rng: random.Random) -> float:
    """Seconds between requests during an outage: 36 of them last for minutes, not seconds."""
    doublings = min(failures_in_a_row - SUSPICIOUS_FAILURES_IN_A_ROW, 6)
    return min(BACKOFF_CAP_S, 2.0**doublings) * rng.uniform(0.5, 1)


def retry_after_s(header: str | None, date: str | None) -> float | None:
    """Seconds that `Retry-After` asks for, at most five minutes; None if it asks for nothing.

    It holds whole or broken seconds, or an HTTP date, which is taken against the server's own
    `Date` so that a skewed clock here does no harm.
    """
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        now, until = _timestamp(date), _timestamp(header)
        seconds = (until or 0.0) - (time.time() if now is None else now)
    # NaN, too, is not greater than 0.
    return min(seconds, MAX_RETRY_AFTER_S) if seconds > 0 else None


def _timestamp(http_date: str | None) -> float | None:
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        return email.utils.parsedate_to_datetime(http_date or "").timestamp()
    return None


class Budget(Protocol):
    """Requests that may be under way at OLS, over all processes that ask it."""

    @property
    def overloads_elsewhere(self) -> int:
        """How often OLS told another process that it has too much to do."""

    def request(self) -> contextlib.AbstractAsyncContextManager[None]:
        """Wait until one more request may be sent; it is under way as long as the block runs."""

    def tell(self, pause_s: float | None) -> None:
        """Tell the others that OLS has too much to do, and for how long it wants no request."""


class Unshared:
    """The budget of one who shares it with nobody: as many as the gate lets through."""

    overloads_elsewhere = 0

    def request(self) -> contextlib.AbstractAsyncContextManager[None]:
        """Wait for nothing."""
        return contextlib.nullcontext()

    def tell(self, pause_s: float | None) -> None:
        """There is nobody to tell."""


class Gate:
    """Lets so many requests through at once: more a round when all is well, half when not."""

    def __init__(
        self, start: int, ceiling: int, pause: Pause, budget: Budget | None = None
    ) -> None:
        self.in_flight = 0
        self.max_in_flight_seen = 0
        self._budget = budget or Unshared()
        self._admitted = 0
        self._overloads_elsewhere = 0
        self._width = float(min(start, ceiling))
        self._ceiling = ceiling
        self._pause = pause
        self._holds = 0
        self._halvings = 0
        self._changed = asyncio.Event()

    @contextlib.asynccontextmanager
    async def slot(self) -> AsyncIterator[int]:
        """Wait for room; yields the count of halvings so far, for `overloaded`."""
        while True:
            while self._holds or self._admitted >= int(self._width):
                self._changed.clear()
                await self._changed.wait()
            self._admitted += 1
            try:
                async with self._budget.request():
                    # While it waited, OLS may have asked for less, here or of others.
                    self._heed_others()
                    if not self._holds and self._admitted <= int(self._width):
                        with self._under_way():
                            yield self._halvings
                        return
            finally:
                self._admitted -= 1
                self._changed.set()

    @contextlib.contextmanager
    def _under_way(self) -> Iterator[None]:
        self.in_flight += 1
        self.max_in_flight_seen = max(self.max_in_flight_seen, self.in_flight)
        try:
            yield
        finally:
            self.in_flight -= 1

    def _heed_others(self) -> None:
        """Halve for an overload that another process was told of."""
        if (overloads := self._budget.overloads_elsewhere) != self._overloads_elsewhere:
            self._overloads_elsewhere = overloads
            self._halve()

    def succeeded(self) -> None:
        """Double with a round of successes; grow by one if it was ever too much."""
        more = 1 / self._width if self._halvings else 1
        self._width = min(float(self._ceiling), self._width + more)
        self._changed.set()

    def overloaded(self, halvings_at_start: int) -> None:
        """Halve, once for all the requests that were under way together."""
        if halvings_at_start == self._halvings:
            self._halve()
            self._budget.tell(None)

    def _halve(self) -> None:
        self._halvings += 1
        self._width = max(1.0, self._width / 2)

    def narrow(self) -> None:
        """Let one through at a time until something succeeds again."""
        self._halvings += 1
        self._width = 1.0

    async def retry_after(self, seconds: float) -> None:
        """Let no request through for so long, as OLS asks for; of other processes neither."""
        self._budget.tell(seconds)
        await self.hold(seconds)

    async def hold(self, seconds: float) -> None:
        """Let no request through for so long."""
        self._holds += 1
        try:
            await self._pause(seconds)
        finally:
            self._holds -= 1
            self._changed.set()


class Outage:
    """Failures since the last success: is it bad luck, an outage, or time to give up?"""

    def __init__(self) -> None:
        self.failures = 0
        self.ever_succeeded = False
        self._before_success = 0
        self._since_s = 0.0

    def succeeded(self, failures_before: int) -> None:
        """Forget the failures before a success; it may be known for one when others have failed."""
        self._before_success = max(self._before_success, failures_before)
        self._since_s = time.monotonic()
        self.ever_succeeded = True

    def failed(self) -> None:
        """Count one more."""
        if not self.failures_in_a_row:
            self._since_s = time.monotonic()
        self.failures += 1

    @property
    def failures_in_a_row(self) -> int:
        """How many there were since the last success."""
        return self.failures - self._before_success

    @property
    def is_suspected(self) -> bool:
        """Whether the failures are too many for bad luck."""
        return self.failures_in_a_row >= SUSPICIOUS_FAILURES_IN_A_ROW

    @property
    def is_total(self) -> bool:
        """Whether asking on would be of no use."""
        lasted_s = time.monotonic() - self._since_s if self.failures_in_a_row > 1 else 0.0
        return self.failures_in_a_row >= MAX_FAILURES_IN_A_ROW or lasted_s > MAX_OUTAGE_S
