"""Run one command and say what it took: wall time, exit code, peak resident memory."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

KIB = 1024
MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class Run:
    """What one process took."""

    seconds: float
    peak_rss_mb: float
    """Of the process itself, or of the largest child that it waited for."""


def timed(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Run:
    """Run a command to its end.

    Raises:
        SystemExit: it failed; the end of its log is printed.
    """
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("EFO_")}
    inherited.pop("PYTHONDONTWRITEBYTECODE", None)
    began = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=inherited | dict(environment), stdout=output, stderr=output
        )
        _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.stderr.write(log.read_text(errors="replace")[-4000:])
        raise SystemExit(f"{' '.join(command)} failed with {process.returncode}; see {log}")
    return Run(seconds, usage.ru_maxrss * KIB / MEGABYTE)
