"""Every stage that takes long says so, every few seconds."""

import logging
import re
import threading
from pathlib import Path

import dagster as dg
import pytest

from efo_assets.ols.download import Progress
from efo_assets.pipeline.progress import progress_shown
from efo_assets.warehouse.warehouse import Warehouse
from efo_assets_tests.faults.crash_points import listening
from efo_assets_tests.graph.materializing import Graph

CLASSES = 200
PATIENCE_S = 60.0


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("efo_assets.privacy.logs.SAID_EVERY_S", 0.01)


class Ear(logging.Handler):
    """Hears what is said, and tells when a line came twice, or one of publishing at all."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []
        self.once, self.twice = threading.Event(), threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())
        if record.getMessage().startswith("publishing"):
            self.once.set()
        if self.said.count(record.getMessage()) > 1:
            self.twice.set()


def test_a_statement_that_takes_long_is_told_again_and_again(warehouse: Warehouse) -> None:
    ear = Ear()
    log = logging.getLogger("efo_assets.warehouse.warehouse")
    log.addHandler(ear)
    log.setLevel(logging.INFO)
    try:
        assert warehouse.run("auditing", lambda _: ear.twice.wait(PATIENCE_S))
    finally:
        log.removeHandler(ear)
        log.setLevel(logging.NOTSET)
    assert set(ear.said) <= {"auditing: 0 s so far", "auditing: 1 s so far"}
    assert [thread for thread in threading.enumerate() if thread.name == "efo-said"] == []


def test_a_download_says_where_it_is_while_nothing_comes() -> None:
    ear = Ear()
    log = logging.getLogger("download")
    log.setLevel(logging.INFO)
    log.addHandler(ear)
    with progress_shown(log.info) as show:
        assert ear.twice.wait(PATIENCE_S)
        assert ear.said[0] == "asking OLS: 0 s so far"
        ear.twice.clear()
        show(Progress(1, 3, 500, 1_200, 2_000_000, 1.0))
        while not ear.said[-1].startswith("1 of 3 pages, 500 of 1,200 rows, 2.0 MB, 500 rows/s"):
            assert ear.twice.wait(PATIENCE_S)
        show(Progress(3, 3, 1_200, 1_200, 5_000_000, 2.0))
    assert ear.said[-1] == "3 of 3 pages, 1,200 of 1,200 rows, 5.0 MB, 600 rows/s, 0 s left"


def test_a_run_of_dagster_shows_it_too(
    graph: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Not oftener: Dagster's SQLite takes one writer at a time.
    monkeypatch.setattr("efo_assets.privacy.logs.SAID_EVERY_S", 0.3)
    ear = Ear()
    log = logging.getLogger("efo_assets.warehouse.warehouse")
    log.addHandler(ear)
    logs = {"managed_python_loggers": ["efo_assets"], "python_log_level": "INFO"}

    def wait(point: str) -> None:
        if point == "C10":
            assert ear.once.wait(PATIENCE_S)

    try:
        with dg.DagsterInstance.local_temp(str(tmp_path), overrides={"python_logs": logs}) as kept:
            with listening(wait):
                run = graph.materialize(instance=kept)
            said = [event.user_message for event in kept.all_logs(run.run_id)]
    finally:
        log.removeHandler(ear)
    assert run.success
    assert [line for line in said if re.fullmatch("publishing: [0-9]+ s so far", line)]
