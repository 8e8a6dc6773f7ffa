"""The staged assets: the tables of one load, copied from pages or derived from those by SQL.

`raw_ols_pages` fills the copied ones while the pages come, where both are in a run; else one pass
over the kept pages does. All are always staged together, since a load is of one release or none.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import dagster as dg

from efo_assets.graph.descriptions import (
    column_schema,
    place_metadata,
    places,
    report_unselected,
    table_metadata,
)
from efo_assets.graph.failures import guarded
from efo_assets.graph.io_manager import StagedTable
from efo_assets.graph.ontology import Ontology
from efo_assets.graph.resources import Loader
from efo_assets.pipeline.load import newest_pages
from efo_assets.pipeline.staging import Staging, staging
from efo_assets.settings import DatabaseTarget
from efo_assets.warehouse.load import Load
from efo_assets.warehouse.tables import COPIED, DERIVED, FORMAT_VERSION, TABLES, Table

STEP = "staged_tables"


def staged_assets(ontology: Ontology) -> dg.AssetsDefinition:
    """Make the staged assets of one graph."""
    names = ontology.names
    keys = {table.staged_name: names.staged(table) for table in TABLES}

    def spec(table: Table) -> dg.AssetSpec:
        return dg.AssetSpec(
            keys[table.staged_name],
            deps=[keys[name] for name in table.made_from] or [names.raw],
            group_name=names.group("staged"),
            description=(
                f"{table.comment} Staged in the schema of one load, by IRI, without constraints."
            ),
            kinds={"sql" if table.is_derived else "python", "postgres"},
            owners=ontology.owners,
            code_version=str(FORMAT_VERSION),
            metadata={"dagster/column_schema": column_schema(table.staged_columns)},
        ).with_io_manager_key(names.io_manager)

    @dg.multi_asset(
        name=names.step(STEP),
        specs=[spec(table) for table in TABLES],
        can_subset=True,
        partitions_def=ontology.partitions,
        pool=ontology.pool or names.loader,
        required_resource_keys={names.loader},
    )
    def staged_tables(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[Any]]:
        """Fill the tables of a load of its own with the newest complete download, and seal it."""
        loader: Loader = getattr(context.resources, names.loader)
        with guarded(context.log), loader.attempt(context.run.run_id) as warehouse:
            began_s = time.monotonic()
            pages = newest_pages(loader.settings)
            staged = staging(loader.settings, warehouse, pages, run_id=context.run.run_id)
            placed = places(context, keys)
            yield from _reported(context, placed, staged, COPIED, began_s=began_s)
            load = staged.seal()
            yield from _reported(context, placed, staged, DERIVED, began_s=began_s)
            context.log.info("load %s of %s is staged", load.load_id, load.source.name)

    return staged_tables


def _reported(
    context: dg.AssetExecutionContext,
    placed: Mapping[str, dg.AssetKey],
    staged: Staging,
    tables: Iterable[Table],
    *,
    began_s: float,
) -> Iterator[dg.MaterializeResult[Any]]:
    """Report what is staged; what isn't selected, by an event of its own."""
    seconds = round(time.monotonic() - began_s, 2)
    for table in tables:
        key = placed[table.staged_name]
        metadata = {**_metadata(staged.load, table, staged.warehouse.target), "seconds": seconds}
        if key in context.selected_asset_keys:
            is_copied = not (table.is_derived or staged.is_reused)
            rows = staged.load.counts[table.staged_name] if is_copied else None
            value = StagedTable(staged.load, rows)
            yield dg.MaterializeResult(asset_key=key, metadata=metadata, value=value)
            continue
        if not table.is_derived:
            context.log.info("%s is staged too: all tables come from one pass", table.staged_name)
        report_unselected(context, key, metadata)


def _metadata(load: Load, table: Table, target: DatabaseTarget) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "load": dg.MetadataValue.text(load.load_id),
        "release": dg.MetadataValue.text(load.source.name),
        **place_metadata(target, f"{load.schema}.{table.staged_name}"),
    }
    if table.is_derived:
        metadata["dagster/row_count"] = dg.MetadataValue.int(load.counts[table.staged_name])
    if table is TABLES[0]:
        metadata["left_out_or_mended"] = table_metadata(
            {"what": what, "values": found["count"], "samples": found["samples"]}
            for what, found in load.findings.items()
        )
    return metadata
