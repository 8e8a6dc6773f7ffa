"""Runs on several machines: what each keeps is its own, and PostgreSQL is asked before OLS is."""

from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from efo_assets.pipeline.load import fetch, newest_pages, stage
from efo_assets.sample.server import Sample
from efo_assets.settings import DatabaseTarget, Settings
from efo_assets.warehouse.warehouse import Warehouse
from efo_assets_tests.databases import ask, connected
from efo_assets_tests.faults.engine import load_once, settings_for
from efo_assets_tests.graph.materializing import Graph, failure

CLASSES = 120
PAGES = 7
"""Of 20 rows, of current classes and obsolete ones."""
PAGE_SIZE = 20

Machine = Callable[[str], Settings]


@pytest.fixture
def machine(sample: Sample, database: DatabaseTarget, tmp_path: Path) -> Machine:
    """The settings on one of several machines, by its name: a data directory of its own."""
    return lambda name: settings_for(sample.url, database, tmp_path / name)


def pages_asked_for(sample: Sample) -> int:
    asked = sum(int(each.query.get("size", 0)) > 1 for each in sample.requests)
    sample.reset()
    return asked


def test_what_stands_is_not_downloaded_on_another_machine(
    machine: Machine, sample: Sample, database: DatabaseTarget
) -> None:
    first = load_once(machine("one"))
    assert pages_asked_for(sample) == PAGES
    again = load_once(machine("two"))
    assert (again.release_id, again.written) == (first.release_id, 0)
    assert pages_asked_for(sample) == 0
    load_once(machine("two"))
    assert pages_asked_for(sample) == 0
    loads = "select count(*) from efo_meta.loads"
    assert ask(database, loads) == [(1,)]


def test_steps_in_processes_of_their_own_find_what_stands(
    machine: Machine, sample: Sample, database: DatabaseTarget
) -> None:
    first = load_once(machine("one"))
    sample.reset()
    settings = machine("two")
    with Warehouse(database) as warehouse:
        fetch(settings, warehouse, fills=True)
    with Warehouse(database) as warehouse:
        staged = stage(settings, warehouse, newest_pages(settings))
        warehouse.audit(staged)
    with Warehouse(database) as warehouse:
        assert warehouse.publish(warehouse.latest()).release_id == first.release_id
    assert pages_asked_for(sample) == 0


def test_a_machine_with_pages_of_an_older_release_goes_on_with_the_one_that_stands(
    machine: Machine, sample: Sample
) -> None:
    load_once(machine("one"))
    sample.publish(2)
    load_once(machine("two"))
    sample.reset()
    assert load_once(machine("one")).written == 0
    assert pages_asked_for(sample) == 0
    sample.publish(3)
    assert load_once(machine("one")).release.endswith("3.903.0")
    assert pages_asked_for(sample) == PAGES


def test_a_load_that_another_machine_staged_is_published_without_a_page(
    machine: Machine, sample: Sample, database: DatabaseTarget
) -> None:
    with Warehouse(database) as warehouse:
        stage(machine("one"), warehouse, fetch(machine("one"), warehouse, fills=True).page_set)
    sample.reset()
    assert load_once(machine("two")).written
    assert pages_asked_for(sample) == 0


def test_a_download_that_was_cut_off_begins_anew_on_another_machine(
    machine: Machine, sample: Sample, database: DatabaseTarget
) -> None:
    with Warehouse(database) as warehouse:
        fetch(machine("one"), warehouse, fills=False)
    sample.reset()
    assert load_once(machine("two")).written
    assert pages_asked_for(sample) == PAGES


def test_published_rows_that_were_changed_are_downloaded_and_made_again(
    machine: Machine, sample: Sample, database: DatabaseTarget
) -> None:
    load_once(machine("one"))
    with connected(database) as connection:
        connection.execute("update efo_terms set label = 'changed' where id = 1")
    sample.reset()
    assert load_once(machine("two")).written == 1
    assert pages_asked_for(sample) == PAGES


def test_pages_alone_are_fetched_whatever_stands(
    machine: Machine, sample: Sample, database: DatabaseTarget
) -> None:
    load_once(machine("one"))
    load_once(machine("two"))
    sample.reset()
    with Warehouse(database) as warehouse:
        kept = fetch(machine("two"), warehouse, fills=False)
    assert (kept.fetched, kept.pages) == (PAGES, PAGES)


def test_the_graph_succeeds_on_a_machine_without_pages(
    graph: Graph, sample: Sample, tmp_path: Path
) -> None:
    assert graph.materialize().success
    sample.reset()
    graph.configure(EFO_DATA_DIR=str(tmp_path / "two"))
    with dg.DagsterInstance.ephemeral() as instance:
        result = graph.materialize(instance=instance)
    assert result.success, failure(result)
    assert pages_asked_for(sample) == 0
    (raw,) = result.asset_materializations_for_node("raw_ols_pages")
    assert raw.metadata["fetched"].value == raw.metadata["pages"].value == 0
    assert graph.ask("select count(*) from efo_meta.releases") == [(1,)]
