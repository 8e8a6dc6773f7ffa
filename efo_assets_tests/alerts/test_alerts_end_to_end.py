"""A load that fails, fails again and succeeds: who is told what, and how often."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

import dagster as dg
import psycopg
import pytest
import sentry_sdk
from aiohttp import web

from efo_assets import Catalogue, catalogue_graph
from efo_assets.definitions import build_defs
from efo_assets.sample.catalogue import Member
from efo_assets.sample.server import Sample, running_sample
from efo_assets.settings import DatabaseTarget
from efo_assets_tests.alerts.receivers import SENTRY_KEY, MailServer, WebReceiver
from efo_assets_tests.commands import assert_one_sentence, dagster
from efo_assets_tests.graph.materializing import Graph, failure

CLASSES = 300
SEED = 5


async def no_pause(_seconds: float) -> None:
    """Go on at once."""


UI = "http://dagster.example.org"
CANARIES = ("CANARY", SENTRY_KEY)


class Outage:
    """OLS's answer to every page of classes, while it lasts."""

    def __init__(self) -> None:
        self.status: int | None = None

    async def intercept(self, request: web.Request) -> web.StreamResponse | None:
        if self.status is not None and request.path.endswith("/classes"):
            return web.Response(status=self.status, text="<!channel> out of order")
        return None


@pytest.fixture
def outage(sample: Sample) -> Outage:
    outage = Outage()
    sample.intercept = outage.intercept
    return outage


@pytest.fixture
def catalogue() -> Iterator[Sample]:
    """A server of three small ontologies beside its own."""
    members = [Member(f"member{number}", 20) for number in range(1, 4)]
    with running_sample(ontology="efo", classes=50, catalogue=members) as running:
        yield running


class Told(NamedTuple):
    """Everybody who is told."""

    webhook: WebReceiver
    mailbox: MailServer
    sink: WebReceiver

    @property
    def counts(self) -> tuple[int, int, int]:
        """Posts to the webhook, mails and events."""
        return len(self.webhook.posted), len(self.mailbox.mails), len(self.sink.events())


@pytest.fixture
def told(webhook: WebReceiver, mailbox: MailServer, sink: WebReceiver) -> Told:
    return Told(webhook, mailbox, sink)


