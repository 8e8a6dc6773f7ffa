"""The published assets: the tables that people read.

They change together, in one transaction, whichever of them is selected.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import dagster as dg

from efo_assets.graph.descriptions import bars, column_schema, places, report_unselected
from efo_assets.graph.failures import guarded
from efo_assets.graph.io_manager import StagedTable
from efo_assets.graph.ontology import Ontology
from efo_assets.graph.resources import Loader
from efo_assets.privacy.disclosure import one_line
from efo_assets.warehouse.ledger import Publication
from efo_assets.warehouse.profile import shown
from efo_assets.warehouse.schema import Schema
from efo_assets.warehouse.tables import CHANGES, TABLES, TERMS, Table
from efo_assets.warehouse.warehouse import Warehouse

FIGURE_CHARACTERS = 100
FRESHNESS = dg.FreshnessPolicy.time_window(
    warn_window=timedelta(days=35), fail_window=timedelta(days=45)
)
"""EFO comes out monthly, and the weekly schedule materializes what is unchanged, too."""


def published_assets(ontology: Ontology) -> dg.AssetsDefinition:
    """Make the published assets of one graph."""
    names = ontology.names
    keys = {table.name: names.published(table) for table in TABLES}

    def spec(table: Table) -> dg.AssetSpec:
        return dg.AssetSpec(
            keys[table.name],
            deps=[names.staged(each) for each in TABLES],
            group_name=names.group(),
            description=f"{table.comment} Published with the whole release in one transaction.",
            kinds={"postgres", "sql"},
            owners=ontology.owners,
            freshness_policy=FRESHNESS,
            metadata={"dagster/column_schema": column_schema(table.published_columns)},
        )

    @dg.multi_asset(
        name=names.step("published_tables"),
        specs=[spec(table) for table in TABLES],
        ins={"staged": dg.AssetIn(names.staged(TERMS), input_manager_key=names.io_manager)},
        can_subset=True,
        partitions_def=ontology.partitions,
        pool=ontology.pool or names.loader,
        required_resource_keys={names.loader},
    )
    def published_tables(
        context: dg.AssetExecutionContext, staged: StagedTable
    ) -> Iterator[dg.MaterializeResult[Any]]:
        """Publish the staged release as a whole, if its audit has passed."""
        with guarded(context.log):
            loader: Loader = getattr(context.resources, names.loader)
            warehouse, placed = loader.warehouse, places(context, keys)
            load = staged.load
            publication = warehouse.publish(load, run_id=context.run.run_id)
            _log_publication(context, placed, publication)
            sizes = warehouse.sizes()
            profiles = warehouse.profiles(publication.release_id)
            for table in TABLES:
                key = placed[table.name]
                metadata = _metadata(publication, table, warehouse.schema)
                metadata["bytes_on_disk"] = sizes.get(table.name, 0)
                metadata["source"] = dg.MetadataValue.url(load.source.url)
                figures = shown(profiles.get(table.staged_name, {}))
                # A prefix or a relation is OLS's text.
                metadata |= {one_line(name, FIGURE_CHARACTERS): n for name, n in figures.items()}
                if table is CHANGES:
                    metadata |= _digest(warehouse, publication.release_id)
                    metadata["notes"] = dg.MetadataValue.json(list(publication.notes))
                if key in context.selected_asset_keys:
                    yield dg.MaterializeResult(asset_key=key, metadata=metadata)
                else:
                    report_unselected(context, key, metadata)

    return published_tables


def _log_publication(
    context: dg.AssetExecutionContext,
    placed: Mapping[str, dg.AssetKey],
    publication: Publication,
) -> None:
    selected = context.selected_asset_keys
    unselected = [name for name, key in placed.items() if key not in selected]
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


def _metadata(publication: Publication, table: Table, schema: Schema) -> dict[str, Any]:
    return {
        "dagster/row_count": publication.rows[table.name],
        "dagster/table_name": schema.place(table.staged_name),
        **asdict(publication.changes[table.name]),
        "release": dg.MetadataValue.text(publication.release),
        "release_id": publication.release_id,
        "load": dg.MetadataValue.text(publication.load_id),
    }
