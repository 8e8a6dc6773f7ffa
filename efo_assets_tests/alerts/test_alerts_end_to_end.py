"""A load that fails, fails again and succeeds: who is told what, and how often."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import dagster as dg
import pytest
from aiohttp import web

from efo_assets.definitions import build_defs
from efo_assets.ols.client import OlsClient
from efo_assets.sample.server import Sample, running_sample
from efo_assets.settings import DatabaseTarget
from efo_assets_tests.alerts.receivers import SENTRY_KEY, MailServer, WebReceiver
from efo_assets_tests.graph import Graph


async def no_pause(_seconds: float) -> None:
    """Go on at once."""


UI = "http://dagster.example.org"


class Outage:
    """OLS's answer to every page of classes, while it lasts."""

    def __init__(self) -> None:
        self.status: int | None = None

    async def intercept(self, request: web.Request) -> web.StreamResponse | None:
        if self.status is not None and request.path.endswith("/classes"):
            return web.Response(status=self.status, text="<!channel> out of order")
        return None


@pytest.fixture
def outage() -> Outage:
    return Outage()


@pytest.fixture
def sample(outage: Outage) -> Iterator[Sample]:
    with running_sample(classes=300, seed=5, intercept=outage.intercept) as running:
        yield running


@pytest.fixture
def graph(
    sample: Sample,
    database: DatabaseTarget,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    webhook: WebReceiver,
    mailbox: MailServer,
    sink: WebReceiver,
) -> Graph:
    made = Graph(monkeypatch, database, tmp_path / "data", sample.url)
    # Waiting between attempts is what the tests of the client are about.
    monkeypatch.setattr("efo_assets.resources.OlsClient", partial(OlsClient, pause=no_pause))
    made.configure(
        EFO_UI_URL=UI,
        EFO_ALERT_WEBHOOK_URL=f"{webhook.url}/hook/CANARY-webhook-path",
        EFO_ALERT_SMTP_URL=f"smtp://me:CANARY%2Fsmtp%40password@127.0.0.1:{mailbox.port}",
        EFO_ALERT_EMAIL_FROM="efo@example.org",
        EFO_ALERT_EMAIL_TO="ops@example.org, dba@example.org",
        SENTRY_DSN=f"{sink.url.replace('//', f'//{SENTRY_KEY}@')}/42",
    )
    return made


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
    context = dg.build_run_status_sensor_context(
        sensor_name=name,
        dagster_event=event,
        dagster_instance=instance,
        dagster_run=instance.get_run_by_id(result.run_id),
    )
    return sensor(context)


def test_an_incident_is_told_once_and_its_end_once(
    graph: Graph,
    instance: dg.DagsterInstance,
    outage: Outage,
    webhook: WebReceiver,
    mailbox: MailServer,
    sink: WebReceiver,
) -> None:
    outage.status = 500
    first = graph.materialize(instance=instance)
    assert sensed(first, instance) is None
    print(webhook.texts(), [m.as_string() for m in mailbox.mails], sink.events())
    assert len(webhook.posted) == len(mailbox.mails) == len(sink.events()) == 1
    again = graph.materialize(instance=instance)
    print(sensed(again, instance))
    assert len(webhook.posted) == len(mailbox.mails) == 1
    assert len(sink.events()) == 2
    outage.status = None
    healed = graph.materialize(instance=instance)
    assert healed.success
    assert sensed(healed, instance) is None
    print(webhook.texts())
    assert len(webhook.posted) == len(mailbox.mails) == 2
    assert len(sink.events()) == 2
