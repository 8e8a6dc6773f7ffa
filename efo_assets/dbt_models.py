"""dbt's models as assets, and its tests as checks of them and of the published tables.

Imported only where the extra `dbt` is installed. dbt itself is run by `dbt build`, as from the
command line; see `dbt_project`.
"""

import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings, DbtCliInvocation
from dagster_dbt import dbt_assets
from dagster_dbt.asset_utils import get_updated_cli_invocation_params_for_context
from packaging.version import Version

from efo_assets.assets.descriptions import OWNERS
from efo_assets.dbt_project import PROGRAM, PROJECT_DIR, environment, manifest, writing
from efo_assets.errors import DbtError, WarehouseError
from efo_assets.failures import in_one_sentence
from efo_assets.resources import WarehouseResource
from efo_assets.settings import Settings, child_environment
from efo_assets.warehouse.tables import MESH_VIEW, TERMS, XREFS

GROUP = "dbt"
NAMES_SHOWN = 5
STOP_TIMEOUT_S = 25.0
KEPT = "The published release is kept, and models that were not rebuilt hold what they held"

PUBLISHED_WITH = {MESH_VIEW: XREFS.name, "releases": TERMS.name}
"""Sources that are no asset of their own, to the one that they are published with."""

Properties = Mapping[str, Any]
"""A node of dbt's manifest."""


class Translator(DagsterDbtTranslator):
    """Names and describes dbt's nodes as ours are."""

    def get_asset_key(self, dbt_resource_props: Properties) -> dg.AssetKey:
        """The key of the published asset for a source, the model's name for a model."""
        name = dbt_resource_props["name"]
        return dg.AssetKey(PUBLISHED_WITH.get(name, name))

    def get_group_name(self, dbt_resource_props: Properties) -> str:
        """One group for all models."""
        del dbt_resource_props
        return GROUP

    def get_owners(self, dbt_resource_props: Properties) -> list[str]:
        """Ours."""
        del dbt_resource_props
        return OWNERS

    def get_metadata(self, dbt_resource_props: Properties) -> Properties:
        """Columns; not the place, which is known when dbt runs."""
        shown = dict(super().get_metadata(dbt_resource_props))
        shown.pop("dagster/table_name", None)
        return shown


def dbt_models() -> dg.AssetsDefinition:
    """The models as assets downstream of the published tables.

    Raises:
        DbtError: the dbt project isn't valid.
    """
    settings = DagsterDbtTranslatorSettings(
        enable_source_tests_as_checks=True, enable_duplicate_source_asset_keys=True
    )

    @dbt_assets(
        name="dbt_models", manifest=manifest(), dagster_dbt_translator=Translator(settings)
    )
    def models(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> Iterator[Any]:
        with in_one_sentence(KEPT):
            yield from _built(context, warehouse)

    return models


def _built(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> Iterator[Any]:
    house = warehouse.get()
    settings = replace(Settings.from_environment(), schema=house.schema)
    if house.current_release() is None:
        raise WarehouseError(
            f"Nothing is published in schema {house.schema} yet, so dbt has nothing to build its "
            "models from: run `dagster asset materialize -m efo_assets.definitions --select '*'`."
        )
    with writing(house, settings), tempfile.TemporaryDirectory(prefix="efo-dbt-") as folder:
        variables = environment(house.target, settings, Path(folder))
        with _dbt_build(context, variables) as invocation:
            for event in invocation.stream_raw_events():
                place = f"{settings.dbt_schema}"
                yield from _dagster_events(event, invocation, context, place)
            _fail_if_dbt_did(invocation)


@contextmanager
def _dbt_build(
    context: dg.AssetExecutionContext, variables: Mapping[str, str]
) -> Iterator[DbtCliInvocation]:
    """`dbt build` of what is selected, gone when the block ends.

    `DbtCliResource.cli` would do this, but takes no environment, asks the package registry for
    newer versions of dbt (`dbt --version`) and opens a connection of its own.
    """
    chosen = get_updated_cli_invocation_params_for_context(
        context=context, manifest={}, dagster_dbt_translator=DagsterDbtTranslator()
    )
    changes = {**variables, "DBT_LOG_FORMAT": "json", "PYTHONUNBUFFERED": "1"}
    if chosen.indirect_selection:
        changes["DBT_INDIRECT_SELECTION"] = chosen.indirect_selection
    invocation = DbtCliInvocation.run(
        args=[str(PROGRAM), "build", *chosen.selection_args],
        env=child_environment(changes),
        manifest=chosen.manifest,
        dagster_dbt_translator=chosen.dagster_dbt_translator,
        project_dir=PROJECT_DIR,
        target_path=Path(variables["DBT_TARGET_PATH"]),
        raise_on_error=False,
        context=context,
        adapter=None,
        cli_version=Version(version("dbt-core")),
    )
    try:
        yield invocation
    finally:
        if invocation.process.poll() is None:
            invocation.process.terminate()
            invocation.process.wait(STOP_TIMEOUT_S)


def _dagster_events(
    event: Any, invocation: DbtCliInvocation, context: dg.AssetExecutionContext, schema: str
) -> Iterator[Any]:
    made = event.to_default_asset_events(
        manifest=invocation.manifest,
        dagster_dbt_translator=invocation.dagster_dbt_translator,
        context=context,
        target_path=invocation.target_path,
    )
    for each in made:
        if isinstance(each, dg.Output):
            name = event.raw_event["data"]["node_info"]["node_name"]
            shown: dict[str, Any] = {"dagster/table_name": f"{schema}.{name}"}
            rows = re.search(r"\d+$", event.raw_event["data"]["status"])  # such as SELECT 20000
            if rows:
                shown["dagster/row_count"] = int(rows[0])
            yield each.with_metadata({**each.metadata, **shown})
        else:
            yield each


def _fail_if_dbt_did(invocation: DbtCliInvocation) -> None:
    if invocation.is_successful():
        return
    print(invocation._error_messages)
    results = invocation.get_artifact("run_results.json")["results"]
    raise DbtError(str([r for r in results if r["status"] not in ("pass", "success")]))
