"""The real graph on a real PostgreSQL and a real HTTP server, in this process."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest

from efo_assets.definitions import build_defs
from efo_assets.graph.exported import exported_files
from efo_assets.settings import DatabaseTarget
from efo_assets_tests.databases import connected

Rows = set[tuple[Any, ...]]


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
        loaded = set(job.asset_layer.executable_asset_keys) - set(exported_files.keys)
        job = job.get_subset(
            asset_selection={dg.AssetKey(key) for key in keys} or loaded,
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
    """Every table by natural keys, arrays as tuples, in the contract's column order.

    Without ancestors, which are many, and changes, which add up.
    """
    return {
        "terms": _rows(
            ask(
                "select iri, curie, label, other_labels, definition, other_definitions,"
                " is_obsolete, is_root, is_defining, replaced_by, consider, subsets,"
                " is_gwas_trait, obsoleted_in, obsolescence_reason"
                " from efo_terms where removed_in is null"
            )
        ),
        "synonyms": _rows(
            ask(
                "select t.iri, s.synonym, s.scope, s.type, s.other_types, s.sources"
                " from efo_synonyms as s join efo_terms as t on t.id = s.term_id"
            )
        ),
        "parent_edges": _rows(
            ask(
                "select c.iri, p.iri, e.predicate from efo_parent_edges as e"
                " join efo_terms as c on c.id = e.child_id"
                " join efo_terms as p on p.id = e.parent_id"
            )
        ),
        "xrefs": _rows(
            ask(
                "select t.iri, x.prefix, x.accession, x.relation, x.sources, x.url, x.found"
                " from efo_xrefs as x join efo_terms as t on t.id = x.term_id"
            )
        ),
        "replacements": _rows(
            ask(
                "select t.iri, r.ordinal, r.kind, r.target, r.status, r.hops, r.path, r.evidence"
                " from efo_replacements as r join efo_terms as t on t.id = r.term_id"
            )
        ),
        "mesh_terms": _rows(
            ask(
                "select t.iri, m.mesh_id, m.mesh_kind, m.relation, m.is_own, m.via, m.sources,"
                " m.is_only_term, m.is_only_mesh_id"
                " from efo_mesh_terms as m join efo_terms as t on t.id = m.term_id"
            )
        ),
    }


def published_ancestors(ask: Callable[[str], list[tuple[Any, ...]]]) -> Rows:
    """Term, ancestor, distance and distance over is_a, by IRI."""
    return _rows(
        ask(
            "select t.iri, a.iri, c.distance, c.is_a_distance from efo_ancestors as c"
            " join efo_terms as t on t.id = c.term_id join efo_terms as a on a.id = c.ancestor_id"
        )
    )


def _rows(found: Sequence[Sequence[Any]]) -> Rows:
    rows = [tuple(tuple(v) if isinstance(v, list) else v for v in row) for row in found]
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
