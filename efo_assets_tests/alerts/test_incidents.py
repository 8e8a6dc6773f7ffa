"""Incidents on a real Dagster instance: who is told, when, and how often."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest

# No public API: where a run says which code location launched it.
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)

from efo_assets.alerts import incidents
from efo_assets.alerts.sensors import alert_sensors
from efo_assets.alerts.sentry import sentry_hooks
from efo_assets.definitions import build_defs
from efo_assets.errors import NotDelivered, SettingsError
from efo_assets.graph.resources import PARTITION
from efo_assets.graph.run_tags import GRAPH
from efo_assets_tests.alerts.receivers import SENTRY_KEY, MailServer, WebReceiver

FAILED = "efo_assets: refresh_efo failed"
OVER = "efo_assets: refresh_efo works again"


class History:
    """Ends runs of a job on a real instance, each as asked, and evaluates the sensors."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance = instance

    def fails(
        self, why: str = "OLS is down.", job: str = "refresh_efo", of: str | None = None
    ) -> str:
        """A run with a failed step; `of` an ontology of a catalogue."""
        made = _job(job, why).execute_in_process(
            instance=self.instance, raise_on_error=False, tags=_tags(job, of)
        )
        return made.run_id

    def succeeds(self, job: str = "refresh_efo", of: str | None = None) -> str:
        """A run that ends well."""
        return (
            _job(job, None).execute_in_process(instance=self.instance, tags=_tags(job, of)).run_id
        )

    def begins(self, tags: dict[str, str] | None = None, location: str | None = None) -> str:
        """A run that has not ended."""
        origin = _origin(location) if location else None
        run = self.instance.create_run_for_job(
            _job("refresh_efo", None), tags=tags, remote_job_origin=origin
        )
        return run.run_id

    def dies(self, run_id: str, why: str = "Run worker is gone.") -> str:
        """Reported as failed from outside."""
        self.instance.report_run_failed(self.run(run_id), why)
        return run_id

    def is_canceled(self, run_id: str) -> str:
        """Reported as canceled."""
        self.instance.report_run_canceled(self.run(run_id))
        return run_id

    def run(self, run_id: str) -> dg.DagsterRun:
        """The run as it is stored now."""
        run = self.instance.get_run_by_id(run_id)
        assert run is not None
        return run

    def sensed_failure(self, run_id: str) -> object:
        """The failure sensor, evaluated for a run."""
        return self._sensed(run_id, 0, dg.DagsterEventType.RUN_FAILURE)

    def sensed_success(self, run_id: str) -> object:
        """The success sensor, evaluated for a run."""
        return self._sensed(run_id, 1, dg.DagsterEventType.RUN_SUCCESS)

    def _sensed(self, run_id: str, which: int, kind: dg.DagsterEventType) -> object:
        sensor = alert_sensors()[which]
        record = self.instance.get_records_for_run(run_id, of_type=kind).records[0]
        event = record.event_log_entry.dagster_event
        assert event is not None
        context = dg.build_run_status_sensor_context(
            sensor_name=sensor.name,
            dagster_event=event,
            dagster_instance=self.instance,
            dagster_run=self.run(run_id),
        )
        return sensor(context)


def _tags(job: str, ontology: str | None) -> dict[str, str]:
    """Those of a catalogue's run, as `graph.run_tags` and Dagster write them."""
    return {GRAPH: job.removeprefix("refresh_"), PARTITION: ontology} if ontology else {}


def _job(name: str, why: str | None) -> dg.JobDefinition:
    @dg.op(name="raw_ols_pages")
    def step() -> None:
        if why is not None:
            raise dg.Failure(why, allow_retries=False)

    @dg.job(name=name, hooks=set(sentry_hooks()))
    def made() -> None:
        step()

    return made


def _origin(location: str) -> RemoteJobOrigin:
    repository = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin(location), "__repository__")
    return RemoteJobOrigin(repository, "refresh_efo")


@pytest.fixture
def history() -> Iterator[History]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield History(instance)


@contextmanager
def stored(home: Path) -> Iterator[History]:
    """The same on files, which outlive the instance and may be used by several threads."""
    home.mkdir(exist_ok=True)
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        yield History(instance)


@pytest.fixture(autouse=True)
def _configured(monkeypatch: pytest.MonkeyPatch, webhook: WebReceiver) -> None:
    monkeypatch.setenv("EFO_ALERT_WEBHOOK_URL", f"{webhook.url}/hook/CANARY-webhook-path")


@pytest.fixture
def mail(monkeypatch: pytest.MonkeyPatch, mailbox: MailServer) -> MailServer:
    mailbox.password = b""
    monkeypatch.setenv("EFO_ALERT_SMTP_URL", f"smtp://127.0.0.1:{mailbox.port}")
    monkeypatch.setenv("EFO_ALERT_EMAIL_FROM", "efo@example.org")
    monkeypatch.setenv("EFO_ALERT_EMAIL_TO", "ops@example.org")
    return mailbox


