"""The code location: the one place where assets, checks, jobs and resources are put together."""

import dagster as dg

from efo_assets.assets.published import published_tables
from efo_assets.assets.raw import raw_ols_pages
from efo_assets.assets.staged import staged_tables
from efo_assets.checks import audit
from efo_assets.disclosure import guard_log_lines
from efo_assets.io_managers import postgres_copy_io_manager
from efo_assets.resources import OlsResource, WarehouseResource

# Before Dagster runs anything of ours.
guard_log_lines()

refresh_efo = dg.define_asset_job(
    "refresh_efo",
    selection=dg.AssetSelection.all(),
    description="Download, stage, audit and publish the release that OLS serves now.",
)


def build_defs(
    ols: OlsResource | None = None, warehouse: WarehouseResource | None = None
) -> dg.Definitions:
    """Put the graph together; a test may bring a resource of its own."""
    return dg.Definitions(
        assets=[raw_ols_pages, staged_tables, published_tables],
        asset_checks=[audit],
        jobs=[refresh_efo],
        resources={
            "ols": ols or OlsResource(),
            "warehouse": warehouse or WarehouseResource(),
            "postgres_copy": postgres_copy_io_manager,
        },
        # One process for all steps: a process each would cost 1.7 s, and one load is one writer.
        executor=dg.in_process_executor,
    )


defs = build_defs()
