"""Sources: what a scrape reads, each in a thread of its own and for a bounded time.

A source that is down is a metric and one line in the log, never a failed scrape. A source that
hangs keeps its one thread, however many scrapes come meanwhile. What is read is not known here.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from efo_assets.errors import EfoError
from efo_assets.monitoring.catalogue import SOURCE_READ_SECONDS, SOURCE_UP
from efo_assets.privacy.logs import logger

SCRAPE_TIMEOUT_S = 8.0
"""Below the 10 s after which Prometheus gives a scrape up."""

_log = logger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Reading:
    """What one reading gave, and how long it took; no metrics where the source is down."""

    metrics: list[Metric] | None
    seconds: float


class Source(Generic[T]):
    """One place to read from: opened at the first scrape, and anew after every failure."""

    def __init__(
        self,
        name: str,
        opened: Callable[[], AbstractContextManager[T]],
        read: Callable[[T], list[Metric]],
    ) -> None:
        self.name = name
        self._opened = opened
        self._read = read
        self._place: T | None = None
        self._open = ExitStack()
        self._lock = threading.Lock()
        self._under_way: Future[Reading] | None = None
        self._complaint = ""

    def reading(self) -> "Future[Reading]":
        """The reading that is under way, or a new one."""
        with self._lock:
            if self._under_way is None or self._under_way.done():
                self._under_way = Future()
                threading.Thread(
                    target=self._take, args=[self._under_way], name=f"read {self.name}", daemon=True
                ).start()
            return self._under_way

    def complain(self, complaint: str) -> None:
        """Say once what is wrong, and once when it is over (an empty complaint)."""
        if complaint == self._complaint:
            return
        self._complaint = complaint
        if complaint:
            _log.warning("%s is down for the metrics: %s", self.name, complaint)
        else:
            _log.info("%s is up again", self.name)

    def close(self) -> None:
        """Close what is open, unless it hangs: then the end of the process does."""
        with self._lock:
            if self._under_way is None or self._under_way.done():
                self._forget()

    def _take(self, result: "Future[Reading]") -> None:
        began_s = time.monotonic()
        try:
            if self._place is None:
                self._place = self._open.enter_context(self._opened())
            found = self._read(self._place)
        except Exception as error:  # noqa: BLE001  # whatever it is, the scrape goes on
            self.complain(_in_short(error))
            self._forget()
            result.set_result(Reading(None, time.monotonic() - began_s))
        else:
            self.complain("")
            result.set_result(Reading(found, time.monotonic() - began_s))

    def _forget(self) -> None:
        self._place = None
        try:
            self._open.close()
        except Exception as error:  # noqa: BLE001  # as above
            _log.warning("%s could not be closed: %s", self.name, _in_short(error))


def _in_short(error: Exception) -> str:
    # The text of a failure that isn't ours may hold an address or a credential.
    return str(error) if isinstance(error, EfoError) else f"{type(error).__name__}."


class Sources(Collector):
    """All sources as one collector, read side by side."""

    def __init__(
        self, sources: Sequence[Source[Any]], *, timeout_s: float = SCRAPE_TIMEOUT_S
    ) -> None:
        self._sources = sources
        self._timeout_s = timeout_s

    def collect(self) -> Iterator[Metric]:
        """What each source gives within the time of one scrape, and whether it gave anything."""
        began_s = time.monotonic()
        up: dict[tuple[str, ...], float] = {}
        seconds: dict[tuple[str, ...], float] = {}
        for source, reading in self.begin():
            found = self._awaited(source, reading, began_s)
            up[source.name,] = found.metrics is not None
            seconds[source.name,] = found.seconds
            yield from found.metrics or ()
        yield SOURCE_UP.of(up)
        yield SOURCE_READ_SECONDS.of(seconds)

    def begin(self) -> "list[tuple[Source[Any], Future[Reading]]]":
        """Begin to read all of them; the first time opens them and takes longest."""
        return [(source, source.reading()) for source in self._sources]

    def _awaited(self, source: Source[Any], reading: "Future[Reading]", began_s: float) -> Reading:
        left_s = max(0.0, began_s + self._timeout_s - time.monotonic())
        try:
            return reading.result(left_s)
        except FutureTimeout:
            source.complain(f"no answer within {self._timeout_s:g} s.")
            return Reading(None, time.monotonic() - began_s)
