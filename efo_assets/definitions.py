"""The code location: the one place where assets, checks, jobs, automation and resources meet."""

import dagster as dg

from efo_assets.alerts.sensors import alert_sensors
from efo_assets.alerts.sentry import with_sentry
from efo_assets.dbt.project import obstacle
from efo_assets.graph.checks import audit
from efo_assets.graph.exported import exported_files
from efo_assets.graph.io_manager import postgres_copy_io_manager
from efo_assets.graph.jobs import refresh_efo, weekly_schedule
from efo_assets.graph.published import published_tables
from efo_assets.graph.raw import raw_ols_pages
from efo_assets.graph.resources import OlsResource, WarehouseResource
from efo_assets.graph.sensor import release_sensor
from efo_assets.graph.staged import staged_tables
from efo_assets.settings import Automation


def build_defs(
    ols: OlsResource | None = None, warehouse: WarehouseResource | None = None
) -> dg.Definitions:
    """Put the graph together; tests bring resources of their own."""
    automation = Automation.from_environment()
    return dg.Definitions(
        assets=with_sentry(
            [raw_ols_pages, staged_tables, published_tables, exported_files, *_dbt_models()]
        ),
        asset_checks=with_sentry([audit]),
        jobs=[refresh_efo],
        sensors=[release_sensor(automation=automation), *alert_sensors()],
        schedules=[weekly_schedule(is_on=automation.is_on)],
        resources={
            "ols": ols or OlsResource(),
            "warehouse": warehouse or WarehouseResource(),
            "postgres_copy": postgres_copy_io_manager,
        },
        # One process for all steps: a process each would cost 1.7 s, and one load is one writer.
        executor=dg.in_process_executor,
    )


def _dbt_models() -> list[dg.AssetsDefinition]:
    """The models of the extra `dbt`, where it is installed."""
    if obstacle() is not None:
        return []
    from efo_assets.dbt.models import dbt_models  # noqa: PLC0415  # needs the extra

    return [dbt_models()]


defs = build_defs()
