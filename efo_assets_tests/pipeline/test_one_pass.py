"""One pass: the same rows and findings however pages are read, and a load or none."""

import gzip
import hashlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest
from aiohttp import web

from efo_assets.errors import PageStoreError, RecordRejected, WorkerEnded
from efo_assets.ols.records import TermKeys
from efo_assets.ols.stored_pages import (
    FORMAT,
    MANIFEST,
    Completed,
    Header,
    PageSet,
    Record,
    line_of,
)
from efo_assets.pipeline import crew
from efo_assets.pipeline.load import fetch, newest_pages
from efo_assets.pipeline.staging import staging
from efo_assets.sample.server import Sample
from efo_assets.settings import DatabaseTarget, Settings
from efo_assets.warehouse import load
from efo_assets.warehouse.load import Load
from efo_assets.warehouse.tables import COPIED
from efo_assets.warehouse.warehouse import Warehouse
from efo_assets_tests.faults.crash_points import listening
from efo_assets_tests.faults.engine import load_once, settings_for
from efo_assets_tests.warehouse.loads import COLUMNS, ask, publish, term

CLASSES = 700
PAGE_SIZE = 50
PATIENCE_S = 30.0


@pytest.fixture
def settings(sample: Sample, database: DatabaseTarget, tmp_path: Path) -> Settings:
    return settings_for(sample.url, database, tmp_path / "data", page_size=PAGE_SIZE)


