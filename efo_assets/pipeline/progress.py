"""What one sees of a load while it runs: lines in the log, a bar on a terminal, seconds by step."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, NoReturn, TextIO

from tqdm import tqdm

from efo_assets.ols.download import OnProgress, Progress
from efo_assets.privacy.logs import said_while

BAR: dict[str, Any] = {"unit": " rows", "unit_scale": True, "leave": False, "dynamic_ncols": True}


@contextmanager
def timed(step: str) -> Iterator[None]:
    """Raise the audit event `efo_assets.step_ended` (name, seconds) when the block has ended well.

    Without a hook that hears it, it costs nothing; benchmarks hear it.
    """
    began = time.monotonic()
    yield
    sys.audit("efo_assets.step_ended", step, time.monotonic() - began)


@contextmanager
def progress_shown(log: Callable[..., None]) -> Iterator[OnProgress]:
    """Yield what shows the progress of a download: by `log`, and by a bar on a terminal."""
    said = "asking OLS"

    def show(progress: Progress) -> None:
        nonlocal said
        if bar is not None:
            bar.total = progress.rows_total
            bar.update(progress.rows_done - bar.n)
        said = (
            f"{progress.pages_done} of {progress.pages_total} pages, {progress.rows_done:,} of "
            f"{progress.rows_total:,} rows, {progress.bytes_received / 1_000_000:.1f} MB, "
            f"{progress.rows_per_s:,.0f} rows/s, {_duration(progress.eta_s)} left"
        )
        if progress.pages_done == progress.pages_total:
            log("%s", said)

    with ExitStack() as shown, said_while(lambda: said, log):
        bar: tqdm[NoReturn] | None = None
        terminal = _foreground_terminal()
        if terminal is not None:
            shown.enter_context(terminal)
            bar = shown.enter_context(tqdm(file=terminal, desc="OLS", delay=0.01, **BAR))
        yield show


def _foreground_terminal() -> TextIO | None:
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
