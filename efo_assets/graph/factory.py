"""The factory of graphs: assets, checks, job, sensor and schedule of one ontology, or of all.

It names no executor and no logger, and its resources bear the graph's own name, so that any number
of graphs can be merged with other people's definitions.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from warnings import catch_warnings, simplefilter

import dagster as dg

from efo_assets.graph.catalogue import Catalogue, catalogue_sensor
from efo_assets.graph.checks import audit_checks
from efo_assets.graph.exported import exported_assets
from efo_assets.graph.io_manager import copy_io_manager
from efo_assets.graph.ols import ols_asset
from efo_assets.graph.ontology import Ontology
from efo_assets.graph.published import published_assets
from efo_assets.graph.raw import raw_asset
from efo_assets.graph.report import report_asset
from efo_assets.graph.resources import loader_resource
from efo_assets.graph.run_tags import tags_of_job
from efo_assets.graph.schedule import weekly_schedule
from efo_assets.graph.sensor import release_sensor
from efo_assets.graph.staged import staged_assets


def ontology_graph(
    ontology: Ontology,
    *,
    loaded_with_it: Sequence[dg.AssetsDefinition] = (),
    hooks: AbstractSet[dg.HookDefinition] = frozenset(),
) -> dg.Definitions:
    """Make the graph of an ontology.

    Args:
        ontology: what is loaded, and where to.
        loaded_with_it: other assets that its job is to make, too.
        hooks: on every step.
    """
    schedule = weekly_schedule(ontology.names, is_on=ontology.when_to_look().is_on)
    graph = _loading(ontology, loaded_with_it, hooks)
    automation = dg.Definitions(sensors=[release_sensor(ontology)], schedules=[schedule])
    return dg.Definitions.merge(graph, automation)


def catalogue_graph(catalogue: Catalogue) -> dg.Definitions:
    """Make the graph of all ontologies of an OLS, a partition for each."""
    sensor = dg.Definitions(sensors=[catalogue_sensor(catalogue)])
    return dg.Definitions.merge(_loading(catalogue), sensor)


def _loading(
    ontology: Ontology,
    loaded_with_it: Sequence[dg.AssetsDefinition] = (),
    hooks: AbstractSet[dg.HookDefinition] = frozenset(),
) -> dg.Definitions:
    names = ontology.names
    loaded = [
        raw_asset(ontology),
        staged_assets(ontology),
        published_assets(ontology),
        *loaded_with_it,
    ]
    # Files are written when they are asked for: a full disk there is no failed load.
    assets = [*loaded, exported_assets(ontology), report_asset(ontology)]
    checks = audit_checks(ontology)
    with catch_warnings():
        simplefilter("ignore", dg.BetaWarning)
        linked = dg.with_source_code_references([each.with_hooks(hooks) for each in assets])
    job = dg.define_asset_job(
        names.job,
        selection=dg.AssetSelection.assets(*loaded),
        description="Download, stage, audit and publish the release that OLS serves now.",
        # A retry may land on a machine without the pages, and what stands is not loaded again.
        tags={"dagster/retry_strategy": "ALL_STEPS", **ontology.run_tags, **tags_of_job(ontology)},
        # Whatever the code location's is: a process for each step would cost 1.7 s, and one load
        # is one writer.
        executor_def=dg.in_process_executor,
    )
    return dg.Definitions(
        assets=[ols_asset(ontology), *linked],
        asset_checks=[checks.with_hooks(hooks) if hooks else checks],
        resources={
            names.loader: loader_resource(ontology),
            names.io_manager: copy_io_manager(ontology),
        },
        jobs=[job],
    )
