"""Crash points: moments of a load at which a test ends the process, or breaks something.

The engine raises an audit event (`sys.audit`) at each of them; here a hook hears it. `C6` kills at
the first passing of C6, `C2:40` at the fortieth of C2, and `C6:2:TERM` asks to end at the second of
C6 instead. A process of its own is armed by `EFO_CRASH_POINT`, which the engine knows nothing of;
`python -m efo_assets_tests.faults.one_load` and the code location `crashing` arm themselves.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from efo_assets.pipeline import crew
from efo_assets.warehouse import load

VARIABLE = "EFO_CRASH_POINT"
POINTS = {
    "efo_assets.download_began": "C1",
    "efo_assets.page_kept": "C2",
    "efo_assets.page_fetched": "C3",
    "efo_assets.page_written": "C4",
    "efo_assets.staging_began": "C5",
    "efo_assets.chunk_copied": "C6",
    "efo_assets.tables_filled": "C7",
    "efo_assets.key_built": "B1",
    "efo_assets.audit_began": "C8",
    "efo_assets.audited": "C9",
    "efo_assets.table_published": "C10",
    "efo_assets.published": "C11",
    "efo_assets.cleaning_up": "C12",
    "efo_assets.page_handed_over": "W1",
}

WORKER = "W1"
"""A process that reads pages ends here, instead of the one that loads: the one that gets the page,
since one that gets none any more is not missed."""
KEY = "B1"
"""Passed by the first release alone, and by two threads."""

_listeners: list[Callable[[str], None]] = []
_is_hooked = False
_handed_to = 0
"""The process that a page was handed to last."""


def _hear(event: str, arguments: tuple[object, ...]) -> None:
    global _handed_to  # noqa: PLW0603
    if event in POINTS:
        if POINTS[event] == WORKER:
            _handed_to = int(str(arguments[0]))
        for listener in tuple(_listeners):
            listener(POINTS[event])


@contextmanager
def listening(tell: Callable[[str], None]) -> Iterator[None]:
    """Call `tell` with the name of every point that this process passes in the block."""
    _hook()
    _listeners.append(tell)
    try:
        yield
    finally:
        _listeners.remove(tell)


def arm() -> None:
    """End this process at the point and passing that the environment names, if it names one."""
    name, *rest = os.environ.get(VARIABLE, "").split(":")
    if not name:
        return
    passing, kind = (*rest, *("1", "KILL")[len(rest) :])
    left = int(passing)
    if name == "C6":
        load.COPY_BYTES = 1
    if name == WORKER:
        crew.WORTH_A_WORKER_ROWS = 1
        os.sched_getaffinity = lambda _: {0, 1}

    def end(passed: str) -> None:
        nonlocal left
        if passed == name:
            left -= 1
            if not left:
                victim = _handed_to if name == WORKER else os.getpid()
                os.kill(victim, signal.Signals[f"SIG{kind}"])

    _hook()
    _listeners.append(end)


def _hook() -> None:
    # An audit hook stays for the life of the process, so one is enough.
    global _is_hooked  # noqa: PLW0603
    if not _is_hooked:
        sys.addaudithook(_hear)
        _is_hooked = True
