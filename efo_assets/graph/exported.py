"""The exported assets: files of the published release, for use without PostgreSQL."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from efo_assets.graph.descriptions import places
from efo_assets.graph.failures import guarded
from efo_assets.graph.ontology import Names, Ontology
from efo_assets.graph.resources import Loader
from efo_assets.pipeline import exports
from efo_assets.warehouse.tables import MESH_TERMS, REPLACEMENTS, TABLES, Table

KEPT = "Files that stood there are kept, and so is the published release"
STEP = "exported_files"
INTERVAL_S = 60
_FILES = {
    **{f"{table.name}_parquet": (exports.parquet_name(table), table) for table in TABLES},
    "efo_mesh_terms_sssom": (exports.SSSOM_NAME, MESH_TERMS),
    "efo_replacements_tsv": (exports.REPLACEMENTS_NAME, REPLACEMENTS),
}
"""The last part of an asset's key to the file's name and the table that it is made from."""


def follows(names: Names) -> dg.AutomationCondition[Any]:
    """When files are made again: all of them, since each tells of which release it is.

    Whoever wants them so turns a sensor on that evaluates conditions.
    """
    changed = dg.AutomationCondition.data_version_changed()
    is_new: dg.AutomationCondition[Any]
    is_new = dg.AutomationCondition.asset_matches(names.release, changed)
    return (
        is_new.since_last_handled().with_label("another release stands")
        & ~dg.AutomationCondition.any_deps_in_progress()
        & ~dg.AutomationCondition.in_progress()
    )


def exports_sensor(names: Names, *, is_on: bool) -> dg.AutomationConditionSensorDefinition:
    """Make the sensor that has the files and the report of a graph follow its releases.

    Only for a code location of our own: no asset may be the target of two such sensors, and other
    people's may take all.
    """
    return dg.AutomationConditionSensorDefinition(
        names.exports_sensor,
        target=[names.report, *map(names.exported, _FILES)],
        default_status=(
            dg.DefaultSensorStatus.RUNNING if is_on else dg.DefaultSensorStatus.STOPPED
        ),
        minimum_interval_seconds=INTERVAL_S,
        description=(
            "Writes the files and the report anew once another release stands; a load that finds "
            "nothing new wakes nothing."
        ),
    )


def exported_assets(ontology: Ontology) -> dg.AssetsDefinition:
    """Make the exported assets of one graph."""
    names = ontology.names
    keys = {file_name: names.exported(key) for key, (file_name, _) in _FILES.items()}
    condition = follows(names)

    def spec(file_name: str, table: Table) -> dg.AssetSpec:
        return dg.AssetSpec(
            keys[file_name],
            deps=[names.published(table)],
            group_name=names.group("exports"),
            description=f"`{file_name}`: {table.comment} Terms by IRI, rows in a fixed order.",
            kinds={"file", "parquet" if file_name.endswith(".parquet") else "tsv"},
            owners=ontology.owners,
            automation_condition=condition,
        )

    @dg.multi_asset(
        name=names.step(STEP),
        specs=[spec(*each) for each in _FILES.values()],
        partitions_def=ontology.partitions,
        can_subset=True,
        required_resource_keys={names.loader},
    )
    def exported_files(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[Any]]:
        """Write the selected files of the release that stands, all from one snapshot."""
        with guarded(context.log, KEPT):
            loader: Loader = getattr(context.resources, names.loader)
            folder = loader.settings.data_dir / exports.FOLDER
            placed = places(context, keys)
            selected = {name for name, key in placed.items() if key in context.selected_asset_keys}
            for file in exports.export(loader.warehouse, folder, selected, is_shared=True):
                metadata: dict[str, Any] = {
                    "dagster/row_count": file.rows,
                    "path": dg.MetadataValue.path(str(file.path)),
                    "bytes": file.bytes,
                    "release": dg.MetadataValue.text(file.release),
                }
                yield dg.MaterializeResult(asset_key=placed[file.path.name], metadata=metadata)

    return exported_files
