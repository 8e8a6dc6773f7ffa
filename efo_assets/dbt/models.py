"""dbt's models as assets, and its tests as checks of them and of the published tables.

Imported only where the extra `dbt` is installed. dbt itself is run by `dbt build`, as from the
command line; see `dbt_project`.
"""

import json
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_dbt import (
    DagsterDbtTranslator,
    DagsterDbtTranslatorSettings,
    DbtCliEventMessage,
    DbtCliInvocation,
    dbt_assets,
)
from dagster_dbt.asset_utils import get_updated_cli_invocation_params_for_context
from packaging.version import Version

from efo_assets.dbt.project import COMMAND, PROJECT_DIR, environment, manifest, writing
from efo_assets.errors import DbtError
from efo_assets.graph.descriptions import OWNERS
from efo_assets.graph.failures import guarded
from efo_assets.graph.resources import WarehouseResource
from efo_assets.settings import Settings, child_environment
from efo_assets.warehouse.tables import TERMS, XREFS
from efo_assets.warehouse.views import MESH_XREFS

GROUP = "dbt"
FAILURES_SHOWN = 5
REASON_LIMIT_CHARACTERS = 200
STOP_TIMEOUT_S = 25.0
KEPT = "The published release is kept, and models that were not rebuilt hold what they held"

_SOURCE = re.compile(r"source\('(\w+)', '(\w+)'\)")
_FAILED = frozenset({"error", "fail", "runtime error", "partial success"})

PUBLISHED_WITH = {MESH_XREFS.name: XREFS.name, "releases": TERMS.name}
"""Sources that are no asset of their own, to the one that they are published with."""

Properties = Mapping[str, Any]
"""A node of dbt's manifest."""


class Translator(DagsterDbtTranslator):
    """Names and describes dbt's nodes as ours are."""

    def get_asset_key(self, dbt_resource_props: Properties) -> dg.AssetKey:
        """The key of the published asset for a source, the model's name for a model."""
        name: str = dbt_resource_props["name"]
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
        name="dbt_models",
        manifest=with_attached_sources(manifest()),
        dagster_dbt_translator=Translator(settings),
    )
    def models(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> Iterator[Any]:
        with guarded(context.log, KEPT):
            yield from _built(context, warehouse)

    made: dg.AssetsDefinition = models
    return made


def with_attached_sources(manifest: dict[str, Any]) -> dict[str, Any]:
    """Say of each source's tests what they are attached to; dbt says it of models' tests alone.

    Without it, dagster-dbt makes no check of a test that reads a second table.
    """
    for node in manifest["nodes"].values():
        about = (node.get("test_metadata") or {}).get("kwargs", {}).get("model", "")
        tested = _SOURCE.search(about)
        if tested:
            node["attached_node"] = f"source.{node['package_name']}.{tested[1]}.{tested[2]}"
    return manifest


def _built(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> Iterator[Any]:
    house = warehouse.get()
    settings = replace(Settings.from_environment(), schema=house.schema)
    with writing(house, settings), tempfile.TemporaryDirectory(prefix="efo-dbt-") as folder:
        variables = environment(house.target, settings, Path(folder))
        with _dbt_build(context.op_execution_context, variables) as invocation:
            said = []
            for event in invocation.stream_raw_events():
                if event.raw_event["info"]["level"] == "error":
                    said.append(str(event))
                yield from _dagster_events(event, invocation, settings.dbt_schema)
        if not invocation.is_successful():
            raise DbtError(_failure(invocation.target_path / "run_results.json", said))


@contextmanager
def _dbt_build(
    context: dg.OpExecutionContext, variables: Mapping[str, str]
) -> Iterator[DbtCliInvocation]:
    """`dbt build` of what is selected, ended when the block ends.

    `DbtCliResource.cli` does nearly this, but takes no environment, asks the package registry for
    newer versions of dbt (`dbt --version`) and opens a connection of its own.
    """
    chosen = get_updated_cli_invocation_params_for_context(
        context=context, manifest={}, dagster_dbt_translator=DagsterDbtTranslator()
    )
    changes = {
        **variables,
        "DBT_LOG_FORMAT": "json",
        # By default dbt would also run tests that read a model that isn't selected, nor there.
        "DBT_INDIRECT_SELECTION": chosen.indirect_selection or "buildable",
        "PYTHONUNBUFFERED": "1",
    }
    invocation = DbtCliInvocation.run(
        args=[*COMMAND, "build", *chosen.selection_args],
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
    event: DbtCliEventMessage, invocation: DbtCliInvocation, schema: str
) -> Iterator[Any]:
    made = event.to_default_asset_events(
        manifest=invocation.manifest,
        dagster_dbt_translator=invocation.dagster_dbt_translator,
        context=invocation.context,
        target_path=invocation.target_path,
    )
    for each in made:
        if isinstance(each, dg.Output):
            shown = _table_metadata(event.raw_event["data"], schema)
            yield each.with_metadata({**each.metadata, **shown})
        else:
            yield each


def _table_metadata(model: Properties, schema: str) -> dict[str, Any]:
    """Where a model is and how many rows it has, as PostgreSQL told dbt (`INSERT 0 20000`)."""
    shown: dict[str, Any] = {"dagster/table_name": f"{schema}.{model['node_info']['node_name']}"}
    rows = re.search(r"\d+$", model["status"])
    return shown | ({"dagster/row_count": int(rows[0])} if rows else {})


def _failure(results_file: Path, said: Iterable[str]) -> str:
    """One sentence about a `dbt build` that failed; `said` are dbt's own errors."""
    if not results_file.exists():
        return (
            f"dbt build did not begin ({_gist(' '.join(said))}). {KEPT}; mend that and run again."
        )
    results = json.loads(results_file.read_bytes())["results"]
    failed = [each for each in results if each["status"] in _FAILED]
    skipped = sum(each["status"] == "skipped" for each in results)
    shown = [
        f"{each['unique_id'].split('.')[2]}: {_gist(each['message'])}"
        for each in failed[:FAILURES_SHOWN]
    ]
    more = [f"{len(failed) - FAILURES_SHOWN} more"] if len(failed) > FAILURES_SHOWN else []
    return (
        f"{len(failed)} of dbt's {len(results)} steps failed ({'; '.join(shown + more)}) and "
        f"{skipped} were skipped for it. {KEPT}; see the failed checks, mend what they found and "
        "materialize the models again."
    )


def _gist(message: str | None) -> str:
    text = " ".join((message or "no reason given").split())
    return text if len(text) <= REASON_LIMIT_CHARACTERS else f"{text[:REASON_LIMIT_CHARACTERS]}…"
