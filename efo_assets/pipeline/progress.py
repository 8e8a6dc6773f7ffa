"""What one sees of a load while it runs: lines in the log, a bar on a terminal, seconds by step."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Self, TextIO

from tqdm import tqdm

from efo_assets.ols.download import Progress

LOG_EVERY_S = 3.0
MEGABYTE = 1_000_000


@contextmanager
def timed(step: str) -> Iterator[None]:
    """Raise the audit event `efo_assets.step_ended` (name, seconds) when the block has ended well.

    Without a hook that hears it, it costs nothing; benchmarks hear it.
    """
    began = time.monotonic()
    yield
    sys.audit("efo_assets.step_ended", step, time.monotonic() - began)


class ProgressReport:
    """Shows the progress of a download; a context manager."""

    def __init__(
        self,
        log: Callable[..., None],
        *,
        clock: Callable[[], float] = time.monotonic,
        terminal: TextIO | None = None,
    ) -> None:
        self._log = log
        self._clock = clock
        self._logged_at = clock()
        self._terminal = terminal
        self._bar: Any = None  # tqdm is generic over what it iterates over, here nothing

    def __enter__(self) -> Self:
        if self._terminal is None:
            self._terminal = foreground_terminal()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()
        if self._terminal is not None:
            self._terminal.close()

    def __call__(self, progress: Progress) -> None:
        """Show where the download is."""
        self._draw(progress)
        now = self._clock()
        if now - self._logged_at >= LOG_EVERY_S or progress.pages_done == progress.pages_total:
            self._logged_at = now
            self._log(
                "%d of %d pages, %s of %s rows, %.1f MB, %s rows/s, %s left",
                progress.pages_done,
                progress.pages_total,
                f"{progress.rows_done:,}",
                f"{progress.rows_total:,}",
                progress.bytes_received / MEGABYTE,
                f"{progress.rows_per_s:,.0f}",
                _duration(progress.eta_s),
            )

    def _draw(self, progress: Progress) -> None:
        if self._terminal is None:
            return
        if self._bar is None:
            self._bar = tqdm(
                total=progress.rows_total,
                file=self._terminal,
                unit=" rows",
                unit_scale=True,
                desc="OLS",
                leave=False,
                dynamic_ncols=True,
            )
        self._bar.update(progress.rows_done - self._bar.n)


def foreground_terminal() -> TextIO | None:
    """The terminal that this process owns, if it does.

    Dagster redirects a step's standard error to a file, so the terminal itself is asked.
    """
    with suppress(OSError):
        terminal = open("/dev/tty", "w", encoding="utf-8")  # noqa: PTH123, SIM115  # a device
        if os.tcgetpgrp(terminal.fileno()) == os.getpgrp():
            return terminal
        terminal.close()
    return None


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "an unknown time"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
