"""SIGKILL in the middle of a real run: what is kept is used, the old release stays whole.

The victim is Dagster's own command in a process of its own. Every other moment is killed without
Dagster, by the kill matrix of the faults.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from efo_assets.sample.ontology import release
from efo_assets.sample.server import Sample
from efo_assets_tests.graph.materializing import Graph
from efo_assets_tests.oracle.rows import expected_rows

CLASSES = 400
SEED = 11
PAGE_SIZE = 20
TIMEOUT_S = 120


def run_dagster(crash_point: str = "") -> int:
    """The exit code of `dagster asset materialize` over the whole graph."""
    dagster = Path(sys.executable).with_name("dagster")
    command = [str(dagster), "asset", "materialize", "-m", "efo_assets_tests.faults.crashing"]
    done = subprocess.run(
        [*command, "--select", "*"],
        env={**os.environ, "EFO_CRASH_POINT": crash_point},
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr.decode()[-3000:]
    return done.returncode


def page_requests(sample: Sample) -> list[tuple[str, str]]:
    """List and number of each page asked for; probes ask for one row."""
    return [
        (each.query.get("isObsolete", ""), each.query["page"])
        for each in sample.requests
        if each.query.get("size") == str(PAGE_SIZE)
    ]


def assert_published_is_release(graph: Graph, number: int) -> None:
    expected = expected_rows(release(CLASSES, SEED, number))
    published = graph.published()
    for name in ("terms", "synonyms", "parent_edges", "xrefs"):
        assert published[name] == getattr(expected, name), name


@pytest.mark.fault("X01")
def test_killed_in_the_download_only_missing_pages_are_asked_for(
    graph: Graph, sample: Sample
) -> None:
    assert run_dagster("C4:9") == -signal.SIGKILL
    kept = set(page_requests(sample))
    stored = list(graph.data_dir.rglob("*.json.gz"))
    assert len(stored) >= 8
    sample.requests.clear()
    assert graph.materialize().success
    asked = page_requests(sample)
    pages = -(-CLASSES // PAGE_SIZE) + 1
    assert len(asked) == len(set(asked)), "no page twice"
    assert len(asked) <= pages - 8, "the pages in the manifest are not asked for again"
    assert len(set(asked) | kept) <= pages
    assert_published_is_release(graph, 1)


@pytest.mark.fault("X03")
def test_killed_in_publication_one_release_stands_whole(graph: Graph, sample: Sample) -> None:
    assert graph.materialize().success
    sample.publish(2)
    assert run_dagster("C10:3") == -signal.SIGKILL
    assert_published_is_release(graph, 1)
    sample.requests.clear()
    assert graph.materialize().success
    assert page_requests(sample) == []
    assert_published_is_release(graph, 2)
    assert graph.ask("select count(*) from efo_meta.releases") == [(2,)]
    schemas = graph.ask("select nspname from pg_namespace where nspname like 'efo_load_%'")
    assert len(schemas) <= 3
    assert graph.ask("select pid from pg_locks where locktype = 'advisory' and granted") == []
