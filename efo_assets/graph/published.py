"""The published assets: the tables that people read.

They change together, in one transaction, whichever of them is selected.
"""

from collections.abc import Iterator
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import dagster as dg

from efo_assets.graph.descriptions import LOADER_POOL, OWNERS, bars, column_schema
from efo_assets.graph.failures import guarded
from efo_assets.graph.io_manager import StagedTable
from efo_assets.graph.resources import WarehouseResource
from efo_assets.privacy.disclosure import one_line
from efo_assets.warehouse.ledger import Publication
from efo_assets.warehouse.profile import shown
from efo_assets.warehouse.tables import CHANGES, COPIED, TABLES, Table
from efo_assets.warehouse.warehouse import Warehouse

GROUP = "efo"
FIGURE_CHARACTERS = 100
FRESHNESS = dg.FreshnessPolicy.time_window(
    warn_window=timedelta(days=35), fail_window=timedelta(days=45)
)
"""EFO comes out monthly, and the weekly schedule materializes what is unchanged, too."""


def _spec(table: Table) -> dg.AssetSpec:
    return dg.AssetSpec(
        table.name,
        deps=[each.staged_name for each in TABLES],
        group_name=GROUP,
        description=f"{table.comment} Published with the whole release in one transaction.",
        kinds={"postgres", "sql"},
        owners=OWNERS,
        freshness_policy=FRESHNESS,
        metadata={"dagster/column_schema": column_schema(table.published_columns)},
    )


@dg.multi_asset(
    specs=[_spec(table) for table in TABLES],
    ins={
        table.staged_name: dg.AssetIn(table.staged_name, input_manager_key="postgres_copy")
        for table in COPIED
    },
    can_subset=True,
    pool=LOADER_POOL,
)
def published_tables(  # noqa: PLR0917  # one argument per staged table
    context: dg.AssetExecutionContext,
    warehouse: WarehouseResource,
    terms: StagedTable,
    synonyms: StagedTable,
    parent_edges: StagedTable,
    xrefs: StagedTable,
) -> Iterator[dg.MaterializeResult[Any]]:
    """Publish the staged release as a whole, if its audit has passed."""
    del synonyms, parent_edges, xrefs  # references to tables of the same load
    with guarded(context.log):
        publication = warehouse.get().publish(terms.load, run_id=context.run.run_id)
        _log_publication(context, publication)
        sizes = warehouse.get().sizes()
        profiles = warehouse.get().profiles(publication.release_id)
        for table in TABLES:
            key = dg.AssetKey(table.name)
            metadata = _metadata(publication, table, warehouse.get().schema)
            metadata["bytes_on_disk"] = sizes.get(table.name, 0)
            metadata["source"] = dg.MetadataValue.url(terms.load.source.url)
            figures = shown(profiles.get(table.staged_name, {}))
            # A prefix or a relation is OLS's text.
            metadata |= {one_line(name, FIGURE_CHARACTERS): n for name, n in figures.items()}
            if table is CHANGES:
                metadata |= _digest(warehouse.get(), publication.release_id)
                metadata["notes"] = dg.MetadataValue.json(list(publication.notes))
            if key in context.selected_asset_keys:
                yield dg.MaterializeResult(asset_key=key, metadata=metadata)
            else:
                context.log_event(dg.AssetMaterialization(key, metadata=metadata))


def _log_publication(context: dg.AssetExecutionContext, publication: Publication) -> None:
    selected = context.selected_asset_keys
    unselected = [table.name for table in TABLES if dg.AssetKey(table.name) not in selected]
    if unselected:
        context.log.info(
            "the release is published as a whole, so %s are published with what was selected",
            ", ".join(unselected),
        )
    outcome = "published already: nothing changed, 0 rows written"
    if publication.written:
        number, rows = publication.release_id, publication.written
        outcome = f"published as release {number}: {rows:,} rows written"
    context.log.info("%s is %s", publication.release, outcome)
    for note in publication.notes:
        context.log.warning("%s", note)


def _digest(warehouse: Warehouse, release_id: int) -> dict[str, Any]:
    """The release's changes by kind, as a table and as bars; kinds are names in the code."""
    digest = warehouse.ask("change_digest", {"release_id": release_id})
    if not digest:
        return {"digest": dg.MetadataValue.text("No changes are told: the first release, or none.")}
    records = [dg.TableRecord({"kind": kind, "changes": n, "terms": t}) for kind, n, t in digest]
    return {
        "digest": dg.MetadataValue.table(records),
        "digest_chart": dg.MetadataValue.md(bars({kind: n for kind, n, _ in digest})),
    }


def _metadata(publication: Publication, table: Table, schema: str) -> dict[str, Any]:
    return {
        "dagster/row_count": publication.rows[table.name],
        "dagster/table_name": f"{schema}.{table.name}",
        **asdict(publication.changes[table.name]),
        "release": dg.MetadataValue.text(publication.release),
        "release_id": publication.release_id,
        "load": dg.MetadataValue.text(publication.load_id),
    }
