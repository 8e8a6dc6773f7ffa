"""The exported assets: files of the published release, for use without PostgreSQL."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from efo_assets.graph.descriptions import OWNERS
from efo_assets.graph.failures import guarded
from efo_assets.graph.resources import WarehouseResource
from efo_assets.pipeline import exports
from efo_assets.settings import Settings
from efo_assets.warehouse.tables import MESH_TERMS, REPLACEMENTS, TABLES

GROUP = "exports"
KEPT = "Files that stood there are kept, and so is the published release"
_FILES = {
    **{f"{table.name}_parquet": (exports.parquet_name(table), table) for table in TABLES},
    "efo_mesh_terms_sssom": (exports.SSSOM_NAME, MESH_TERMS),
    "efo_replacements_tsv": (exports.REPLACEMENTS_NAME, REPLACEMENTS),
}
"""Asset key to the file's name and the table that it is made from."""


def _spec(key: str) -> dg.AssetSpec:
    name, table = _FILES[key]
    return dg.AssetSpec(
        key,
        deps=[table.name],
        group_name=GROUP,
        description=f"`{name}`: {table.comment} Terms by IRI, rows in a fixed order.",
        kinds={"file", "parquet" if name.endswith(".parquet") else "tsv"},
        owners=OWNERS,
    )


@dg.multi_asset(specs=[_spec(key) for key in _FILES], can_subset=True)
def exported_files(
    context: dg.AssetExecutionContext, warehouse: WarehouseResource
) -> Iterator[dg.MaterializeResult[Any]]:
    """Write the selected files of the release that stands, all from one snapshot."""
    with guarded(context.log, KEPT):
        folder = Settings.from_environment().data_dir / exports.FOLDER
        selected = {_FILES[key.to_user_string()][0] for key in context.selected_asset_keys}
        files = exports.export(warehouse.get(), folder, selected, is_shared=True)
        written = {file.path.name: file for file in files}
        for key, (name, _) in _FILES.items():
            if name in written:
                file = written[name]
                metadata: dict[str, Any] = {
                    "dagster/row_count": file.rows,
                    "path": dg.MetadataValue.path(str(file.path)),
                    "bytes": file.bytes,
                    "release": dg.MetadataValue.text(file.release),
                }
                yield dg.MaterializeResult(asset_key=key, metadata=metadata)
