"""The two sensors: one message per incident to every receiver, and one when it is over.

Dagster moves a run status sensor past a run even where the sensor fails, so it never asks again for
a message that did not arrive. The next failed run of the incident sends it again, to the receivers
that missed it, and to those alone.
"""

import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import dagster as dg

from efo_assets.alerts import incidents
from efo_assets.alerts.announcement import announcement
from efo_assets.alerts.delivery import Delivery, Receiver, deliver, receivers
from efo_assets.alerts.incidents import Incident
from efo_assets.alerts.message import Message, Place, failed, over
from efo_assets.alerts.runs import Cause, cause_of, has_hook
from efo_assets.alerts.sentry import SENTRY, Report, send_event
from efo_assets.errors import NotDelivered, SettingsError
from efo_assets.graph.run_tags import is_of_catalogue, ontology_of, partition_of
from efo_assets.privacy.disclosure import no_secret_shown, shown
from efo_assets.settings import AlertSettings

NO_RECEIVER = (
    "no receiver is configured: set EFO_ALERT_WEBHOOK_URL, EFO_ALERT_SMTP_URL or SENTRY_DSN where "
    "the code location runs"
)

Deliveries: TypeAlias = dict[str, Delivery]
"""By the receivers' names."""


def alert_sensors(jobs: Iterable[Any] = ()) -> list[dg.SensorDefinition]:
    """Both sensors, for runs of these jobs; running from the start where a receiver is configured.

    Without jobs they watch all of the code location's.

    They run with wrong settings, too: their ticks then say what is wrong.
    """
    watched = list(jobs) or None
    status = dg.DefaultSensorStatus.RUNNING if _is_on() else dg.DefaultSensorStatus.STOPPED
    failure_sensor = dg.run_failure_sensor(
        name="efo_alert_on_failure",
        description="Tells every configured receiver of a failure, once per incident.",
        monitored_jobs=watched,
        default_status=status,
    )
    success_sensor = dg.run_status_sensor(
        dg.DagsterRunStatus.SUCCESS,
        name="efo_alert_when_over",
        description="Tells those who know of an incident that the job works again, and of a new "
        "release where EFO_ALERT_RELEASES asks for it.",
        monitored_jobs=watched,
        default_status=status,
    )
    return [failure_sensor(on_failure), success_sensor(when_over)]


def _is_on() -> bool:
    try:
        settings = AlertSettings.from_environment()
    except SettingsError:
        return True
    return bool(receivers(settings)) or settings.sentry_dsn is not None


@contextmanager
def _guarded() -> Iterator[None]:
    """Show no secret in a tick, and no error of Dagster's own: it would not move past the run."""
    try:
        with no_secret_shown():
            yield
    except (NotDelivered, SettingsError) as error:
        raise type(error)(shown(error)) from None


@_guarded()
def on_failure(context: dg.RunFailureSensorContext) -> dg.SkipReason | None:
    """Tell the receivers that don't know of the run's incident yet.

    Raises:
        SettingsError: a variable of the alerts can't be used.
        NotDelivered: a receiver missed it; the others have it and don't get it again.
    """
    if not _is_on():
        return dg.SkipReason(NO_RECEIVER)
    settings = AlertSettings.from_environment()
    run, instance = context.dagster_run, context.instance
    cause = cause_of(instance, run.run_id)
    place = _place(settings, run, cause.step)
    deliveries = _report(context, settings, cause, place)
    incident = incidents.of_failure(instance, run)
    if run.tags.get(incidents.WILL_RETRY_TAG) == "true":
        silence = f"Dagster starts run {run.run_id} again by itself"
    elif incident is None:
        silence = f"the incident of run {run.run_id} is over already"
    else:
        began_with = incident.first.run_id
        silence = f"every receiver knows of the incident that began with run {began_with}"
        message = failed(cause.sentence, place, incident=began_with)
        unaware = [
            each
            for each in receivers(settings)
            if incidents.state(incident.first, each.name) not in ("told", "over")
        ]
        deliveries |= _deliver_failure(context, incident, message, unaware)
    return _result(deliveries, silence)


