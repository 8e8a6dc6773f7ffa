"""Crash points: named places where a test can have the process killed, free when unused.

`EFO_CRASH_POINT=C6` kills at the first passing of C6, `C2:40` at the fortieth of C2. The names are
those of the fault list, from C1 before the first request to C12 before cleaning up.
"""

import os
import signal
from collections import Counter

from efo_assets.settings import crash_point_in_force

_passed: Counter[str] = Counter()


def crash_point(name: str) -> None:
    """Kill this process without warning if the environment names this point and passing."""
    wanted = crash_point_in_force()
    if wanted is None or wanted.partition(":")[0] != name:
        return
    _passed[name] += 1
    if _passed[name] == int(wanted.partition(":")[2] or 1):
        os.kill(os.getpid(), signal.SIGKILL)
