"""The code location: the default graph, of the ontology that the environment names, with alerts."""

from pathlib import Path

import dagster as dg

from efo_assets import defs as defs_folder
from efo_assets.alerts.sensors import alert_sensors
from efo_assets.alerts.sentry import sentry_hooks
from efo_assets.dbt.project import obstacle
from efo_assets.graph.exported import exports_sensor
from efo_assets.graph.factory import ontology_graph
from efo_assets.graph.ontology import Ontology


def build_defs(ontology: Ontology | None = None) -> dg.Definitions:
    """Put the graph together; tests bring an ontology of their own."""
    ontology = ontology or Ontology()
    graphs = dg.Definitions.merge(
        ontology_graph(ontology, loaded_with_it=_dbt_models(ontology), hooks=sentry_hooks()),
        _scaffolded(),
    )
    # One process for all steps: a process each would cost 1.7 s, and one load is one writer.
    exports = exports_sensor(ontology.names, is_on=ontology.when_to_look().is_on)
    others = dg.Definitions(
        sensors=[exports, *alert_sensors(graphs.jobs or ())], executor=dg.in_process_executor
    )
    return dg.Definitions.merge(graphs, others)


def _scaffolded() -> dg.Definitions:
    """What `dg scaffold defs` has put into the folder `defs`, if anything."""
    (folder,) = map(Path, defs_folder.__path__)
    if not any(path.name[0] not in "_." for path in folder.iterdir()):
        return dg.Definitions()
    # `load_from_defs_folder` wants a pyproject.toml above, which an installed package has not.
    project = folder.parents[1]
    return dg.ComponentTree.from_module(defs_module=defs_folder, project_root=project).build_defs()


def _dbt_models(ontology: Ontology) -> list[dg.AssetsDefinition]:
    """The models of the extra `dbt`, where it is installed."""
    if obstacle() is not None:
        return []
    from efo_assets.dbt.models import dbt_models  # noqa: PLC0415  # needs the extra

    return [dbt_models(ontology)]


defs = build_defs()