@pytest.fixture(autouse=True)
def _configured(graph: Graph, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    # Waiting between attempts is what the tests of the client are about.
    monkeypatch.setattr("efo_assets.ols.pace.BACKOFF_BASE_S", 0.001)
    graph.configure(
        EFO_UI_URL=UI,
        EFO_ALERT_WEBHOOK_URL=f"{told.webhook.url}/hook/CANARY-webhook-path",
        EFO_ALERT_SMTP_URL=f"smtp://me:CANARY%2Fsmtp%40password@127.0.0.1:{told.mailbox.port}",
        EFO_ALERT_EMAIL_FROM="efo@example.org",
        EFO_ALERT_EMAIL_TO="ops@example.org, dba@example.org",
        SENTRY_DSN=f"{told.sink.url.replace('//', f'//{SENTRY_KEY}@')}/42",
    )


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    home = tmp_path / "home"
    home.mkdir()
    with dg.DagsterInstance.local_temp(str(home)) as made:
        yield made


def sensed(result: dg.ExecuteInProcessResult, instance: dg.DagsterInstance) -> object:
    """Evaluate the sensor that this end of a run concerns."""
    name = "efo_alert_when_over" if result.success else "efo_alert_on_failure"
    (sensor,) = [each for each in build_defs().sensors or () if each.name == name]
    event = result.get_run_success_event() if result.success else result.get_run_failure_event()
    run = instance.get_run_by_id(result.run_id)
    assert run is not None
    context = dg.build_run_status_sensor_context(
        sensor_name=name,
        dagster_event=event,
        dagster_instance=instance,
        dagster_run=run,
    )
    return sensor(context)


def test_an_incident_is_told_once_and_its_end_once(
    graph: Graph,
    instance: dg.DagsterInstance,
    outage: Outage,
    told: Told,
) -> None:
    outage.status = 500
    first = graph.materialize(instance=instance)
    assert sensed(first, instance) is None
    (text,), (mail,), (event,) = told.webhook.texts(), told.mailbox.mails, told.sink.events()
    assert text.splitlines()[0] == "*efo_assets: __ASSET_JOB failed*"
    assert "status 500 ('&lt;!channel&gt; out of order')" in text
    assert f"Run: {UI}/runs/{first.run_id}" in text
    assert told.mailbox.recipients == [["ops@example.org", "dba@example.org"]]
    assert "status 500 ('<!channel> out of order')" in mail.get_content()
    assert event["tags"]["run_id"] == first.run_id
    again = graph.materialize(instance=instance)
    assert isinstance(sensed(again, instance), dg.SkipReason)
    assert told.counts == (1, 1, 2)
    outage.status = None
    healed = graph.materialize(instance=instance)
    assert healed.success
    assert sensed(healed, instance) is None
    assert told.webhook.texts()[1].startswith(
        "*efo_assets: __ASSET_JOB works again*\nIt had failed 2"
    )
    assert told.mailbox.mails[1]["References"] == mail["Message-ID"]
    assert told.counts == (2, 2, 2)


def test_a_new_release_is_announced_once_to_those_who_ask_for_it(
    graph: Graph, instance: dg.DagsterInstance, sample: Sample, told: Told
) -> None:
    assert isinstance(sensed(graph.materialize(instance=instance), instance), dg.SkipReason)
    sample.publish(2)
    graph.configure(EFO_ALERT_RELEASES="1")
    released = graph.materialize(instance=instance)
    assert sensed(released, instance) is None
    (text,), (mail,) = told.webhook.texts(), told.mailbox.mails
    assert text.splitlines()[0] == "*efo_assets: efo 3.902.0 is published*"
    ((kind, changes, curie),) = graph.ask(
        "select c.kind, count(*) over (), t.curie from efo_changes as c"
        " join efo_terms as t on t.id = c.term_id where c.kind = 'obsoleted' limit 1"
    )
    assert f"{kind}: {changes}, such as {curie} " in text
    assert f"Run: {UI}/runs/{released.run_id}" in mail.get_content()
    unchanged = graph.materialize(instance=instance)
    assert isinstance(sensed(unchanged, instance), dg.SkipReason)
    assert told.counts == (1, 1, 0)


def test_an_expected_failure_is_one_event_with_its_stack_grouped_by_cause(
    graph: Graph, outage: Outage, sink: WebReceiver
) -> None:
    outage.status = 503
    graph.materialize()
    outage.status = 500
    result = graph.materialize()
    before, event = sink.events()
    assert event["fingerprint"] == ["PageRejected", "raw_ols_pages", "HTTP 5xx"]
    assert event["fingerprint"] == before["fingerprint"]
    assert event["tags"] == {
        "run_id": result.run_id,
        "run_url": f"{UI}/runs/{result.run_id}",
        "job": "__ASSET_JOB",
        "step": "raw_ols_pages",
        "asset": "raw_ols_pages",
        "ontology": "efo",
    }
    raised = event["exception"]["values"][-1]
    assert raised["type"] == "PageRejected"
    frames = raised["stacktrace"]["frames"]
    assert (frames[-1]["module"], frames[-1]["function"]) == ("efo_assets.ols.client", "release")
    every_frame = [
        frame for value in event["exception"]["values"] for frame in value["stacktrace"]["frames"]
    ]
    assert every_frame
    assert not any("vars" in frame for frame in every_frame)
    assert not {"user", "request", "modules", "breadcrumbs"} & set(event)


def test_a_refused_audit_is_one_event_grouped_by_the_checks_and_one_sentence(
    graph: Graph, instance: dg.DagsterInstance, sample: Sample, told: Told, sink: WebReceiver
) -> None:
    graph.materialize()
    graph.ask(
        "update efo_meta.releases set counts = jsonb_set(counts, '{terms}', '1000000') returning 1"
    )
    sample.publish(2)
    result = graph.materialize(instance=instance)
    assert sensed(result, instance) is None
    (text,) = told.webhook.texts()
    assert "terms_did_not_shrink (" in text
    assert "EFO_ALLOW_SHRINK=1 publishes it for one run" in text
    (event,) = sink.events()
    assert event["tags"]["step"] == "audit"
    assert event["tags"]["ols_release"].startswith("efo ")
    assert event["fingerprint"] == ["AuditNotPassed", "audit", "terms_did_not_shrink"]


def test_a_defect_is_one_event_grouped_by_its_stack_and_shows_no_secret(
    graph: Graph,
    instance: dg.DagsterInstance,
    told: Told,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def defect(_self: object) -> None:
        raise RuntimeError("connecting with password='CANARY/smtp@password'")

    monkeypatch.setattr("efo_assets.warehouse.warehouse.Warehouse.prepare", defect)
    result = graph.materialize(instance=instance)
    (event,) = told.sink.events()
    assert event["fingerprint"] == ["{{ default }}", "raw_ols_pages"]
    raised = event["exception"]["values"][-1]
    assert raised["type"] == "Scrubbed"
    assert raised["value"] == "RuntimeError: connecting with password=***"
    assert raised["stacktrace"]["frames"][-1]["function"] == "defect"
    sensed(result, instance)
    assert "RuntimeError: connecting with password=***" in told.webhook.texts()[0]


@pytest.mark.fault("S01")
@pytest.mark.usefixtures("impatient")
def test_no_secret_is_in_an_event_a_message_the_event_log_or_the_output(
    graph: Graph,
    instance: dg.DagsterInstance,
    outage: Outage,
    told: Told,
    capfd: pytest.CaptureFixture[str],
) -> None:
    told.webhook.statuses = [200, 404]
    outage.status = 500
    sensed(graph.materialize(instance=instance), instance)
    outage.status = None
    # What PostgreSQL, or a defect of ours, may say when it is asked with the wrong password.
    database = "postgresql://loader:CANARY%2Fdb%40password@127.0.0.1:1/efo"
    graph.configure(EFO_DATABASE_URL=database, EFO_OLS_URL="http://127.0.0.1:1/CANARY?")
    sensed(graph.materialize(instance=instance), instance)
    graph.configure(EFO_OLS_URL="http://127.0.0.1:1")
    sensed(graph.materialize(instance=instance), instance)

    def defect(_self: object) -> None:
        raise RuntimeError(f"{database} and {unquote(database)}")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("efo_assets.warehouse.warehouse.Warehouse.prepare", defect)
        sensed(graph.materialize(instance=instance), instance)
    assert len(told.sink.events()) == 4
    stored = [path for path in Path(instance.root_directory).rglob("*") if path.is_file()]
    assert any(path.suffix == ".db" for path in stored)
    everything = {
        "event log": b"".join(path.read_bytes() for path in stored).decode(errors="replace"),
        "output": "".join(capfd.readouterr()),
        "events": told.sink.everything(),
        "webhook": told.webhook.everything(),
        "mails": b"".join(told.mailbox.raw).decode(),
    }
    for where, text in everything.items():
        for canary in CANARIES:
            assert canary not in text, where


def test_a_sentry_that_does_not_answer_leaves_the_run_as_it_is_and_says_so(
    graph: Graph, instance: dg.DagsterInstance, outage: Outage, sink: WebReceiver
) -> None:
    outage.status, sink.statuses = 500, [503]
    result = graph.materialize(instance=instance)
    assert "status 500" in failure(result)
    logged = [each.user_message for each in instance.all_logs(result.run_id)]
    assert "Sentry did not take the event (status 503); look at SENTRY_DSN." in logged


def test_the_sentry_of_other_code_in_the_process_is_left_alone(
    graph: Graph, outage: Outage, sink: WebReceiver
) -> None:
    outage.status = 500
    with sentry_sdk.new_scope() as theirs:
        theirs.set_tag("customer", "of theirs")
        theirs.add_breadcrumb(message="what they did")
        graph.materialize()
        assert sentry_sdk.get_current_scope() is theirs
    (event,) = sink.events()
    assert "theirs" not in str(event["tags"])
    assert "breadcrumbs" not in event
    assert not sentry_sdk.is_initialized()


def test_the_event_is_with_sentry_before_the_command_ends(graph: Graph, sink: WebReceiver) -> None:
    graph.configure(EFO_ONTOLOGY="nosuch")
    done = dagster("--select", "*")
    assert_one_sentence(done, "nosuch")
    (event,) = sink.events()
    assert event["fingerprint"][:2] == ["UnknownOntology", "raw_ols_pages"]
    assert not any(canary in done.stdout for canary in CANARIES)


def test_without_a_dsn_nothing_of_sentry_is_imported_and_no_hook_is_attached(
    graph: Graph, instance: dg.DagsterInstance, outage: Outage
) -> None:
    graph.configure(SENTRY_DSN="")
    outage.status = 500
    result = graph.materialize(instance=instance)
    assert not [event for event in result.all_events if event.is_hook_event]
    code = (
        "import sys, efo_assets.definitions, efo_assets.__main__;print('sentry_sdk' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_backfill_of_a_catalogue_is_an_incident_for_each_ontology_that_fails_and_no_other(
    catalogue: Sample,
    database: DatabaseTarget,
    tmp_path: Path,
    instance: dg.DagsterInstance,
    told: Told,
) -> None:
    members = {each.ontology for each in catalogue.catalogue.values()}
    away = {"member1", "member3"}

    async def refuse(request: web.Request) -> web.StreamResponse | None:
        is_away = any(f"/{each}" in request.path for each in away)
        return web.Response(status=500) if is_away else None

    catalogue.intercept = refuse
    defs = catalogue_graph(
        Catalogue(
            ols_url=catalogue.url,
            database=psycopg.conninfo.make_conninfo(**database.parameters),
            data_dir=str(tmp_path / "data"),
        )
    )
    job = defs.resolve_job_def("refresh_ols")
    instance.add_dynamic_partitions("ols_ontologies", sorted(members))

    def backfill(*ontologies: str) -> None:
        runs = [
            job.execute_in_process(partition_key=each, instance=instance, raise_on_error=False)
            for each in sorted(ontologies)
        ]
        for run in runs:
            sensed(run, instance)

    backfill(*members)
    titles = [text.splitlines()[0].strip("*") for text in told.webhook.texts()]
    assert titles == [f"efo_assets: refresh_ols of {each} failed" for each in sorted(away)]
    assert [each["tags"]["ontology"] for each in told.sink.events()] == sorted(away)
    one, another = (each["fingerprint"] for each in told.sink.events())
    assert one[:-1] == another[:-1]
    assert (one[-1], another[-1]) == ("member1", "member3")
    assert told.counts == (2, 2, 2)
    backfill(*away)
    assert told.counts == (2, 2, 4), "the same again is no new incident"
    away.remove("member1")
    backfill(*members)
    assert told.counts == (3, 3, 5), "one works again, and nothing is told of the others"
    assert told.webhook.texts()[2].startswith(
        "*efo_assets: refresh_ols of member1 works again*\nIt had failed 2 times"
    )
