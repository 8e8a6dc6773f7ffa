"""The schedule that loads a release every week."""

import dagster as dg

from efo_assets.graph.ontology import Names

WEEKLY = "17 3 * * 0"
"""Sundays at 03:17 UTC: off the full hour, at which everybody's jobs begin."""


def weekly_schedule(names: Names, *, is_on: bool) -> dg.ScheduleDefinition:
    """Make the schedule that also loads what the sensor can't see."""
    return dg.ScheduleDefinition(
        name=names.schedule,
        job_name=names.job,
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