def titles(webhook: WebReceiver) -> list[str]:
    return [text.splitlines()[0].strip("*") for text in webhook.texts()]


def reason(result: object) -> str:
    assert isinstance(result, dg.SkipReason)
    return str(result.skip_message)


def test_an_incident_is_told_once_whatever_fails_next(
    history: History, webhook: WebReceiver
) -> None:
    assert history.sensed_failure(history.fails("OLS is down.")) is None
    second = history.fails("PostgreSQL is full.")
    assert "every receiver knows" in reason(history.sensed_failure(second))
    assert titles(webhook) == [FAILED]


def test_the_next_success_ends_it_and_the_one_after_says_nothing(
    history: History, webhook: WebReceiver
) -> None:
    history.sensed_failure(history.fails())
    history.sensed_failure(history.fails())
    assert history.sensed_success(history.succeeds()) is None
    assert "ended no incident" in reason(history.sensed_success(history.succeeds()))
    assert titles(webhook) == [FAILED, OVER]
    assert "It had failed 2 times since " in webhook.texts()[1]
    assert "first with: OLS is down." in webhook.texts()[1]


def test_a_failure_after_a_success_is_another_incident(
    history: History, webhook: WebReceiver
) -> None:
    for _ in range(2):
        history.sensed_failure(history.fails())
        history.sensed_success(history.succeeds())
    assert titles(webhook) == [FAILED, OVER, FAILED, OVER]


def test_a_restart_forgets_nothing(tmp_path: Path, webhook: WebReceiver) -> None:
    for _ in range(2):
        with stored(tmp_path / "home") as history:
            history.sensed_failure(history.fails())
    with stored(tmp_path / "home") as history:
        history.sensed_success(history.succeeds())
    assert titles(webhook) == [FAILED, OVER]


def test_the_same_run_evaluated_twice_is_told_once(history: History, webhook: WebReceiver) -> None:
    failed = history.fails()
    history.sensed_failure(failed)
    history.sensed_failure(failed)
    healed = history.succeeds()
    history.sensed_success(healed)
    history.sensed_success(healed)
    assert titles(webhook) == [FAILED, OVER]


def test_each_job_has_incidents_of_its_own(history: History, webhook: WebReceiver) -> None:
    history.sensed_failure(history.fails())
    history.sensed_failure(history.fails(job="another"))
    history.sensed_success(history.succeeds(job="another"))
    assert titles(webhook) == [
        FAILED,
        "efo_assets: another failed",
        "efo_assets: another works again",
    ]


def test_each_ontology_of_a_catalogue_has_incidents_of_its_own(
    history: History, webhook: WebReceiver
) -> None:
    for ontology in ("hp", "go", "hp", "go"):
        history.sensed_failure(history.fails(job="refresh_ols", of=ontology))
    history.sensed_success(history.succeeds(job="refresh_ols", of="mondo"))
    history.sensed_success(history.succeeds(job="refresh_ols", of="go"))
    history.sensed_failure(history.fails(job="refresh_ols", of="hp"))
    assert titles(webhook) == [
        "efo_assets: refresh_ols of hp failed",
        "efo_assets: refresh_ols of go failed",
        "efo_assets: refresh_ols of go works again",
    ]
    assert "Where: hp, job refresh_ols, step raw_ols_pages, on" in webhook.texts()[0]


def test_a_run_of_a_catalogue_without_an_ontology_is_an_incident_of_none(
    history: History, webhook: WebReceiver
) -> None:
    history.sensed_failure(history.fails(job="refresh_ols", of="hp"))
    history.sensed_failure(history.dies(history.begins({GRAPH: "ols"})))
    history.sensed_success(history.succeeds(job="refresh_ols", of="go"))
    assert titles(webhook) == ["efo_assets: refresh_ols of hp failed", FAILED]
    assert "Where: no ontology, job refresh_efo, on" in webhook.texts()[1]


