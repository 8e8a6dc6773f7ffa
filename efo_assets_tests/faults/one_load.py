"""A load in a process of its own, to be killed: `python -m efo_assets_tests.faults.one_load`.

Loads what `EFO_*` names, as `engine.load_once` does. SIGTERM is handled as Dagster does it: an
exception in the main thread. `Nursery` forks such processes from one that has imported everything,
which spares each of them the better part of a second.
"""

import json
import logging
import os
import resource
import signal
import subprocess
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryFile
from typing import NoReturn, Self

import psycopg

from efo_assets.errors import EfoError
from efo_assets.settings import Settings
from efo_assets_tests.faults import crash_points
from efo_assets_tests.faults.engine import load_once

ROOT = Path(__file__).parents[2]
FAILED = 1
INTERRUPTED = 3
PATIENCE_S = 60.0
HEADROOM_VARIABLE = "TEST_MEMORY_HEADROOM_BYTES"

Done = subprocess.CompletedProcess[str]


def main() -> int:
    """Load once; return the exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    logging.disable(logging.WARNING)
    crash_points.arm()
    headroom_bytes = int(os.environ.get(HEADROOM_VARIABLE, "0"))
    if headroom_bytes:
        _limit_memory(headroom_bytes)
    try:
        load_once(Settings.from_environment())
    except EfoError as error:
        sys.stderr.write(f"{error}\n")
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def _limit_memory(headroom_bytes: int) -> None:
    """Let this process grow so far beyond what it has now, and no further."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + headroom_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def environment_of(settings: Settings, **others: str) -> Mapping[str, str]:
    """The variables that make a process load what `settings` say."""
    assert settings.database is not None, "the embedded one would be another"
    return {
        **os.environ,
        "EFO_OLS_URL": settings.ols_url,
        "EFO_DATABASE_URL": psycopg.conninfo.make_conninfo(**settings.database.parameters),
        "EFO_DATA_DIR": str(settings.data_dir),
        "EFO_PAGE_SIZE": str(settings.page_size),
        "EFO_MAX_IN_FLIGHT": str(settings.max_in_flight),
        **others,
    }


def started(settings: Settings, **others: str) -> "subprocess.Popen[str]":
    """A load begun in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "efo_assets_tests.faults.one_load"],
        cwd=ROOT,
        env=environment_of(settings, **others),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: "subprocess.Popen[str]") -> Done:
    """Wait for the end; give exit code and what it said."""
    with process:
        try:
            output, complaint = process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return Done(process.args, process.returncode, output, complaint)


class Nursery:
    """Processes to be killed, forked from one of a single thread; a context manager."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "efo_assets_tests.faults.one_load", "--fork"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def load(self, settings: Settings, crash_point: str = "", **others: str) -> Done:
        """Load once, to the end or to the crash point; its exit code and what it said."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        task = dict(environment_of(settings, EFO_CRASH_POINT=crash_point, **others))
        self._process.stdin.write(json.dumps(task) + "\n")
        self._process.stdin.flush()
        code, complaint = json.loads(self._process.stdout.readline())
        return Done(crash_point, code, "", complaint)


def fork_for_each_line() -> int:
    """Fork a load for each environment on standard input; answer how it ended."""
    for line in sys.stdin:
        with TemporaryFile() as said:
            pid = os.fork()
            if pid == 0:
                _load_in_child(json.loads(line), said.fileno())
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            said.seek(0)
            sys.stdout.write(json.dumps([code, said.read().decode()]) + "\n")
            sys.stdout.flush()
    return 0


def _load_in_child(environment: dict[str, str], said: int) -> NoReturn:
    signal.alarm(round(PATIENCE_S))
    os.dup2(said, sys.stderr.fileno())
    os.environ.clear()
    os.environ.update(environment)
    code = FAILED
    try:
        code = main()
    except BaseException:  # noqa: BLE001  # a child that was forked ends here, whatever happens
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    sys.exit(fork_for_each_line() if sys.argv[1:] == ["--fork"] else main())
