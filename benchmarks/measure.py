"""Run one command and say what it took: wall and CPU time, peak memory of all its processes."""

import os
import platform
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import psutil

KIB = 1024
MEGABYTE = 1_000_000
SAMPLE_EVERY_S = 0.2
STOP_TIMEOUT_S = 60.0
OURS = ("EFO_", "SENTRY_", "DAGSTER_", "PYTHONDONTWRITEBYTECODE")
"""What the environment's variables begin with that must not reach a run."""


class Run(NamedTuple):
    """What one command took."""

    seconds: float
    cpu_seconds: float
    """Of its processes and of PostgreSQL's."""
    peak_mb: float
    """The largest sum of proportional set sizes over its processes, PostgreSQL's left out."""
    postgres_peak_mb: float
    """The same of the processes of PostgreSQL whose data are in its home."""


class CommandFailed(SystemExit):
    """A command ended with an error; the end of its log was printed."""


def heading(command: str, classes: int | None) -> str:
    """When, by which command and on what machine was measured."""
    memory_gb = psutil.virtual_memory().total / 1e9
    return (
        f"Measured {datetime.now(UTC):%Y-%m-%d} by `{command}` on {os.cpu_count()} cores "
        f"({platform.machine()}, {memory_gb:.0f} GB), Python {platform.python_version()}, "
        f"generated data{f', {classes:,} classes' if classes else ''}; server and client share the "
        "cores."
    )


@contextmanager
def fresh_home() -> Iterator[Path]:
    """A folder for the data of some runs; in the end its server is stopped and all removed."""
    with tempfile.TemporaryDirectory(prefix="efo-bench-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        home.chmod(0o755)  # root's embedded server runs as another user
        try:
            yield home
        finally:
            servers = _servers(home)
            for process in servers:
                with suppress(psutil.Error):
                    process.send_signal(signal.SIGINT)  # what a "fast" shutdown is
            psutil.wait_procs(servers, timeout=STOP_TIMEOUT_S)


def timed(
    command: Sequence[str], environment: Mapping[str, str], home: Path, cwd: Path | None = None
) -> Run:
    """Run a command to its end, with `home` for its data and its log.

    Raises:
        CommandFailed: it failed; the end of its log is printed.
    """
    log = home / "log"
    before_s = _children_cpu_s()
    began = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=isolated(environment), stdout=output, stderr=output, cwd=cwd
        )
        usage = _Usage(process.pid, home)
        process.wait()
        seconds = time.monotonic() - began
        usage.stop()
    if process.returncode:
        sys.stderr.write(log.read_text(errors="replace")[-4000:])
        raise CommandFailed(f"{' '.join(command)} failed with {process.returncode}.")
    cpu_seconds = _children_cpu_s() - before_s + usage.postgres_cpu_s
    return Run(seconds, cpu_seconds, usage.peak_mb, usage.postgres_peak_mb)


def isolated(environment: Mapping[str, str]) -> dict[str, str]:
    """These variables, and of those that are set only what isn't about us."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(OURS)}
    return inherited | dict(environment)


def _children_cpu_s() -> float:
    """CPU seconds of all children that have ended, with those that they waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class _Usage:
    """Looks at a process, its descendants and the servers of its home, again and again."""

    def __init__(self, pid: int, home: Path) -> None:
        self.peak_mb = self.postgres_peak_mb = self.postgres_cpu_s = 0.0
        self._pid, self._home = pid, home
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(SAMPLE_EVERY_S):
            servers = _servers(self._home)
            self.peak_mb = max(self.peak_mb, _pss_mb(_tree(self._pid) - servers))
            self.postgres_peak_mb = max(self.postgres_peak_mb, _pss_mb(servers))
            self.postgres_cpu_s = max(self.postgres_cpu_s, _cpu_s(servers))


def _servers(home: Path) -> set[psutil.Process]:
    """PostgreSQL's processes whose data are in `home`: no children, and maybe another user's."""
    return {
        process
        for process in psutil.process_iter(["name", "cwd"])
        if process.info["name"] == "postgres"
        and Path(process.info["cwd"] or "/").is_relative_to(home)
    }


def _tree(pid: int) -> set[psutil.Process]:
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        return {process, *process.children(recursive=True)}
    return set()


def _cpu_s(processes: set[psutil.Process]) -> float:
    """CPU seconds of processes and of those of their children that have ended."""
    seconds = 0.0
    for process in processes:
        with suppress(psutil.Error):
            seconds += sum(process.cpu_times()[:4])
    return seconds


def _pss_mb(processes: set[psutil.Process]) -> float:
    """The proportional set sizes: a page that two share counts as half a page to each."""
    kib = 0
    for process in processes:
        with suppress(OSError):  # it has ended
            rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
            kib += next(int(line.split()[1]) for line in rollup.splitlines() if line[:4] == "Pss:")
    return kib * KIB / MEGABYTE
