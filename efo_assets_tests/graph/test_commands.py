"""Dagster's own commands as people type them: what they do, and what they say when they can't."""

import asyncio
import re
import shlex
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from aiohttp import web

from efo_assets.sample.ontology import release
from efo_assets.sample.server import Sample
from efo_assets_tests.commands import ROOT, assert_one_sentence, dagster, ended, started
from efo_assets_tests.graph.materializing import Graph
from efo_assets_tests.oracle.rows import expected_rows

CLASSES = 400
SEED = 11
PAGE_SIZE = 50
PATIENCE_S = 60.0


class Held:
    """Holds back the answer to one page until it is let go."""

    def __init__(self, page: str = "3") -> None:
        self.page = page
        self.asked = threading.Event()
        self.let_go = threading.Event()

    async def intercept(self, request: web.Request) -> web.StreamResponse | None:
        if request.query.get("page") == self.page and not self.let_go.is_set():
            self.asked.set()
            await asyncio.to_thread(self.let_go.wait, PATIENCE_S)
        return None


WHOLE_OUTPUT = {"DAGSTER_COMPUTE_LOG_TAIL_WAIT_AFTER_FINISH": "1.5"}
"""Else Dagster may end the `tail` that a step's output passes before its last line."""


@pytest.fixture
def held(sample: Sample) -> Iterator[Held]:
    hold = Held()
    hold.let_go.set()
    sample.intercept = hold.intercept
    yield hold
    hold.let_go.set()


def assert_published_is_release(graph: Graph, number: int) -> None:
    expected = expected_rows(release(CLASSES, SEED, number))
    assert graph.published()["terms"] == expected.terms
    assert graph.published()["parent_edges"] == expected.parent_edges


def pages_asked(sample: Sample) -> list[tuple[str, str]]:
    return [
        (each.query.get("isObsolete", ""), each.query["page"])
        for each in sample.requests
        if each.query.get("size") == str(PAGE_SIZE)
    ]


def test_the_documented_selections_load_and_publish(graph: Graph) -> None:
    done = dagster("-m", "efo_assets.definitions", "--select", "*efo_terms")
    assert done.returncode == 0, done.stdout[-3000:]
    assert_published_is_release(graph, 1)
    alone = dagster("--select", "efo_terms")
    assert alone.returncode == 0, alone.stdout[-3000:]
    assert "nothing changed, 0 rows written" in alone.stdout


def test_dg_launches_the_same(graph: Graph) -> None:
    done = ended(started("dg", "launch", "--assets", "*efo_terms"))
    assert done.returncode == 0, done.stdout[-3000:]
    assert_published_is_release(graph, 1)


def test_publishing_before_anything_is_staged_is_one_sentence(graph: Graph) -> None:
    done = dagster("--select", "efo_terms")
    assert_one_sentence(done, "Nothing is staged for schema public", "--select '*efo_terms'")
    assert not graph.data_dir.exists()


def test_an_unknown_ontology_is_one_sentence(graph: Graph) -> None:
    graph.configure(EFO_ONTOLOGY="nosuch")
    assert_one_sentence(dagster("--select", "*"), "nosuch")


@pytest.mark.fault("H32")
def test_a_release_that_may_not_follow_is_one_sentence_before_a_page(
    graph: Graph, sample: Sample
) -> None:
    sample.publish(2)
    assert graph.materialize().success
    sample.publish(1)
    sample.requests.clear()
    done = dagster("--select", "*", **WHOLE_OUTPUT)
    assert_one_sentence(done, "efo 3.901.0 is older than efo 3.902.0, which is published in schema")
    assert done.stdout.count("is older than") == 2, "Dagster tells it of the step and of the run"
    assert pages_asked(sample) == []


@pytest.mark.fault("X25")
def test_exports_that_cannot_be_written_are_told_before_the_download_if_they_are_selected(
    graph: Graph, sample: Sample
) -> None:
    graph.data_dir.mkdir()
    (graph.data_dir / "exports").touch()
    assert_one_sentence(dagster("--select", "*"), "Files can't be written in", "(File exists)")
    assert list(sample.requests) == []
    assert graph.materialize().success


def test_a_host_that_does_not_answer_is_one_sentence(graph: Graph) -> None:
    graph.configure(EFO_OLS_URL="http://127.0.0.1:1/ols4")
    assert_one_sentence(dagster("--select", "*"), "OLS unreachable at 127.0.0.1:1", "demo")


