"""The staged assets: the tables of one load, copied from pages or derived from those by SQL.

`raw_ols_pages` fills the copied ones while the pages come, where both are in a run; else one pass
over the kept pages does. All are always staged together, since a load is of one release or none.
"""

from collections.abc import Iterable, Iterator

import dagster as dg

from efo_assets.graph.descriptions import LOADER_POOL, OWNERS, column_schema
from efo_assets.graph.failures import guarded
from efo_assets.graph.io_manager import StagedTable
from efo_assets.graph.resources import OlsResource, WarehouseResource
from efo_assets.pipeline.load import newest_pages
from efo_assets.pipeline.staging import Staging, staging
from efo_assets.warehouse.load import Load
from efo_assets.warehouse.tables import COPIED, DERIVED, TABLES, Table

GROUP = "staged"


def _out(table: Table) -> dg.AssetOut:
    return dg.AssetOut(
        key=table.staged_name,
        group_name=GROUP,
        description=(
            f"{table.comment} Staged in the schema of one load, by IRI, without constraints."
        ),
        kinds={"sql" if table.is_derived else "python", "postgres"},
        owners=OWNERS,
        io_manager_key="postgres_copy",
        is_required=False,
        metadata={"dagster/column_schema": column_schema(table.staged_columns)},
    )


@dg.multi_asset(
    outs={table.staged_name: _out(table) for table in TABLES},
    deps=["raw_ols_pages"],
    internal_asset_deps={
        table.staged_name: {dg.AssetKey(name) for name in table.made_from or ("raw_ols_pages",)}
        for table in TABLES
    },
    can_subset=True,
    pool=LOADER_POOL,
)
def staged_tables(
    context: dg.AssetExecutionContext, ols: OlsResource, warehouse: WarehouseResource
) -> Iterator[dg.Output[object]]:
    """Fill the tables of a load of its own with the newest complete download, and seal it."""
    with guarded(context.log):
        pages = newest_pages(ols.settings)
        staged = staging(ols.settings, warehouse.get(), pages, run_id=context.run.run_id)
        yield from _reported(context, staged, COPIED)
        load = staged.seal()
        yield from _reported(context, staged, DERIVED)
        context.log.info("load %s of %s is staged", load.load_id, load.source.name)


def _reported(
    context: dg.AssetExecutionContext, staged: Staging, tables: Iterable[Table]
) -> Iterator[dg.Output[object]]:
    """Hand the selected tables to the IO manager, and report the others here."""
    for table in tables:
        name, metadata = table.staged_name, _metadata(staged.load, table)
        if name in context.op_execution_context.selected_output_names:
            is_copied = not (table.is_derived or staged.is_reused)
            rows = staged.load.counts[name] if is_copied else None
            yield dg.Output(StagedTable(staged.load, name, rows), name, metadata=metadata)
            continue
        if not table.is_derived:
            context.log.info("%s is staged too: all tables come from one pass", name)
        context.log_event(dg.AssetMaterialization(name, metadata=metadata))


def _metadata(load: Load, table: Table) -> dict[str, dg.MetadataValue]:
    metadata: dict[str, dg.MetadataValue] = {
        "load": dg.MetadataValue.text(load.load_id),
        "release": dg.MetadataValue.text(load.source.name),
        "dagster/table_name": dg.MetadataValue.text(f"{load.schema}.{table.staged_name}"),
    }
    if table.is_derived:
        metadata["dagster/row_count"] = dg.MetadataValue.int(load.counts[table.staged_name])
    if table is TABLES[0]:
        # Samples are OLS's text: shown as JSON, never as Markdown or a link.
        metadata["left_out_or_mended"] = dg.MetadataValue.json(dict(load.findings))
    return metadata
