"""Crash points: named places where a test can have the process killed, free when unused.

`EFO_CRASH_POINT=C6` kills at the first passing of C6, `C2:40` at the fortieth of C2, and
`C6:2:TERM` asks to end at the second of C6 instead. The names are those of the fault list, from C1
before the first request to C12 before cleaning up. A test in this very process can be told of each
passing instead, to break something just there.
"""

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from efo_assets.settings import crash_point_in_force

_SIGNALS = {"KILL": signal.SIGKILL, "TERM": signal.SIGTERM}

_passed: Counter[str] = Counter()
_told: list[Callable[[str], None]] = []


class _Wanted(NamedTuple):
    """Where, at which passing and how this process is to end."""

    name: str
    passing: int
    signal_number: signal.Signals

    @classmethod
    def read(cls, text: str) -> "_Wanted":
        name, *rest = text.split(":")
        passing, kind = (*rest, *("1", "KILL")[len(rest) :])
        return cls(name, int(passing), _SIGNALS[kind])


def crash_point(name: str) -> None:
    """End this process if the environment names this point and passing."""
    for tell in tuple(_told):
        tell(name)
    text = crash_point_in_force()
    if not text:
        return
    wanted = _Wanted.read(text)
    if wanted.name != name:
        return
    _passed[name] += 1
    if _passed[name] == wanted.passing:
        os.kill(os.getpid(), wanted.signal_number)


@contextmanager
def told_of_passings(tell: Callable[[str], None]) -> Iterator[None]:
    """Call `tell` with the name of every point that this process passes in the block."""
    _told.append(tell)
    try:
        yield
    finally:
        _told.remove(tell)
