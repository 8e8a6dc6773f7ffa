"""The event log that is held open: the same history as Dagster's own, told while a run goes on."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import dagster as dg
import pytest
import yaml

from efo_assets.graph.event_log import FOLDER
from efo_assets_tests.commands import ROOT
from efo_assets_tests.small_disk import small_disk

HELD_OPEN = yaml.safe_load((ROOT / "dagster.yaml").read_text())["event_log_storage"]
PATIENCE_S = 60.0
WORDY = 60
"""Lines of a log, each of them a kilobyte."""


def held_open(home: Path) -> dg.DagsterInstance:
    home.mkdir(exist_ok=True)
    return dg.DagsterInstance.local_temp(str(home), overrides={"event_log_storage": HELD_OPEN})


def logs(home: Path) -> set[str]:
    """The write-ahead logs that are there, by the name of their database."""
    return {path.stem for path in (home / FOLDER).glob("*.db-wal")}


def run(instance: dg.DagsterInstance, work: Callable[[], object] = lambda: None) -> dg.DagsterRun:
    """An asset that does this, with a check."""

    @dg.asset
    def made() -> None:
        work()

    @dg.asset_check(asset=made)
    def fine() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=True)

    done = dg.materialize([made, fine], instance=instance, raise_on_error=False)
    return instance.get_run_by_id(done.run_id) or done.dagster_run


def history(instance: dg.DagsterInstance, run_id: str) -> list[tuple[str | None, str | None]]:
    records = instance.get_records_for_run(run_id).records
    entries = [record.event_log_entry for record in records]
    return [
        (entry.dagster_event_type and entry.dagster_event_type.value, entry.step_key)
        for entry in entries
    ]


@dg.op
def first() -> int:
    return 1


@dg.op
def second(number: int) -> int:
    return number


@dg.job
def in_processes() -> None:
    second(first())


def test_its_history_is_that_of_dagsters_own_and_readable_by_it(tmp_path: Path) -> None:
    (tmp_path / "dagsters").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "dagsters")) as own:
        expected = history(own, run(own).run_id)
    with held_open(tmp_path / "ours") as instance:
        done = run(instance)
        assert done.is_success
        assert history(instance, done.run_id) == expected
    with dg.DagsterInstance.local_temp(str(tmp_path / "ours")) as own:
        assert history(own, done.run_id) == expected
        assert own.get_latest_materialization_event(dg.AssetKey("made")) is not None
        again = run(own)
    with held_open(tmp_path / "ours") as instance:
        assert history(instance, again.run_id) == expected


def test_it_holds_the_databases_of_one_run_until_that_is_over(tmp_path: Path) -> None:
    with held_open(tmp_path) as instance:
        during: list[set[str]] = []
        done = [run(instance, lambda: during.append(logs(tmp_path))).run_id for _ in range(2)]
        assert during == [{run_id, "index"} for run_id in done]
        assert logs(tmp_path) == set()


def test_what_a_run_logs_is_told_at_once_where_it_is_watched(tmp_path: Path) -> None:
    with held_open(tmp_path) as instance, held_open(tmp_path) as webservers:
        told = threading.Semaphore(0)

        def watch() -> None:
            (under_way,) = instance.get_runs()
            webservers.watch_event_logs(under_way.run_id, None, lambda *_: told.release())
            before = len(history(instance, under_way.run_id))
            for _ in range(5):
                instance.report_engine_event("is going on", under_way)
                before += 1
                while before:
                    assert told.acquire(timeout=PATIENCE_S), "told while the run goes on"
                    before -= 1

        assert run(instance, watch).is_success


def test_a_killed_run_has_its_events_and_the_next_one_runs(tmp_path: Path) -> None:
    program = (
        "import os, signal\nfrom pathlib import Path\n"
        "from efo_assets_tests.graph.test_event_log import held_open, run\n"
        f"with held_open(Path({str(tmp_path)!r})) as instance:\n"
        "    run(instance, lambda: os.kill(os.getpid(), signal.SIGKILL))\n"
    )
    killed = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=False, timeout=PATIENCE_S
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    with held_open(tmp_path) as instance:
        (dead,) = instance.get_runs()
        assert dead.status is dg.DagsterRunStatus.STARTED
        assert history(instance, dead.run_id)[-1] == ("STEP_START", "made")
        instance.report_run_failed(dead)
        assert run(instance).is_success
        assert logs(tmp_path) == set()


def test_steps_in_processes_of_their_own_are_all_there(tmp_path: Path) -> None:
    with (
        held_open(tmp_path) as instance,
        dg.execute_job(dg.reconstructable(in_processes), instance=instance) as done,
    ):
        assert done.success
        ended = [step for kind, step in history(instance, done.run_id) if kind == "STEP_SUCCESS"]
        assert ended == ["first", "second"]
    assert logs(tmp_path) == set()


def test_a_full_disk_fails_the_run_and_leaves_whole_databases(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 4_000_000) as home, held_open(home) as instance:
        assert run(instance).is_success
        ballast = home / "ballast"

        def fill() -> None:
            (under_way,) = instance.get_runs(limit=1)
            with ballast.open("wb") as file:
                file.write(b"." * os.statvfs(home).f_bavail * os.statvfs(home).f_bsize)
            for _ in range(WORDY):
                instance.report_engine_event("." * 1000, under_way)

        with pytest.raises(Exception, match=r"database or disk is full|disk I/O error"):
            run(instance, fill)
        ballast.unlink()
        assert run(instance).is_success
        for database in (home / FOLDER).glob("*.db"):
            with closing(sqlite3.connect(database)) as connection:
                assert connection.execute("pragma integrity_check").fetchall() == [("ok",)]