@pytest.fixture
def two_workers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Pages are read by two processes, and none is left."""
    monkeypatch.setattr(crew, "WORTH_A_WORKER_ROWS", 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    before = set(psutil.Process().children(recursive=True))
    yield
    assert set(psutil.Process().children(recursive=True)) <= before


def rows_of(warehouse: Warehouse, filled: Load) -> dict[str, list[Any]]:
    rows = {}
    for table in COPIED:
        name = table.staged_name
        columns = ", ".join(COLUMNS[name])
        of = f"{filled.schema}.{table.copied_name}"
        rows[name] = sorted(ask(warehouse, f"select {columns} from {of}"), key=repr)
    return rows


def fetched(settings: Settings, warehouse: Warehouse) -> tuple[dict[str, list[Any]], Any]:
    """Rows and findings of a load that was filled while pages came."""
    pages = fetch(settings, warehouse, fills=True).page_set
    with listening(lambda point: pytest.fail("filled again") if point == "C5" else None):
        filled = staging(settings, warehouse, pages).load
    return rows_of(warehouse, filled), filled.findings


def replayed(settings: Settings, warehouse: Warehouse) -> tuple[dict[str, list[Any]], Any]:
    """Rows and findings of a load that was filled from kept pages."""
    filled = staging(settings, warehouse, newest_pages(settings)).load
    return rows_of(warehouse, filled), filled.findings


def drop_all(warehouse: Warehouse) -> None:
    with warehouse.connect() as connection:
        connection.execute("update efo_meta.loads set state = 'dropped'")


def readers() -> list[psutil.Process]:
    """The processes that read pages; this one may have other children."""
    found = []
    for child in psutil.Process().children():
        with suppress(psutil.Error):
            if "efo_assets.pipeline.worker" in child.cmdline():
                found.append(child)
    return found


@contextmanager
def killed_at(passing: int) -> Iterator[None]:
    """Kill a process that reads pages when so many were handed over."""
    left = passing

    def kill(point: str) -> None:
        nonlocal left
        left -= point == "W1"
        if not left and point == "W1":
            readers()[0].kill()

    with listening(kill):
        yield


def test_processes_and_kept_pages_give_what_a_thread_gives(
    settings: Settings, warehouse: Warehouse, request: pytest.FixtureRequest
) -> None:
    by_thread = fetched(settings, warehouse)
    assert all(by_thread[0].values())
    assert len(by_thread[1]) > 3, "findings of several kinds"
    request.getfixturevalue("two_workers")
    pids: set[int] = set()
    with listening(lambda _: pids.update(each.pid for each in readers())):
        drop_all(warehouse)
        elsewhere = replace(settings, data_dir=settings.data_dir.parent / "elsewhere")
        assert fetched(elsewhere, warehouse) == by_thread
        drop_all(warehouse)
        assert replayed(settings, warehouse) == by_thread
    assert len(pids) == 4, "two for each pass"


def test_a_load_that_another_process_filled_is_sealed(
    settings: Settings, database: DatabaseTarget
) -> None:
    with Warehouse(database) as first:
        pages = fetch(settings, first, fills=True).page_set
    with Warehouse(database) as second:
        sealed = staging(settings, second, pages).seal()
        assert ask(second, "select load_id, state from loads") == [(sealed.load_id, "staged")]


@pytest.mark.fault("O19")
def test_a_load_that_was_changed_since_another_process_filled_it_is_filled_anew(
    settings: Settings, database: DatabaseTarget
) -> None:
    with Warehouse(database) as first:
        fetch(settings, first, fills=True)
        ((changed,),) = ask(first, "select load_id from loads")
        with first.connect() as connection:
            connection.execute(f"delete from efo_load_{changed}.terms where iri like '%7'")
    assert load_once(settings).rows["efo_terms"] == CLASSES
    with Warehouse(database) as second:
        states = ask(second, f"select load_id = '{changed}', state from loads")
        assert sorted(states) == [(False, "published"), (True, "dropped")]


def test_without_a_table_to_stage_no_load_is_begun(
    settings: Settings, warehouse: Warehouse
) -> None:
    fetch(settings, warehouse, fills=False)
    assert ask(warehouse, "select count(*) from loads") == [(0,)]


def replace_body(pages: PageSet, old: bytes, new: bytes) -> None:
    """Put another text of the same length into the stored pages, with hashes that agree."""
    records: list[Record] = [Header(FORMAT, pages.plan), Completed(pages.serial)]
    for entry in pages.entries.values():
        path = pages.folder / entry.file_name
        body = gzip.compress(gzip.decompress(path.read_bytes()).replace(old, new))
        path.write_bytes(body)
        sha256 = hashlib.sha256(body).hexdigest()
        records.append(msgspec.structs.replace(entry, sha256=sha256))
    (pages.folder / MANIFEST).write_bytes(b"".join(map(line_of, records)))


@pytest.fixture
def kept(settings: Settings, warehouse: Warehouse) -> PageSet:
    return fetch(settings, warehouse, fills=False).page_set


def assert_dropped(warehouse: Warehouse) -> None:
    assert set(ask(warehouse, "select state from loads")) == {("dropped",)}
    schemas = "select count(*) from pg_namespace where nspname like 'efo_load_%'"
    assert ask(warehouse, schemas) == [(0,)]


@pytest.mark.usefixtures("two_workers")
def test_a_value_that_cannot_be_a_key_is_named_from_any_process(
    settings: Settings, warehouse: Warehouse, kept: PageSet
) -> None:
    replace_body(kept, b'"no colon ', b'"' + b"x" * 3000 + b"no colon ")
    with pytest.raises(RecordRejected, match=r"has a cross reference of 3,\d+ bytes"):
        staging(settings, warehouse, newest_pages(settings))
    assert_dropped(warehouse)


@pytest.mark.usefixtures("two_workers")
def test_a_page_that_is_gone_is_named_from_any_process(
    settings: Settings, warehouse: Warehouse, kept: PageSet
) -> None:
    (kept.folder / "current-00009.json.gz").unlink()
    with pytest.raises(PageStoreError, match="page 9 of the current list"):
        staging(settings, warehouse, kept)
    assert_dropped(warehouse)


@pytest.mark.usefixtures("two_workers")
def test_a_defect_of_ours_keeps_its_traceback(
    settings: Settings,
    warehouse: Warehouse,
    kept: PageSet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "sitecustomize.py").write_text("import msgspec; del msgspec.json")
    with pytest.raises(RuntimeError, match=r"(?s)reads pages ended with 1.*AttributeError"):
        staging(settings, warehouse, kept)
    assert_dropped(warehouse)


@pytest.mark.fault("X26")
@pytest.mark.usefixtures("two_workers")
def test_a_worker_that_is_killed_is_one_sentence_and_pages_stay(
    settings: Settings, warehouse: Warehouse, sample: Sample
) -> None:
    with (
        killed_at(6),
        pytest.raises(WorkerEnded, match=r"ended by SIGKILL.*are kept; run again\.$"),
    ):
        fetch(settings, warehouse, fills=True)
    assert_dropped(warehouse)
    rows, _ = fetched(settings, warehouse)
    assert len(rows["terms"]) == CLASSES
    pages = [str(each.query) for each in sample.requests if "50" in each.query.values()]
    assert len(pages) - len(set(pages)) <= settings.max_in_flight + 2, "those under way"


@pytest.mark.fault("X26")
@pytest.mark.usefixtures("two_workers")
def test_a_worker_that_is_killed_while_kept_pages_are_read_is_one_sentence(
    settings: Settings, warehouse: Warehouse, kept: PageSet
) -> None:
    with killed_at(1), pytest.raises(WorkerEnded, match="ended by SIGKILL"):
        staging(settings, warehouse, kept)
    assert_dropped(warehouse)
    assert staging(settings, warehouse, kept).seal().counts["terms"] == CLASSES


@pytest.mark.fault("X01")
def test_a_worker_ends_when_its_parent_has_ended() -> None:
    # What its parent does before it is killed: it starts it, and then it is gone.
    parent = (
        "import os\n"
        "from efo_assets.pipeline.crew import Crew\n"
        "crew = Crew(2)\n"
        "print(*(each.process.pid for each in crew._workers), flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    victim = subprocess.run(
        [sys.executable, "-c", parent], check=False, stdout=subprocess.PIPE, text=True
    )
    assert victim.returncode == -signal.SIGKILL
    orphans = []
    for pid in victim.stdout.split():
        with suppress(psutil.NoSuchProcess):
            orphans.append(psutil.Process(int(pid)))
    _, alive = psutil.wait_procs(orphans, timeout=PATIENCE_S)
    assert alive == []


@pytest.fixture
def copied_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No row waits for others."""
    monkeypatch.setattr(load, "COPY_BYTES", 1)


