"""dbt's models as assets, and its tests as checks of them and of the published tables.

Imported only where the extra `dbt` is installed. dbt itself is run by `dbt build`, as from the
command line; see `project`.
"""

import json
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
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
from efo_assets.graph.failures import guarded
from efo_assets.graph.ontology import Ontology
from efo_assets.graph.resources import Loader
from efo_assets.privacy.disclosure import one_line
from efo_assets.settings import child_environment
from efo_assets.warehouse.schema import PREFIX
from efo_assets.warehouse.tables import TERMS, XREFS
from efo_assets.warehouse.views import MESH_XREFS

FAILURES_SHOWN = 5
REASON_CHARACTERS = 200
NO_REASON = "no reason given"
STOP_TIMEOUT_S = 25.0
KEPT = "The published release is kept, and models that were not rebuilt hold what they held"

_SOURCE = re.compile(r"source\('(\w+)', '(\w+)'\)")
_FAILED = frozenset({"error", "fail", "runtime error", "partial success"})

PUBLISHED_WITH = {f"{PREFIX}{MESH_XREFS.name}": XREFS.name, "releases": TERMS.name}
"""Sources that are no asset of their own, to the one that they are published with."""

Properties = Mapping[str, Any]
"""A node of dbt's manifest."""


class Translator(DagsterDbtTranslator):
    """Names dbt's nodes as the published assets; group and owners stand in dbt_project.yml."""

    def get_asset_key(self, dbt_resource_props: Properties) -> dg.AssetKey:
        """The key of the published asset for a source, the model's name for a model."""
        name: str = dbt_resource_props["name"]
        return dg.AssetKey(PUBLISHED_WITH.get(name, name))

    def get_metadata(self, dbt_resource_props: Properties) -> Properties:
        """Columns; not the place, which is known when dbt runs."""
        metadata = dict(super().get_metadata(dbt_resource_props))
        metadata.pop("dagster/table_name", None)
        return metadata


def dbt_models(ontology: Ontology) -> dg.AssetsDefinition:
    """The models as assets downstream of the published tables.

    Raises:
        DbtError: the dbt project isn't valid.
    """
    names = ontology.names
    settings = DagsterDbtTranslatorSettings(
        enable_source_tests_as_checks=True, enable_duplicate_source_asset_keys=True
    )

    @dbt_assets(
        name="dbt_models",
        manifest=with_attached_sources(manifest()),
        dagster_dbt_translator=Translator(settings),
        required_resource_keys={names.loader},
    )
    def models(context: dg.AssetExecutionContext) -> Iterator[Any]:
        with guarded(context.log, KEPT):
            loader: Loader = getattr(context.resources, names.loader)
            yield from _built(context, loader)

    definition: dg.AssetsDefinition = models
    return definition


def with_attached_sources(manifest: dict[str, Any]) -> dict[str, Any]:
    """Attach each source's tests to their source, which dbt does for models alone.

    Without it, dagster-dbt makes no check of a test that reads a second table.
    """
    for node in manifest["nodes"].values():
        model = (node.get("test_metadata") or {}).get("kwargs", {}).get("model", "")
        tested = _SOURCE.search(model)
        if tested:
            node["attached_node"] = f"source.{node['package_name']}.{tested[1]}.{tested[2]}"
    return manifest


def _built(context: dg.AssetExecutionContext, loader: Loader) -> Iterator[Any]:
    """Build what is selected; yield Dagster's events while dbt runs."""
    settings, warehouse = loader.settings, loader.warehouse
    with tempfile.TemporaryDirectory(prefix="efo-dbt-") as folder:
        variables = environment(warehouse.target, settings, Path(folder))
        errors = []
        with (
            writing(warehouse, settings),
            _dbt_build(context.op_execution_context, variables) as invocation,
        ):
            for event in invocation.stream_raw_events():
                if event.raw_event["info"]["level"] == "error":
                    errors.append(str(event))
                yield from _dagster_events(event, invocation, settings.dbt_schema)
        if not invocation.is_successful():
            raise DbtError(_failure(invocation.target_path / "run_results.json", errors))


@contextmanager
def _dbt_build(
    context: dg.OpExecutionContext, variables: Mapping[str, str]
) -> Iterator[DbtCliInvocation]:
    """`dbt build` of what is selected, ended when the block ends."""
    # Not by DbtCliResource.cli, which takes no environment but this whole process's, asks the
    # package registry for newer versions of dbt (`dbt --version`) and opens its own connection.
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
    """The events that dagster-dbt makes; a model's with its place and how many rows it has."""
    for dagster_event in event.to_default_asset_events(
        manifest=invocation.manifest,
        dagster_dbt_translator=invocation.dagster_dbt_translator,
        context=invocation.context,
        target_path=invocation.target_path,
    ):
        if isinstance(dagster_event, dg.Output):
            model = event.raw_event["data"]
            metadata: dict[str, Any] = dict(dagster_event.metadata)
            metadata["dagster/table_name"] = f"{schema}.{model['node_info']['node_name']}"
            # PostgreSQL's word for it, such as `INSERT 0 20000`.
            rows = re.search(r"\d+$", model["status"])
            if rows:
                metadata["dagster/row_count"] = int(rows[0])
            yield dagster_event.with_metadata(metadata)
        else:
            yield dagster_event


def _failure(results_file: Path, errors: Iterable[str]) -> str:
    """One sentence about a `dbt build` that failed; `errors` are dbt's own."""
    if not results_file.exists():
        reason = one_line(" ".join(errors), REASON_CHARACTERS) or NO_REASON
        return f"dbt build did not begin ({reason}). {KEPT}; mend that and run again."
    results = json.loads(results_file.read_bytes())["results"]
    failed = [
        f"{each['unique_id'].split('.')[2]}: "
        f"{one_line(each['message'] or NO_REASON, REASON_CHARACTERS)}"
        for each in results
        if each["status"] in _FAILED
    ]
    skipped = sum(each["status"] == "skipped" for each in results)
    shown = failed[:FAILURES_SHOWN]
    if len(failed) > len(shown):
        shown.append(f"{len(failed) - len(shown)} more")
    return (
        f"{len(failed)} of dbt's {len(results)} steps failed ({'; '.join(shown)}) and "
        f"{skipped} were skipped for it. {KEPT}; see the failed checks, mend what they found and "
        "materialize the models again."
    )