@_guarded()
def when_over(context: dg.RunStatusSensorContext) -> dg.SkipReason | None:
    """Tell the receivers that know of the incident that the run has ended it.

    Where EFO_ALERT_RELEASES is on, tell all of them of a release that the run has published.

    Raises:
        SettingsError: a variable of the alerts can't be used.
        NotDelivered: a receiver missed it; it is not tried again.
    """
    if not _is_on():
        return dg.SkipReason(NO_RECEIVER)
    settings = AlertSettings.from_environment()
    run, instance = context.dagster_run, context.instance
    announced = _announce(instance, settings, run)
    incident = incidents.ended_by(instance, run)
    if incident is None:
        return _result(announced, f"run {run.run_id} ended no incident")
    aware = [
        each
        for each in receivers(settings)
        if incidents.state(incident.first, each.name) in ("telling", "told")
    ]
    message = over(
        cause_of(instance, incident.first.run_id).sentence,
        _place(settings, run, None),
        incident=incident.first.run_id,
        began=incident.began,
        failures=incident.failures,
    )
    deliveries = deliver(message, aware)
    incidents.note(instance, incident.first, dict.fromkeys(deliveries, "over"))
    silence = f"no receiver was told of the incident that run {run.run_id} ended"
    return _result(announced | deliveries, silence)


def _announce(
    instance: dg.DagsterInstance, settings: AlertSettings, run: dg.DagsterRun
) -> Deliveries:
    """Tell of a new release where that is asked for; it isn't tried again."""
    message = None
    if settings.releases:
        message = announcement(instance, run.run_id, _place(settings, run, None))
    if message is None:
        return {}
    deliveries = deliver(message, receivers(settings))
    return {f"{name} of the release": each for name, each in deliveries.items()}


def _deliver_failure(
    context: dg.RunFailureSensorContext,
    incident: Incident,
    message: Message,
    unaware: list[Receiver],
) -> Deliveries:
    instance, names = context.instance, [each.name for each in unaware]
    # Noted before the search for a success that came meanwhile: of two sensors at work at once,
    # either this one sees the success, or the other one sees the note.
    incidents.note(instance, incident.first, dict.fromkeys(names, "telling"))
    if incidents.of_failure(instance, context.dagster_run) is None:
        incidents.note(instance, incident.first, dict.fromkeys(names, "over"))
        return {}
    deliveries = deliver(message, unaware)
    incidents.note(
        instance,
        incident.first,
        {name: "told" if each.arrived else "missed" for name, each in deliveries.items()},
    )
    return deliveries


def _report(
    context: dg.RunFailureSensorContext, settings: AlertSettings, cause: Cause, place: Place
) -> Deliveries:
    """Report to Sentry a run whose process hasn't: no step failed, or the step has no hook."""
    run, dsn, instance = context.dagster_run, settings.sentry_dsn, context.instance
    if dsn is None or incidents.state(run, SENTRY) == "told":
        return {}
    if cause.step is not None and has_hook(instance, run.run_id, cause.step):
        return {}
    tags = {
        "run_id": run.run_id,
        "job": place.job,
        "step": cause.step,
        "ontology": place.ontology,
        "run_url": place.link,
    }
    report = Report(
        cause.step or "no step",
        {name: value for name, value in tags.items() if value},
        cause=(place.job,),
        ontology=place.ontology if place.is_partition else None,
    )
    delivery = Delivery.of(lambda: send_event(dsn, cause.sentence, report))
    if delivery.arrived:
        incidents.note(instance, run, {SENTRY: "told"})
    return {SENTRY: delivery}


def _place(settings: AlertSettings, run: dg.DagsterRun, step: str | None) -> Place:
    others = "no ontology" if is_of_catalogue(run.tags) else settings.ontology
    return Place(
        ontology=ontology_of(run.tags) or others,
        job=run.job_name,
        run_id=run.run_id,
        host=socket.gethostname(),
        step=step,
        ui_url=settings.ui_url,
        is_partition=partition_of(run.tags) is not None,
    )


def _result(deliveries: Deliveries, silence: str) -> dg.SkipReason | None:
    """Nothing where all went well, `silence` where nothing was to be delivered."""
    troubles = " ".join(each.trouble for each in deliveries.values() if each.trouble)
    if troubles:
        reached = ", ".join(name for name, each in deliveries.items() if each.arrived) or "none"
        raise NotDelivered(
            f"An alert did not reach every receiver (it reached: {reached}). {troubles}"
        )
    return None if deliveries else dg.SkipReason(silence)
