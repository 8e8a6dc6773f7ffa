"""A code location for a real daemon: the names that the rules know, and a sensor that fails."""

import dagster as dg


@dg.op
def nothing() -> None:
    """Never launched."""


@dg.job
def never_launched() -> None:
    nothing()


@dg.sensor(
    name="efo_release_sensor", job=never_launched, default_status=dg.DefaultSensorStatus.RUNNING
)
def release_sensor() -> dg.SkipReason:
    return dg.SkipReason("no new release")


@dg.sensor(name="failing_sensor", job=never_launched, default_status=dg.DefaultSensorStatus.RUNNING)
def failing_sensor() -> dg.SkipReason:
    raise RuntimeError("CANARY")


weekly = dg.ScheduleDefinition(
    name="efo_weekly_schedule",
    job=never_launched,
    cron_schedule="0 3 * * 0",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)

defs = dg.Definitions(
    jobs=[never_launched], sensors=[release_sensor, failing_sensor], schedules=[weekly]
)
