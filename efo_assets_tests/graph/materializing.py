"""The real graph on a real PostgreSQL and a real HTTP server, in this process."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest

from efo_assets.definitions import build_defs
from efo_assets.graph.ontology import Ontology
from efo_assets.settings import DatabaseTarget
from efo_assets.warehouse.tables import BY_STAGED_NAME, TABLES, TERMS, Table
from efo_assets_tests.databases import connected
from efo_assets_tests.oracle.tables import ROW_TYPES
from efo_assets_tests.warehouse.loads import iri_column

Rows = set[Any]
NAMES = Ontology().names
"""Of the default graph."""
EXPORTS = [
    *(f"{table.name}_parquet" for table in TABLES),
    "efo_mesh_terms_sssom",
    "efo_replacements_tsv",
    "efo_release_report",
]
STAGED = [NAMES.staged(table).to_user_string() for table in TABLES]


class Graph:
    """Materializes a selection with the environment that a user would set."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, database: DatabaseTarget, data_dir: Path, url: str
    ) -> None:
        self._monkeypatch = monkeypatch
        self.database = database
        self.data_dir = data_dir
        url_of_database = psycopg.conninfo.make_conninfo(**database.parameters)
        self.configure(
            EFO_OLS_URL=url, EFO_DATABASE_URL=url_of_database, EFO_DATA_DIR=str(data_dir)
        )

    def configure(self, **variables: str) -> None:
        """Set environment variables."""
        for name, value in variables.items():
            self._monkeypatch.setenv(name, value)

    def materialize(
        self, *keys: str, instance: dg.DagsterInstance | None = None, checks: bool = True
    ) -> dg.ExecuteInProcessResult:
        """Run everything but exports, or the named assets with nothing upstream of them."""
        job = build_defs().resolve_implicit_global_asset_job_def()
        not_loaded = [NAMES.ols, *map(dg.AssetKey, EXPORTS)]
        loaded = set(job.asset_layer.executable_asset_keys).difference(not_loaded)
        job = job.get_subset(
            asset_selection={dg.AssetKey.from_user_string(key) for key in keys} or loaded,
            asset_check_selection=None if checks else set(),
        )
        if instance is not None:
            return job.execute_in_process(raise_on_error=False, instance=instance)
        with dg.DagsterInstance.ephemeral() as own:
            return job.execute_in_process(raise_on_error=False, instance=own)

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        """Rows of a query with the published schema on the path."""
        with connected(self.database) as connection:
            return connection.execute(query).fetchall()

    def published(self) -> dict[str, Rows]:
        """Every table but ancestors and changes; see `published_rows`."""
        return published_rows(self.ask)


def published_rows(ask: Callable[[str], list[tuple[Any, ...]]]) -> dict[str, Rows]:
    """The rows of each table that the oracle knows, by the columns of the specification."""
    return {name: _published(ask, BY_STAGED_NAME[name], made) for name, made in ROW_TYPES.items()}


def _published(ask: Callable[[str], list[tuple[Any, ...]]], table: Table, made: Any) -> Rows:
    """All rows of a table, as the oracle's type takes them by name; terms by IRI."""
    names = [column.name for column in table.columns]
    columns = [f"r.{name}" for name in names]
    joins = ""
    for ref in reversed(table.references):
        names.insert(0, iri_column(ref))
        columns.insert(0, f"{ref.name}.iri")
        joins += f" left join efo_terms as {ref.name} on {ref.name}.id = r.{ref.name}"
    where = " where r.removed_in is null" if table is TERMS else ""
    rows = _rows(ask(f"select {', '.join(columns)} from {table.name} as r{joins}{where}"))
    return {made(**dict(zip(names, row, strict=True))) for row in rows}


def published_ancestors(ask: Callable[[str], list[tuple[Any, ...]]]) -> Rows:
    """Term, ancestor, distance and distance over is_a, by IRI."""
    return _rows(
        ask(
            "select t.iri, a.iri, c.distance, c.is_a_distance from efo_ancestors as c"
            " join efo_terms as t on t.id = c.term_id join efo_terms as a on a.id = c.ancestor_id"
        )
    )


def _rows(fetched: Sequence[Sequence[Any]]) -> Rows:
    rows = [tuple(tuple(v) if isinstance(v, list) else v for v in row) for row in fetched]
    distinct = set(rows)
    assert len(distinct) == len(rows), "a row stands twice"
    return distinct


def failure(result: dg.ExecuteInProcessResult) -> str:
    """The one sentence of the failure that ended a run."""
    assert not result.success
    (event,) = [event for event in result.all_events if event.is_step_failure]
    data = event.step_failure_data
    assert data.user_failure_data is not None, "not an expected failure"
    assert data.error is not None
    assert not data.error.stack, "no frames of Dagster's"
    return str(data.user_failure_data.description)
