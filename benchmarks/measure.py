"""Run one command and say what it took: wall time, exit code, peak memory of all its processes."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil

KIB = 1024
MEGABYTE = 1_000_000
SAMPLE_EVERY_S = 0.2
START_TOLERANCE_S = 0.1
"""A process's start is known to a hundredth of a second only."""


class Run(NamedTuple):
    """What one command took."""

    seconds: float
    peak_mb: float
    """The largest sum of proportional set sizes over its processes, PostgreSQL's left out."""
    postgres_peak_mb: float
    """The same of PostgreSQL's processes that came up since its beginning."""


def timed(
    command: Sequence[str], environment: Mapping[str, str], log: Path, cwd: Path | None = None
) -> Run:
    """Run a command to its end, its output in a file.

    Raises:
        SystemExit: it failed; the end of its log is printed.
    """
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("EFO_")}
    inherited.pop("PYTHONDONTWRITEBYTECODE", None)
    began = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=inherited | dict(environment), stdout=output, stderr=output, cwd=cwd
        )
        memory = _Memory(process.pid)
        process.wait()
        seconds = time.monotonic() - began
        memory.stop()
    if process.returncode:
        sys.stderr.write(log.read_text(errors="replace")[-4000:])
        raise SystemExit(f"{' '.join(command)} failed with {process.returncode}; see {log}")
    return Run(seconds, memory.peak_mb, memory.postgres_peak_mb)


class _Memory:
    """Looks at a process, its descendants and the servers that came up since, again and again."""

    def __init__(self, pid: int) -> None:
        self.peak_mb = self.postgres_peak_mb = 0.0
        self._pid, self._began_s = pid, time.time()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(SAMPLE_EVERY_S):
            postgres = self._postgres()
            self.peak_mb = max(self.peak_mb, _pss_mb(_tree(self._pid) - postgres))
            self.postgres_peak_mb = max(self.postgres_peak_mb, _pss_mb(postgres))

    def _postgres(self) -> set[psutil.Process]:
        # The embedded server is no child of the command, and may be another user's process.
        return {
            process
            for process in psutil.process_iter(["name", "create_time"])
            if process.info["name"] == "postgres"
            and process.info["create_time"] >= self._began_s - START_TOLERANCE_S
        }


def _tree(pid: int) -> set[psutil.Process]:
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        return {process, *process.children(recursive=True)}
    return set()


def _pss_mb(processes: set[psutil.Process]) -> float:
    """The proportional set sizes: a page that two share counts as half a page to each."""
    kib = 0
    for process in processes:
        with suppress(OSError):
            rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
            kib += next(int(line.split()[1]) for line in rollup.splitlines() if line[:4] == "Pss:")
    return kib * KIB / MEGABYTE
