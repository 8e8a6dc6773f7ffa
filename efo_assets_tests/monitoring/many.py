"""A catalogue of many ontologies, as its runs leave it in the ledger and in Dagster's history."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import dagster as dg
from sqlalchemy import event
from sqlalchemy.engine import Engine

from efo_assets.graph.resources import PARTITION
from efo_assets.graph.run_tags import GRAPH
from efo_assets_tests.monitoring.conftest import House

JOB = "refresh_ols"
RAW = dg.AssetKey(["ols", "raw_ols_pages"])


@dg.op
def nothing() -> None:
    """Never executed."""


@dg.job(name=JOB)
def refresh_ols() -> None:
    nothing()


def ontology(number: int) -> str:
    return f"many{number:03d}"


def add_to_ledger(house: House, numbers: range) -> None:
    """Schemas of theirs, with the releases, loads and verdicts of the house's own."""
    for table, keys in {
        "loads": ("load_id", "target_schema", "ontology"),
        "verdicts": ("load_id",),
        "releases": ("load_id", "target_schema", "ontology"),
    }.items():
        changes = ", ".join(
            f"'{key}', " + ("t.load_id || '_' || o.name" if key == "load_id" else "o.name")
            for key in keys
        )
        if table == "releases":
            number = "(select max(release_id) from efo_meta.releases) * o.number + t.release_id"
            changes += f", 'release_id', {number}"
        house.graph.ask(
            f"with these as (insert into efo_meta.{table}"
            f" select (jsonb_populate_record(t, jsonb_build_object({changes}))).*"
            f" from efo_meta.{table} as t, (select n, 'many' || to_char(n, 'FM000')"
            f" from generate_series({numbers.start}, {numbers.stop - 1}) as n) as o (number, name)"
            " where t.load_id not like '%many%' returning 1) select count(*) from these"
        )


def end_run(
    instance: dg.DagsterInstance, number: int, *, failed: bool = False, job: Any = refresh_ols
) -> None:
    """A run of one of them that has ended."""
    tags = {GRAPH: "ols", PARTITION: ontology(number)}
    run = instance.create_run_for_job(job, tags=tags, status=dg.DagsterRunStatus.STARTED)
    if failed:
        instance.report_run_failed(run)
        return
    success = dg.DagsterEvent(dg.DagsterEventType.RUN_SUCCESS.value, run.job_name)
    instance.report_dagster_event(success, run.run_id)


def note_download(
    instance: dg.DagsterInstance, number: int, metadata: Mapping[str, dg.MetadataValue[Any]]
) -> None:
    """The event of the raw asset of one of them."""
    made = dg.AssetMaterialization(RAW, partition=ontology(number), metadata=metadata)
    instance.report_runless_asset_event(made)


@contextmanager
def counted() -> Iterator[list[str]]:
    """Every statement that Dagster's storages send meanwhile."""
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def add_earlier_releases(house: House) -> None:
    """Two that were published before the house's own, a month apart."""
    changes = (
        "'release_id', release_id - 2 * n, 'load_id', load_id || '_before_' || n,"
        " 'published_at', published_at - n * interval '30 days'"
    )
    house.graph.ask(
        "insert into efo_meta.releases"
        f" select (jsonb_populate_record(r, jsonb_build_object({changes}))).*"
        " from efo_meta.releases as r, generate_series(1, 2) as n returning 1"
    )
