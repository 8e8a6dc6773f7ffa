"""The job that loads a release, and the schedule that runs it every week."""

import dagster as dg

LOAD_RELEASE = "refresh_efo"
WEEKLY = "17 3 * * 0"
"""Sundays at 03:17 UTC: off the full hour, at which everybody's jobs begin."""

refresh_efo = dg.define_asset_job(
    LOAD_RELEASE,
    # Files are written when they are asked for: a full disk there is no failed load.
    selection=dg.AssetSelection.all() - dg.AssetSelection.groups("exports"),
    description="Download, stage, audit and publish the release that OLS serves now.",
)


def weekly_schedule(*, is_on: bool) -> dg.ScheduleDefinition:
    """Make `efo_weekly_schedule`, which also loads what the sensor can't see."""
    return dg.ScheduleDefinition(
        name="efo_weekly_schedule",
        job_name=LOAD_RELEASE,
        cron_schedule=WEEKLY,
        execution_timezone="UTC",
        default_status=(
            dg.DefaultScheduleStatus.RUNNING if is_on else dg.DefaultScheduleStatus.STOPPED
        ),
        description=(
            "A safety net: content that changed under the same version, and a sensor that was off. "
            "Pages that are kept of what OLS serves aren't asked for again, equal rows not written."
        ),
    )
