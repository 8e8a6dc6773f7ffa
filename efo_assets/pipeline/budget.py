"""The budget of requests to OLS that all runs share: when one takes slots, and when it gives back.

A run holds as many slots as it has requests, and no more than its share while others wait. It looks
every second how all runs stand. What holds the slots, and what other runs are told, is PostgreSQL
(`warehouse.request_slots`); so where that is out of reach, no request is sent.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import datetime
from functools import partial
from typing import Any, Self, TypeVar

from yarl import URL

from efo_assets.errors import ConnectionLost, WarehouseError
from efo_assets.ols.client import OlsClient
from efo_assets.ols.http import place_of
from efo_assets.ols.pace import Pause
from efo_assets.privacy.logs import logger
from efo_assets.settings import Settings
from efo_assets.warehouse.request_slots import RequestSlots, Seen
from efo_assets.warehouse.warehouse import Warehouse

LOOKED_EVERY_S = 1.0
LOOKED_AT_FIRST_S = 0.2
"""As long as it has no slot."""
CERTAIN_S = 3.0
"""How long after a look its slots are held for sure. A session that was lost is noticed within."""
LEAST_DRAIN_S = 2.0
AT_FIRST = 4
"""Slots that a run takes when it is alone; it needs three after its first request."""

T = TypeVar("T")

_log = logger(__name__)


@asynccontextmanager
async def ols_client(
    settings: Settings,
    warehouse: Warehouse,
    *,
    max_in_flight: int,
    pause: Pause = asyncio.sleep,
    **options: Any,
) -> AsyncIterator[OlsClient]:
    """A client of the configured OLS that keeps to the budget; before any load there is none."""
    service = place_of(URL(settings.ols_url))
    slots = await asyncio.to_thread(warehouse.request_slots, service, settings.ols_budget)
    async with AsyncExitStack() as opened:
        if slots is not None:
            budget = SharedBudget(slots, max_in_flight, pause)
            options["budget"] = await opened.enter_async_context(budget)
        client = OlsClient(
            settings.ols_url,
            max_in_flight=max_in_flight,
            pause=pause,
            proxy=settings.proxy,
            **options,
        )
        yield await opened.enter_async_context(client)


class SharedBudget:
    """This run's part of the budget, as `ols.pace.Budget`; an async context manager."""

    def __init__(self, slots: RequestSlots, most: int, pause: Pause) -> None:
        self.overloads_elsewhere = 0
        self._slots = slots
        self._most = min(most, slots.budget)
        self._pause = pause
        self._under_way = 0
        self._cut_off = 0
        """Requests that were given up, and that OLS may still be at work on."""
        self._waiting = 0
        self._most_wanted = 0
        """Since the last look."""
        self._asked = 0
        """What was wanted at the last look."""
        self._usable = 0
        """Slots that may be used; fewer than are held where some are to be given back."""
        self._certain_until_s = 0.0
        self._longest_s = 0.0
        self._marked_s = 0.0
        self._overloads_before: int | None = None
        self._overloads_told = self._untold = 0
        self._untold_pause_s: float | None = None
        self._paused_until: datetime | None = None
        self._pauses = 0
        self._failure: Exception | None = None
        self._draining: asyncio.Task[None] | None = None
        self._changed, self._wake = asyncio.Event(), asyncio.Event()
        self._tasks = set[asyncio.Task[None]]()

    async def __aenter__(self) -> Self:
        self._thread = ThreadPoolExecutor(1, "efo-budget")
        self._start(self._keep())
        return self

    async def __aexit__(self, *_: object) -> None:
        for each in self._tasks:
            each.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            # Without a connection PostgreSQL has ended them already.
            with suppress(WarehouseError):
                await self._done(self._slots.close, self._cut_off, 2 * self._longest_s)
        finally:
            self._thread.shutdown()

    @asynccontextmanager
    async def request(self) -> AsyncIterator[None]:
        """Wait until one more request may be sent; it is under way as long as the block runs.

        Raises:
            WarehouseError: PostgreSQL can't be reached, or refuses.
        """
        await self._room()
        self._under_way += 1
        began_s = time.monotonic()
        try:
            yield
        except asyncio.CancelledError:
            self._cut_off += 1
            asyncio.get_running_loop().call_later(2 * self._longest_s, self._forget_cut_off)
            raise
        finally:
            self._under_way -= 1
            self._longest_s = max(self._longest_s, time.monotonic() - began_s)
            self._changed.set()

    def tell(self, pause_s: float | None) -> None:
        """Tell the others that OLS has too much to do, and for how long it wants no request."""
        if pause_s is None:
            self._untold += 1
        else:
            self._untold_pause_s = max(pause_s, self._untold_pause_s or 0.0)
        self._wake.set()

    async def _room(self) -> None:
        self._waiting += 1
        self._most_wanted = max(self._most_wanted, self._wanted)
        try:
            while not self._has_room():
                if self._failure is not None:
                    raise self._failure
                if self._wanted > self._asked:
                    self._wake.set()
                self._changed.clear()
                await self._changed.wait()
        finally:
            self._waiting -= 1

    def _has_room(self) -> bool:
        is_certain = time.monotonic() < self._certain_until_s
        return is_certain and not self._pauses and self._in_use < self._usable

    @property
    def _in_use(self) -> int:
        return self._under_way + self._cut_off

    @property
    def _wanted(self) -> int:
        return min(self._most, self._in_use + self._waiting)

    def _forget_cut_off(self) -> None:
        self._cut_off -= 1
        self._changed.set()

    async def _keep(self) -> None:
        """Look, take and give back, again and again."""
        try:
            await self._done(self._slots.open)
            while True:
                self._wake.clear()
                try:
                    await self._turn()
                except ConnectionLost as error:
                    _log.warning("%s No request is sent to OLS until it is back.", error)
                    self._usable, self._certain_until_s = 0, 0.0
                    if self._draining is not None:
                        self._draining.cancel()
                    await self._done(self._slots.open)
                    continue
                with suppress(TimeoutError):
                    async with asyncio.timeout(
                        LOOKED_EVERY_S if self._slots.held else LOOKED_AT_FIRST_S
                    ):
                        await self._wake.wait()
        except Exception as error:  # noqa: BLE001  # raised where a request waits
            self._usable, self._failure = 0, error
            self._changed.set()

    async def _turn(self) -> None:
        began_s = time.monotonic()
        self._asked = max(self._wanted, self._most_wanted)
        self._most_wanted = 0
        await self._tell()
        seen = await self._done(self._slots.look)
        self._certain_until_s = began_s + CERTAIN_S
        self._heed(seen)
        share = max(1, self._slots.budget // max(1, seen.runs))
        held = len(self._slots.held)
        kept = held
        if seen.is_wanted:
            kept = min(held, share)
        elif seen.runs > 1:
            kept = min(held, max(1, self._asked))
        # From here on no request is sent that would use what is given back.
        self._usable = kept
        surplus = held - max(kept, self._in_use)
        if surplus > 0:
            await self._done(self._slots.give, surplus)
        await self._take(seen, share)
        if self._slots.held and self._drain_s > 1.5 * self._marked_s:
            self._marked_s = self._drain_s
            await self._done(self._slots.remark, self._marked_s)
        self._changed.set()

    async def _take(self, seen: Seen, share: int) -> None:
        """Take what is wanted and free, and let others know if it is less than the share."""
        slots = self._slots
        held = len(slots.held) + len(slots.draining)
        wanted = self._asked
        if wanted > held and seen.runs == 1:
            wanted = min(self._most, max(wanted, 2 * held, AT_FIRST))
        if seen.is_wanted:
            wanted = min(wanted, share)
        if wanted > held and not slots.draining:
            self._marked_s = self._marked_s or self._drain_s
            drain_s = await self._done(slots.take, wanted - held, self._marked_s)
            self._usable = len(slots.held)
            held = len(slots.held) + len(slots.draining)
            if slots.draining:
                self._draining = self._start(self._drain(drain_s))
        await self._done(partial(slots.wait, waits=held < min(wanted, share)))

    async def _drain(self, seconds: float) -> None:
        """Wait until OLS has ended the requests of a run that was killed."""
        _log.info("a run was killed: OLS may be at work on its requests for %.0f s", seconds)
        await self._pause(seconds)
        await self._done(self._slots.drained)
        self._wake.set()

    def _heed(self, seen: Seen) -> None:
        """Pause as long as another run was told to, and count what it was told."""
        if self._overloads_before is None:
            self._overloads_before = seen.overloads
        self.overloads_elsewhere = seen.overloads - self._overloads_before - self._overloads_told
        if seen.paused_until and seen.paused_until > (self._paused_until or seen.now):
            self._paused_until = seen.paused_until
            self._pauses += 1
            self._start(self._pause_with_others((seen.paused_until - seen.now).total_seconds()))

    async def _pause_with_others(self, seconds: float) -> None:
        try:
            await self._pause(seconds)
        finally:
            self._pauses -= 1
            self._changed.set()

    async def _tell(self) -> None:
        overloads, pause_s = self._untold, self._untold_pause_s
        if overloads or pause_s is not None:
            # The gate of this run holds by itself.
            self._paused_until = await self._done(self._slots.tell, overloads, pause_s)
            self._untold -= overloads
            self._overloads_told += overloads
            if self._untold_pause_s == pause_s:
                self._untold_pause_s = None

    @property
    def _drain_s(self) -> float:
        """How long OLS may be at work on the requests of this run, should it be killed."""
        return CERTAIN_S + max(LEAST_DRAIN_S, 2 * self._longest_s)

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _done(self, work: Callable[..., T], *values: Any) -> T:
        """Do something in the one thread that talks to PostgreSQL."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *values)