def test_a_step_without_a_hook_is_reported_to_sentry_by_the_sensor(
    history: History, sink: WebReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A component's, or one that another code location has made."""
    failed = history.fails(job="refresh_ols", of="hp")
    monkeypatch.setenv("SENTRY_DSN", f"{sink.url.replace('//', f'//{SENTRY_KEY}@')}/42")
    history.sensed_failure(failed)
    history.sensed_failure(failed)
    (event,) = sink.events()
    assert event["message"] == "OLS is down."
    assert event["tags"] == {
        "run_id": failed,
        "job": "refresh_ols",
        "step": "raw_ols_pages",
        "ontology": "hp",
    }
    assert event["fingerprint"] == ["raw_ols_pages", "refresh_ols", "hp"]
    # This one's own process has told of it, and of which ontology it is.
    history.sensed_failure(history.fails(job="refresh_ols", of="go"))
    _, told = sink.events()
    assert told["tags"]["ontology"] == "go"
    assert told["fingerprint"][-1] == "go"


def test_a_run_canceled_on_purpose_neither_begins_nor_ends_an_incident(
    history: History, webhook: WebReceiver
) -> None:
    history.is_canceled(history.begins())
    first = history.fails()
    history.sensed_failure(first)
    history.is_canceled(history.begins())
    history.sensed_failure(history.fails())
    assert titles(webhook) == [FAILED]
    assert incidents.state(history.run(first), "webhook") == "told"


def test_a_run_that_ran_too_long_is_an_incident_even_if_its_process_calls_it_canceled(
    history: History, webhook: WebReceiver
) -> None:
    stuck = history.dies(history.begins(), "Exceeded maximum runtime of 3600 seconds.")
    history.is_canceled(stuck)
    history.sensed_failure(stuck)
    assert "Exceeded maximum runtime of 3600 seconds." in webhook.texts()[0]
    history.sensed_failure(history.fails())
    assert titles(webhook) == [FAILED]


@pytest.mark.fault("O08")
def test_a_run_that_dagster_starts_again_by_itself_is_told_only_if_that_fails_too(
    history: History, webhook: WebReceiver
) -> None:
    died = history.dies(history.begins({incidents.WILL_RETRY_TAG: "true"}))
    assert "starts run" in reason(history.sensed_failure(died))
    history.sensed_success(history.succeeds())
    assert titles(webhook) == []
    history.sensed_failure(history.dies(history.begins({incidents.WILL_RETRY_TAG: "true"})))
    history.sensed_failure(history.dies(history.begins({incidents.WILL_RETRY_TAG: "false"})))
    assert titles(webhook) == [FAILED]


def test_tags_that_a_run_inherits_when_started_again_say_nothing(
    history: History, webhook: WebReceiver
) -> None:
    first = history.fails()
    history.sensed_failure(first)
    history.sensed_success(history.succeeds())
    inherited = dict(history.run(first).tags)
    assert any(name.startswith(incidents.TAG_PREFIX) for name in inherited)
    history.sensed_failure(history.dies(history.begins(inherited)))
    assert titles(webhook) == [FAILED, OVER, FAILED]


def test_a_failure_that_a_success_has_followed_already_is_not_told(
    history: History, webhook: WebReceiver
) -> None:
    failed, healed = history.fails(), history.succeeds()
    assert "no receiver was told" in reason(history.sensed_success(healed))
    assert "over already" in reason(history.sensed_failure(failed))
    assert titles(webhook) == []


def test_a_success_that_comes_while_the_failure_is_being_told_ends_it(
    tmp_path: Path, webhook: WebReceiver
) -> None:
    with stored(tmp_path / "home") as history:

        def heal() -> None:
            webhook.before_answering = lambda: None
            history.sensed_success(history.succeeds())

        webhook.before_answering = heal
        history.sensed_failure(history.fails())
    assert sorted(titles(webhook)) == [FAILED, OVER]


def test_a_receiver_that_missed_it_is_told_with_the_next_failure_and_no_other_one(
    history: History, webhook: WebReceiver, mail: MailServer
) -> None:
    webhook.statuses = [404]
    with pytest.raises(NotDelivered, match="it reached: email") as caught:
        history.sensed_failure(history.fails())
    assert "The webhook answered with status 404" in str(caught.value)
    assert len(mail.mails) == 1
    webhook.statuses = [200]
    asked = len(webhook.posted)
    assert history.sensed_failure(history.fails()) is None
    assert (len(webhook.posted) - asked, len(mail.mails)) == (1, 1)
    history.sensed_success(history.succeeds())
    assert titles(webhook)[-1] == OVER
    assert len(mail.mails) == 2


def test_the_end_is_told_only_to_those_who_know_of_the_incident(
    history: History, webhook: WebReceiver, mail: MailServer
) -> None:
    webhook.statuses = [404]
    with pytest.raises(NotDelivered):
        history.sensed_failure(history.fails())
    webhook.statuses = [200]
    webhook.posted.clear()
    assert history.sensed_success(history.succeeds()) is None
    assert (titles(webhook), len(mail.mails)) == ([], 2)


def test_an_address_that_is_refused_shows_in_the_tick_and_repeats_no_mail(
    history: History, mail: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EFO_ALERT_EMAIL_TO", "ops@example.org,gone@example.org")
    mail.refused = {"gone@example.org"}
    with pytest.raises(NotDelivered, match="refused 1 of 2 addresses"):
        history.sensed_failure(history.fails())
    history.sensed_failure(history.fails())
    assert len(mail.mails) == 1


def test_a_run_of_a_command_does_not_end_an_incident_of_the_deployed_job(
    history: History, webhook: WebReceiver
) -> None:
    history.sensed_failure(history.dies(history.begins(location="efo_assets")))
    history.sensed_success(history.succeeds())
    assert titles(webhook) == [FAILED]
    history.sensed_failure(history.dies(history.begins(location="efo_assets")))
    assert titles(webhook) == [FAILED]


def test_the_beginning_of_a_long_incident_is_found(
    history: History, webhook: WebReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(incidents, "PAGE_RUNS", 2)
    history.succeeds()
    for _ in range(5):
        history.sensed_failure(history.dies(history.begins()))
    history.sensed_success(history.succeeds())
    assert titles(webhook) == [FAILED, OVER]
    assert "It had failed 5 times" in webhook.texts()[1]


def test_a_run_without_a_failed_step_is_reported_to_sentry_once_by_the_sensor(
    history: History, sink: WebReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTRY_DSN", f"{sink.url.replace('//', f'//{SENTRY_KEY}@')}/42")
    died = history.dies(history.begins(), "Run worker is gone.")
    history.sensed_failure(died)
    history.sensed_failure(died)
    (event,) = sink.events()
    assert event["message"] == "Run worker is gone."
    assert event["tags"] == {"run_id": died, "job": "refresh_efo", "ontology": "efo"}
    assert event["fingerprint"] == ["no step", "refresh_efo"]
    # A failed step has been reported by its own process.
    history.sensed_failure(history.fails())
    assert len(sink.events()) == 2


def test_without_a_receiver_the_sensors_are_off_and_say_what_to_set(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert {each.default_status for each in alert_sensors()} == {dg.DefaultSensorStatus.RUNNING}
    monkeypatch.delenv("EFO_ALERT_WEBHOOK_URL")
    assert {each.default_status for each in alert_sensors()} == {dg.DefaultSensorStatus.STOPPED}
    assert "EFO_ALERT_WEBHOOK_URL" in reason(history.sensed_failure(history.fails()))
    assert "EFO_ALERT_WEBHOOK_URL" in reason(history.sensed_success(history.succeeds()))


def test_jobs_of_other_people_in_the_code_location_send_nothing(
    history: History, webhook: WebReceiver
) -> None:
    @dg.asset
    def theirs() -> None: ...

    defs = dg.Definitions.merge(build_defs(), dg.Definitions(assets=[theirs]))
    sensor = defs.resolve_sensor_def("efo_alert_on_failure")

    def evaluated(cursor: str | None) -> str | None:
        with dg.build_sensor_context(
            history.instance, cursor=cursor, repository_def=defs.get_repository_def()
        ) as context:
            return sensor.evaluate_tick(context).cursor

    began = evaluated(None)
    for job in ("__ASSET_JOB", "theirs"):
        history.fails(job=job)
    cursor = evaluated(began)
    assert cursor != began
    assert webhook.texts() == []
    history.fails()
    evaluated(cursor)
    assert len(webhook.texts()) == 1


def test_a_wrong_setting_fails_the_tick_with_one_sentence_and_not_the_code_location(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EFO_ALERT_WEBHOOK_URL", "slack.example.org/CANARY")
    assert {each.default_status for each in alert_sensors()} == {dg.DefaultSensorStatus.RUNNING}
    with pytest.raises(SettingsError, match=r"^EFO_ALERT_WEBHOOK_URL takes") as caught:
        history.sensed_failure(history.fails())
    assert "CANARY" not in str(caught.value)


@pytest.mark.fault("S01")
def test_a_defect_of_a_sensor_shows_no_secret(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Tracebacks show this file's lines, too.
    secret = "CANARY"  # noqa: S105  # a canary

    def defect(*_: object) -> None:
        raise RuntimeError(f"connecting with password={secret}")

    monkeypatch.setattr("efo_assets.alerts.sensors.cause_of", defect)
    with pytest.raises(Exception, match=r"password=\*\*\*") as caught:
        history.sensed_failure(history.fails())
    assert not isinstance(caught.value, dg.DagsterError), "the sensor would not go on to the next"
    assert secret not in "".join(traceback.format_exception(caught.value))


def test_a_wrong_setting_of_the_loads_does_not_silence_the_alerts(
    history: History, webhook: WebReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EFO_PAGE_SIZE", "many")
    monkeypatch.setenv("EFO_ONTOLOGY", "No Such\nOntology")
    history.sensed_failure(history.fails())
    assert "Where: no such ontology, job refresh_efo" in webhook.texts()[0]
