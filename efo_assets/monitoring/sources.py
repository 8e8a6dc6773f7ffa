"""Sources: what a scrape reads, each in a thread of its own and for a bounded time.

A source that is down is a metric and one line in the log, never a failed scrape. A source that
hangs keeps its one thread, however many scrapes come meanwhile. What a source is lives elsewhere.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, ExitStack
from typing import Any, Generic, NamedTuple, TypeVar

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from efo_assets.errors import EfoError
from efo_assets.monitoring.catalogue import SOURCE_READ_SECONDS, SOURCE_UP, LabelValues
from efo_assets.privacy.disclosure import shown
from efo_assets.privacy.logs import logger

SCRAPE_TIMEOUT_S = 8.0
"""Below the 10 s after which Prometheus gives a scrape up."""

_log = logger(__name__)

T = TypeVar("T")


class Reading(NamedTuple):
    """The metrics, None where the source is down, and how long reading them took."""

    metrics: list[Metric] | None
    seconds: float


class Source(Generic[T]):
    """A place to read from: opened at the first scrape, and anew after every failure."""

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
        metrics: list[Metric] | None = None
        complaint = ""
        try:
            if self._place is None:
                self._place = self._open.enter_context(self._opened())
            metrics = self._read(self._place)
        except Exception as error:  # noqa: BLE001  # whatever it is, the scrape goes on
            complaint = _in_short(error)
            self._forget()
        self.complain(complaint)
        result.set_result(Reading(metrics, time.monotonic() - began_s))

    def _forget(self) -> None:
        self._place = None
        try:
            self._open.close()
        except Exception as error:  # noqa: BLE001  # as above
            _log.warning("%s could not be closed: %s", self.name, _in_short(error))


def _in_short(error: Exception) -> str:
    # The text of a defect may hold an address, which is as private as a credential here.
    return shown(error) if isinstance(error, EfoError) else f"{type(error).__name__}."


class Sources(Collector):
    """All sources as one collector, read side by side."""

    def __init__(
        self, sources: Sequence[Source[Any]], *, timeout_s: float = SCRAPE_TIMEOUT_S
    ) -> None:
        self._sources = sources
        self._timeout_s = timeout_s

    def collect(self) -> Iterator[Metric]:
        """The metrics that each source gives in time, and which sources are up."""
        began_s = time.monotonic()
        up: dict[LabelValues, float] = {}
        seconds: dict[LabelValues, float] = {}
        for source, future in self.begin():
            try:
                reading = future.result(max(0.0, began_s + self._timeout_s - time.monotonic()))
            except TimeoutError:
                source.complain(f"no answer within {self._timeout_s:g} s.")
                reading = Reading(None, time.monotonic() - began_s)
            up[source.name,] = reading.metrics is not None
            seconds[source.name,] = reading.seconds
            yield from reading.metrics or ()
        yield SOURCE_UP.of(up)
        yield SOURCE_READ_SECONDS.of(seconds)

    def begin(self) -> "list[tuple[Source[Any], Future[Reading]]]":
        """Begin to read all of them; the first time opens them and takes longest."""
        return [(source, source.reading()) for source in self._sources]