@pytest.mark.fault("D02")
@pytest.mark.usefixtures("copied_at_once")
def test_a_connection_that_is_lost_while_pages_come_costs_the_load_alone(
    settings: Settings, warehouse: Warehouse, sample: Sample
) -> None:
    is_ended = False

    def end_the_session(point: str) -> None:
        nonlocal is_ended
        if point == "C6" and not is_ended:
            is_ended = True
            ask(
                warehouse,
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and query ilike 'copy %'",
            )

    with listening(end_the_session):
        load_once(settings)
    assert is_ended
    states = ask(warehouse, "select state from loads order by created_at")
    assert states == [("dropped",), ("published",)]
    pages = [each for each in sample.requests if each.query.get("size") == str(PAGE_SIZE)]
    assert len(pages) == len({str(each.query) for each in pages}), "no page was asked for twice"


@pytest.mark.usefixtures("copied_at_once")
def test_a_release_that_changes_on_the_way_drops_the_rows_of_the_first(
    settings: Settings, warehouse: Warehouse, sample: Sample
) -> None:
    copied = 0

    def publish_the_next(point: str) -> None:
        nonlocal copied
        copied += point == "C6"
        if copied == 8:
            sample.publish(2)

    with listening(publish_the_next):
        load_once(settings)
    states = ask(warehouse, "select state, version from loads order by created_at")
    assert [state for state, _ in states] == ["dropped", "published"]
    assert ask(warehouse, "select version from releases") == [states[1][1:]]


def test_a_release_that_changes_to_one_that_is_kept_drops_the_rows_of_the_first(
    settings: Settings, warehouse: Warehouse, sample: Sample, database: DatabaseTarget
) -> None:
    sample.publish(2)
    with Warehouse(database) as before:
        fetch(settings, before, fills=False)
    sample.publish(1)
    kept = 0

    def publish_the_other(point: str) -> None:
        nonlocal kept
        kept += point == "C2"
        if kept == 5:
            sample.publish(2)

    with listening(publish_the_other):
        load_once(settings)
    states = ask(warehouse, "select state, version from loads order by created_at")
    assert [state for state, _ in states] == ["dropped", "published"]
    assert ask(warehouse, "select version from releases") == [states[1][1:]]


@pytest.mark.usefixtures("two_workers")
def test_what_a_process_refuses_is_told_as_a_thread_tells_it(
    settings: Settings, warehouse: Warehouse, sample: Sample
) -> None:
    are_cut = iter([True, True])

    async def cut(request: web.Request) -> web.Response | None:
        if request.query.get("page") == "3" and next(are_cut, False):
            return web.Response(body=gzip.compress(b"{")[:-4], headers={"Content-Encoding": "gzip"})
        return None

    sample.intercept = cut
    sample.state.cap = 20
    done = fetch(settings, warehouse, fills=True)
    assert done.traffic.retries >= 2
    assert done.notes == ["OLS serves 20 rows in a page at most: asked for pages of that size."]
    assert done.page_set.plan.page_size == 20
    filled = staging(settings, warehouse, done.page_set).load
    assert filled.counts["terms"] == CLASSES


@pytest.mark.fault("X11")
@pytest.mark.usefixtures("two_workers")
def test_a_page_that_a_process_cannot_write_is_one_sentence(
    settings: Settings, warehouse: Warehouse
) -> None:
    def be_in_the_way(point: str) -> None:
        if point == "C2":
            for folder in (settings.data_dir / "pages" / "efo").glob("*-two"):
                (folder / ".current-00011.json.gz.part").mkdir(exist_ok=True)

    with listening(be_in_the_way), pytest.raises(PageStoreError) as caught:
        fetch(settings, warehouse, fills=True)
    said = r"^The page store .* cannot take a page: Is a directory .*run again"
    assert re.match(said, str(caught.value))
    assert_dropped(warehouse)


def test_keys_are_found_by_what_postgresql_makes_of_an_iri(warehouse: Warehouse) -> None:
    names = ["plain", "Ünïcode", "\U0001f600", " spaced ", "a" * 1000, *map(str, range(200))]
    publish(warehouse, terms=[term(name) for name in names])
    keys = TermKeys(*warehouse.term_keys())
    given = ask(warehouse, "select iri, id from efo_terms")
    assert [(iri, keys.of(iri, 5)) for iri, _ in given] == given
    assert keys.of("http://example.org/new", 5) == max(key for _, key in given) + 6


def test_keys_take_16_bytes_a_term(warehouse: Warehouse) -> None:
    publish(warehouse, terms=[term(str(number)) for number in range(100)])
    hashes, keys, _ = warehouse.term_keys()
    assert len(hashes) + len(keys) == 1600
