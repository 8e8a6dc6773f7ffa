"""The two sensors: one message per incident to every receiver, and one when it is over.

Dagster moves a run status sensor past a run even where the sensor fails, so a message that did not
arrive is not asked for again by Dagster. It is tried again with the next failed run of the
incident, for the receivers that missed it, and for those alone.
"""

import socket
from collections.abc import Mapping
from typing import TypeAlias

import dagster as dg

from efo_assets.alerts import incidents
from efo_assets.alerts.delivery import Outcome, Receiver, deliver, receivers
from efo_assets.alerts.incidents import Incident
from efo_assets.alerts.message import Message, Place, failed, over
from efo_assets.alerts.runs import Cause, cause_of
from efo_assets.alerts.sentry import Report, Sentry
from efo_assets.errors import NotDelivered, SettingsError
from efo_assets.settings import AlertSettings

NOBODY = (
    "nobody is to be told: set EFO_ALERT_WEBHOOK_URL, EFO_ALERT_SMTP_URL or SENTRY_DSN where the "
    "code location runs"
)

Outcomes: TypeAlias = Mapping[str, Outcome]
"""By the receivers' names."""


def alert_sensors() -> list[dg.SensorDefinition]:
    """Both sensors; they run by themselves where a receiver is configured.

    Where the settings are wrong they run, too: their ticks then say what is wrong.
    """
    status = dg.DefaultSensorStatus.RUNNING if _is_on() else dg.DefaultSensorStatus.STOPPED
    failure_sensor = dg.run_failure_sensor(
        name="efo_alert_on_failure",
        description="Tells every configured receiver of a failure, once per incident.",
        default_status=status,
    )
    success_sensor = dg.run_status_sensor(
        dg.DagsterRunStatus.SUCCESS,
        name="efo_alert_when_over",
        description="Tells those who know of an incident that the job works again.",
        default_status=status,
    )
    return [failure_sensor(on_failure), success_sensor(when_over)]


def _is_on() -> bool:
    try:
        settings = AlertSettings.from_environment()
    except SettingsError:
        return True
    return bool(receivers(settings)) or settings.sentry_dsn is not None


def on_failure(context: dg.RunFailureSensorContext) -> dg.SkipReason | None:
    """Tell of the incident that the run belongs to whoever does not know of it.

    Raises:
        SettingsError: a variable of the alerts can't be used.
        NotDelivered: a receiver missed it; the others have it and don't get it again.
    """
    if not _is_on():
        return dg.SkipReason(NOBODY)
    settings = AlertSettings.from_environment()
    run, instance = context.dagster_run, context.instance
    cause = cause_of(instance, run.run_id)
    place = _place(settings, run, cause.step)
    outcomes = dict(_report_dead_run(instance, run, cause, place, settings))
    incident = incidents.of_failure(instance, run)
    if incident is not None and not incidents.is_retried(run):
        message = failed(cause.sentence, place, incident=incident.first.run_id)
        untold = [
            each
            for each in receivers(settings)
            if incidents.told(incident.first, each.name) not in ("told", "over")
        ]
        outcomes |= _tell_of_failure(instance, run, incident, message, untold)
    return _result(outcomes, _why_silent(run, incident))


def when_over(context: dg.RunStatusSensorContext) -> dg.SkipReason | None:
    """Tell whoever knows of the incident that the run has ended it.

    Raises:
        SettingsError: a variable of the alerts can't be used.
        NotDelivered: a receiver missed it; it is not tried again.
    """
    if not _is_on():
        return dg.SkipReason(NOBODY)
    settings = AlertSettings.from_environment()
    run, instance = context.dagster_run, context.instance
    incident = incidents.ended_by(instance, run)
    if incident is None:
        return dg.SkipReason(f"run {run.run_id} ended no incident")
    knowing = [
        each
        for each in receivers(settings)
        if incidents.told(incident.first, each.name) in ("telling", "told")
    ]
    message = _over_message(instance, incident, _place(settings, run, None))
    outcomes = deliver(message, knowing)
    incidents.note(instance, incident.first, dict.fromkeys(outcomes, "over"))
    return _result(outcomes, f"nobody was told of the incident that run {run.run_id} ended")


def _over_message(instance: dg.DagsterInstance, incident: Incident, place: Place) -> Message:
    run_id = incident.first.run_id
    return over(
        cause_of(instance, run_id).sentence,
        place,
        incident=run_id,
        began=incident.began,
        failures=incident.failures,
    )


def _tell_of_failure(
    instance: dg.DagsterInstance,
    run: dg.DagsterRun,
    incident: Incident,
    message: Message,
    untold: list[Receiver],
) -> Outcomes:
    names = [each.name for each in untold]
    # Noted before it is looked whether a success came meanwhile: of two sensors at work at once,
    # either this one sees the success, or the other one sees the note.
    incidents.note(instance, incident.first, dict.fromkeys(names, "telling"))
    if incidents.of_failure(instance, run) is None:
        incidents.note(instance, incident.first, dict.fromkeys(names, "over"))
        return {}
    outcomes = deliver(message, untold)
    incidents.note(
        instance,
        incident.first,
        {name: "told" if it.arrived else "missed" for name, it in outcomes.items()},
    )
    return outcomes


def _report_dead_run(
    instance: dg.DagsterInstance,
    run: dg.DagsterRun,
    cause: Cause,
    place: Place,
    settings: AlertSettings,
) -> Outcomes:
    """Report to Sentry a run whose process can't have done so itself: no step of it failed."""
    is_known = cause.step is not None or incidents.told(run, Sentry.name) == "told"
    if settings.sentry_dsn is None or is_known:
        return {}
    tags = {"run_id": run.run_id, "job": run.job_name, "ontology": settings.ontology}
    if place.link:
        tags["run_url"] = place.link
    try:
        Sentry(settings.sentry_dsn).note(
            cause.sentence, Report(step="no step", tags=tags, cause=(run.job_name,))
        )
    except NotDelivered as error:
        return {Sentry.name: Outcome(arrived=False, trouble=str(error))}
    incidents.note(instance, run, {Sentry.name: "told"})
    return {Sentry.name: Outcome(arrived=True)}


def _place(settings: AlertSettings, run: dg.DagsterRun, step: str | None) -> Place:
    return Place(
        ontology=settings.ontology,
        job=run.job_name,
        run_id=run.run_id,
        host=socket.gethostname(),
        step=step,
        ui_url=settings.ui_url,
    )


def _why_silent(run: dg.DagsterRun, incident: Incident | None) -> str:
    if incidents.is_retried(run):
        return f"Dagster starts run {run.run_id} again by itself"
    if incident is None:
        return f"the incident of run {run.run_id} is over already"
    return f"everybody knows of the incident that began with run {incident.first.run_id}"


def _result(outcomes: Outcomes, why_silent: str) -> dg.SkipReason | None:
    troubles = " ".join(each.trouble for each in outcomes.values() if each.trouble)
    if troubles:
        reached = ", ".join(name for name, it in outcomes.items() if it.arrived) or "nobody"
        raise NotDelivered(f"An alert did not reach everyone (it reached: {reached}). {troubles}")
    return None if outcomes else dg.SkipReason(why_silent)
