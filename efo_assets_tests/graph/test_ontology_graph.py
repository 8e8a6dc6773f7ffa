"""Graphs of several ontologies, in other people's code locations: each on keys of its own."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest

from efo_assets.graph.factory import ontology_graph
from efo_assets.graph.ontology import Ontology
from efo_assets.sample.catalogue import Member
from efo_assets.sample.server import Sample, running_sample
from efo_assets.settings import DatabaseTarget
from efo_assets.warehouse.audit import CHECKS
from efo_assets.warehouse.tables import TABLES
from efo_assets_tests.databases import ask

CLASSES = {"mondo": 90, "hp": 60}
TERMS = TABLES[0]


@pytest.fixture(scope="module")
def catalogue() -> Iterator[Sample]:
    members = tuple(Member(name, classes) for name, classes in CLASSES.items())
    with running_sample(classes=50, catalogue=members) as running:
        yield running


@pytest.fixture
def make(catalogue: Sample, database: DatabaseTarget, tmp_path: Path) -> Callable[..., Ontology]:
    """An ontology of the catalogue, into the test's database."""

    def made(name: str, **fields: Any) -> Ontology:
        return Ontology(
            **{
                "id": name,
                "ols_url": catalogue.url,
                "database": psycopg.conninfo.make_conninfo(**database.parameters),
                "data_dir": str(tmp_path / "data"),
                **fields,
            }
        )

    return made


def run(defs: dg.Definitions) -> dg.ExecuteInProcessResult:
    """Run everything that the definitions can make, but exported files."""
    job = defs.resolve_implicit_global_asset_job_def()
    layer = job.asset_layer
    loaded = {
        key
        for key in layer.executable_asset_keys
        if not str(layer.asset_graph.get(key).group_name).endswith("exports")
    }
    with dg.DagsterInstance.ephemeral() as instance:
        return job.get_subset(asset_selection=loaded).execute_in_process(
            raise_on_error=False, instance=instance
        )


def verdicts(result: dg.ExecuteInProcessResult) -> set[tuple[str, str]]:
    """Asset and name of every check that was evaluated."""
    return {
        (each.asset_key.to_user_string(), each.check_name)
        for each in result.get_asset_check_evaluations()
    }


def expected_verdicts(prefix: str) -> set[tuple[str, str]]:
    return {(f"{prefix}/{check.table}", check.name) for check in CHECKS}


def test_two_ontologies_are_loaded_in_one_run_into_one_database(
    make: Callable[..., Ontology], database: DatabaseTarget
) -> None:
    mine = dg.Definitions(
        assets=[dg.AssetSpec("terms")],
        resources={"warehouse": "mine", "ols": "mine"},
        executor=dg.multiprocess_executor,
    )
    defs = dg.Definitions.merge(mine, ontology_graph(make("mondo")), ontology_graph(make("hp")))
    assert defs.executor is dg.multiprocess_executor
    result = run(defs)
    assert result.success
    assert verdicts(result) == expected_verdicts("mondo/staged") | expected_verdicts("hp/staged")
    for name, classes in CLASSES.items():
        assert ask(database, f"select count(*) from {name}.efo_terms") == [(classes,)]