@pytest.mark.parametrize(
    ("command", "times"),
    [
        (("efo-assets", "load"), 1),
        # Dagster prints it with the failure of the step and with that of the run.
        (("dagster", "asset", "materialize", "--select", "*efo_terms"), 2),
    ],
    ids=["efo-assets", "dagster"],
)
def test_a_refused_audit_is_one_sentence_and_not_repeated(
    graph: Graph, sample: Sample, command: tuple[str, ...], times: int
) -> None:
    assert graph.materialize().success
    graph.ask(
        "update efo_meta.releases set counts = jsonb_set(counts, '{terms}', '1000000') returning 1"
    )
    sample.publish(2)
    done = ended(started(*command, **WHOLE_OUTPUT))
    refused = "terms_did_not_shrink (999,600 lost rows: published 1,000,000 staged 400)"
    assert_one_sentence(done, "efo 3.902.0 is not published", refused, "EFO_ALLOW_SHRINK=1")
    assert done.stdout.count(refused) == times, done.stdout
    assert "offender" not in done.stdout
    assert_published_is_release(graph, 1)


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_in_the_download_it_says_what_is_kept(
    graph: Graph, sample: Sample, held: Held, signal_number: int
) -> None:
    held.let_go.clear()
    graph.configure(EFO_MAX_IN_FLIGHT="1")
    process = started("dagster", "asset", "materialize", "--select", "*")
    assert held.asked.wait(PATIENCE_S)
    process.send_signal(signal_number)
    assert_one_sentence(ended(process), "Interrupted.", "run the same command again")
    held.let_go.set()
    before = pages_asked(sample)
    sample.requests.clear()
    assert dagster("--select", "*").returncode == 0
    assert set(pages_asked(sample)) & set(before[:-1]) == set(), "kept pages are not asked for"
    assert_published_is_release(graph, 1)


def test_interrupted_in_publication_the_old_release_stays(graph: Graph, sample: Sample) -> None:
    assert graph.materialize().success
    sample.publish(2)
    with _locked(graph, "efo_parent_edges") as is_waited_for:
        process = started("dagster", "asset", "materialize", "--select", "*")
        _until(is_waited_for)
        process.send_signal(signal.SIGINT)
        assert_one_sentence(ended(process), "Interrupted.", "run the same command again")
    assert_published_is_release(graph, 1)
    assert graph.materialize().success
    assert_published_is_release(graph, 2)


def test_a_second_run_at_once_ends_and_names_the_first(graph: Graph, held: Held) -> None:
    held.let_go.clear()
    first = started("dagster", "asset", "materialize", "--select", "*")
    assert held.asked.wait(PATIENCE_S)
    assert_one_sentence(dagster("--select", "*"), "Another load into schema public is under way")
    held.let_go.set()
    assert ended(first).returncode == 0
    assert_published_is_release(graph, 1)


def test_the_sensor_is_previewed_as_documented(graph: Graph, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "operations" / "automation.md").read_text()
    (line,) = re.findall(r"^\$ (DAGSTER_HOME=.* dagster sensor preview .*)$", page, re.MULTILINE)
    home, *words = shlex.split(line)
    assert home.endswith("/.efo/dagster_home"), "where `make dev` keeps it"
    (tmp_path / "home").mkdir()
    assert graph.materialize().success
    done = ended(started(*words, DAGSTER_HOME=str(tmp_path / "home")))
    assert done.returncode == 0, done.stdout[-3000:]
    assert "skipping: Nothing new: efo 3.901.0" in done.stdout, done.stdout[-3000:]
    assert 'File "' not in done.stdout


@contextmanager
def _locked(graph: Graph, table: str) -> Iterator[Callable[[], bool]]:
    """Hold a lock that a publication needs; give a function that tells whether it is waited for."""
    parameters: dict[str, Any] = dict(graph.database.parameters)
    with psycopg.connect(**parameters) as holder, psycopg.connect(**parameters) as watcher:
        watcher.autocommit = True
        holder.execute(f"lock table {table} in share mode")

        def is_waited_for() -> bool:
            return bool(
                watcher.execute("select 1 from pg_locks where not granted limit 1").fetchone()
            )

        yield is_waited_for


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
