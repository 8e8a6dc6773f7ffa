"""Automation: what the sensor asks for and why, against a real ledger, real runs and a real OLS."""

import asyncio
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import msgspec
import pytest
from aiohttp import web
from dagster._core.definitions.freshness import TimeWindowFreshnessPolicy
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)

from efo_assets.definitions import build_defs
from efo_assets.graph.due import Sighting
from efo_assets.graph.ols import LIMIT_S
from efo_assets.graph.ontology import Ontology
from efo_assets.graph.sensor import (
    TICK_LIMIT_S,
    TickFailed,
    release_sensor,
)
from efo_assets.ols.client import OlsClient
from efo_assets.ols.release import Release
from efo_assets.sample.server import Sample
from efo_assets.settings import RELEASE_CONFIRM_S, DatabaseTarget
from efo_assets.warehouse import session
from efo_assets.warehouse.request_slots import RequestSlots
from efo_assets.warehouse.session import CONNECT_TIMEOUT_S
from efo_assets.warehouse.tables import TABLES
from efo_assets.warehouse.warehouse import Warehouse
from efo_assets_tests.graph.materializing import NAMES, Graph, failure
from efo_assets_tests.warehouse.test_migrations import VERSION_1

SEED = 3
pytestmark = pytest.mark.usefixtures("impatient")
CLASSES = 120
EVALUATED_EVERY_S = 330
MINUTE_S = 60.0
DAY_S = 86_400.0
DAGSTERS_LIMIT_S = 60.0
ORIGIN = RemoteJobOrigin(
    RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("efo_assets"), "__repository__"),
    NAMES.job,
)
"""Where a queued run comes from; Dagster takes none without."""


class Automation:
    """The sensor as a daemon evaluates it, at moments that the test chooses, and the runs.

    Moments are in seconds from the real time, since Dagster stamps a run's end with that.
    """

    def __init__(self, graph: Graph, instance: dg.DagsterInstance) -> None:
        self.graph = graph
        self.instance = instance
        self.cursor: str | None = None
        self.launched: list[str] = []

    def evaluate(self, at_s: float, **limits: float) -> dg.RunRequest | str:
        """The run that is asked for, or the sentence that says why none is."""
        sensor = release_sensor(
            Ontology(),
            clock=lambda: time.time() + at_s,
            **limits,
        )
        with dg.build_sensor_context(instance=self.instance, cursor=self.cursor) as context:
            found = sensor.evaluate_tick(context)
        self.cursor, self.events = found.cursor, found.asset_events
        if not found.run_requests:
            assert found.skip_message
            return found.skip_message
        (request,) = found.run_requests
        return request

    def observed(self) -> dg.AssetObservation:
        """What the last evaluation saw OLS serving."""
        (event,) = self.events
        assert isinstance(event, dg.AssetObservation)
        return event

    def skipped(self, at_s: float) -> str:
        answer = self.evaluate(at_s)
        assert isinstance(answer, str), "a run was requested"
        return answer

    def due(self, at_s: float) -> dg.RunRequest:
        answer = self.evaluate(at_s)
        assert isinstance(answer, dg.RunRequest), answer
        return answer

    def confirmed(self) -> dg.RunRequest:
        """The run for a release that was seen for the first time one evaluation ago."""
        self.skipped(-EVALUATED_EVERY_S)
        return self.due(0)

    def failed(self, at_s: float = 0, **limits: float) -> str:
        """The sentence of an evaluation that fails."""
        before = self.cursor
        with pytest.raises(TickFailed) as caught:
            self.evaluate(at_s, **limits)
        assert self.cursor == before
        message = str(caught.value)
        assert "\n" not in message
        assert "No run was requested" in message
        assert caught.value.__suppress_context__, "nothing but the sentence"
        assert caught.value.__cause__ is None, "nothing but the sentence"
        return message

    def run(self, request: dg.RunRequest | None = None) -> dg.ExecuteInProcessResult:
        """Run the job as the daemon does: never twice for one run key."""
        tags = {}
        if request is not None:
            assert request.run_key not in [None, *self.launched], "Dagster would never run this"
            self.launched.append(str(request.run_key))
            tags = dict(request.tags)
        job = build_defs().resolve_job_def(NAMES.job)
        return job.execute_in_process(instance=self.instance, tags=tags, raise_on_error=False)

    def ledger(self) -> list[Any]:
        return self.graph.ask("select version, is_partial from efo_meta.releases order by 1")


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    """A real instance on disk, which takes two seconds to make."""
    with dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("home"))) as made:
        yield made


@pytest.fixture
def automation(
    sample: Sample,
    database: DatabaseTarget,
    instance: dg.DagsterInstance,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Automation:
    instance.wipe()
    return Automation(Graph(monkeypatch, database, tmp_path / "data", sample.url), instance)


def pages_asked(sample: Sample) -> int:
    """Requests for pages of classes; those for totals ask for one row."""
    return sum(
        1 for asked in sample.requests if "classes" in asked.path and asked.query["size"] != "1"
    )


async def failing(_: web.Request) -> web.StreamResponse:
    return web.Response(status=503, text="OLS is loading its data")


async def without_pages(request: web.Request) -> web.StreamResponse | None:
    """OLS says what it serves, and serves none of it."""
    if "classes" in request.path and request.query["size"] != "1":
        return web.Response(status=404)
    return None


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_ols_is_observed_at_the_root_by_the_sensor_and_by_hand_alike(
    automation: Automation, sample: Sample
) -> None:
    automation.skipped(0)
    seen = automation.observed()
    assert seen.asset_key == NAMES.ols
    job = build_defs().resolve_implicit_global_asset_job_def()
    by_hand = job.get_subset(asset_selection={NAMES.ols}).execute_in_process(
        instance=automation.instance
    )
    (observation,) = by_hand.asset_observations_for_node("observe_ols")
    assert observation.data_version == seen.data_version
    assert observation.metadata == seen.metadata
    sample.publish(2)
    automation.skipped(0)
    assert automation.observed().data_version != seen.data_version


@pytest.mark.fault("O17")
def test_a_new_release_is_seen_confirmed_loaded_and_then_old(
    automation: Automation, sample: Sample
) -> None:
    assert "first seen" in automation.skipped(-EVALUATED_EVERY_S)
    request = automation.due(0)
    assert automation.run(request).success
    assert automation.skipped(EVALUATED_EVERY_S).startswith("Nothing new: efo 3.901.0")
    sample.publish(2)
    assert "efo 3.902.0" in automation.skipped(-EVALUATED_EVERY_S)
    request = automation.due(0)
    assert request.tags[NAMES.release_tag].startswith("efo-3.902.0-")
    assert automation.run(request).success
    assert automation.skipped(EVALUATED_EVERY_S).startswith("Nothing new: efo 3.902.0")
    assert automation.ledger() == [("3.901.0", False), ("3.902.0", False)]


@pytest.mark.fault("O01")
def test_evaluated_twice_for_one_release_it_asks_for_one_run(automation: Automation) -> None:
    first = automation.confirmed()
    assert automation.due(1).run_key == first.run_key
    # A daemon that died before the launch left the run behind: asked for again, it is launched.
    left = automation.instance.create_run_for_job(
        build_defs().resolve_job_def(NAMES.job), tags=dict(first.tags)
    )
    assert left.status is dg.DagsterRunStatus.NOT_STARTED
    assert automation.due(2).run_key == first.run_key


@pytest.mark.parametrize(
    "status",
    [
        dg.DagsterRunStatus.QUEUED,
        dg.DagsterRunStatus.STARTING,
        dg.DagsterRunStatus.STARTED,
        dg.DagsterRunStatus.CANCELING,
    ],
)
@pytest.mark.parametrize("tagged", [True, False], ids=["sensors", "schedules"])
@pytest.mark.fault("O01")
@pytest.mark.fault("O04")
def test_while_a_run_is_under_way_no_other_is_requested(
    automation: Automation, status: dg.DagsterRunStatus, tagged: bool
) -> None:
    request = automation.confirmed()
    run = automation.instance.create_run_for_job(
        build_defs().resolve_job_def(NAMES.job),
        status=status,
        tags=dict(request.tags) if tagged else {},
        remote_job_origin=ORIGIN,
    )
    assert f"run {run.run_id[:8]} is under way" in automation.skipped(EVALUATED_EVERY_S)


def test_a_run_that_somebody_started_over_the_assets_counts_too(automation: Automation) -> None:
    automation.confirmed()
    job = build_defs().resolve_implicit_global_asset_job_def()
    run = automation.instance.create_run_for_job(
        job,
        status=dg.DagsterRunStatus.STARTED,
        asset_selection=frozenset([dg.AssetKey("raw_ols_pages")]),
    )
    assert run.job_name != NAMES.job
    assert f"run {run.run_id[:8]} is under way" in automation.skipped(EVALUATED_EVERY_S)


def test_a_run_of_something_else_does_not_count(automation: Automation) -> None:
    @dg.job
    def something_else() -> None: ...

    automation.confirmed()
    automation.instance.create_run_for_job(something_else, status=dg.DagsterRunStatus.STARTED)
    automation.due(EVALUATED_EVERY_S)


@pytest.mark.fault("O05")
def test_after_a_failed_run_it_asks_again_with_growing_pauses_and_other_keys(
    automation: Automation, sample: Sample
) -> None:
    request = automation.confirmed()
    sample.intercept = without_pages
    run = automation.run(request)
    assert not run.success
    said = automation.skipped(4 * MINUTE_S)
    assert "was tried once" in said
    assert f"run {run.run_id[:8]}" in said
    again = automation.due(5 * MINUTE_S)
    assert again.run_key != request.run_key
    assert again.tags == request.tags
    assert not automation.run(again).success
    assert "was tried 2 times" in automation.skipped(9 * MINUTE_S)
    third = automation.due(10 * MINUTE_S)
    sample.intercept = None
    assert automation.run(third).success
    assert automation.skipped(11 * MINUTE_S).startswith("Nothing new")


@pytest.mark.fault("O05")
def test_failures_of_one_release_do_not_delay_the_next(
    automation: Automation, sample: Sample
) -> None:
    request = automation.confirmed()
    sample.intercept = without_pages
    assert not automation.run(request).success
    assert not automation.run(automation.due(5 * MINUTE_S)).success
    sample.publish(2)
    automation.skipped(1)
    assert "3.902.0" in automation.due(1 + RELEASE_CONFIRM_S).tags[NAMES.release_tag]


def test_a_new_date_of_loading_alone_asks_for_nothing(
    automation: Automation, sample: Sample
) -> None:
    assert automation.run(automation.confirmed()).success
    document = sample._document("efo")

    async def loaded_anew(request: web.Request) -> web.StreamResponse | None:
        if request.path.endswith("/efo"):
            return web.json_response(document | {"loaded": "2031-01-01T00:00:00"})
        return None

    sample.intercept = loaded_anew
    for at_s in (0, EVALUATED_EVERY_S, 3 * DAY_S):
        assert automation.skipped(at_s).startswith("Nothing new")


def test_the_ledger_decides_and_not_the_cursor(automation: Automation) -> None:
    assert automation.run(automation.confirmed()).success
    assert automation.skipped(EVALUATED_EVERY_S).startswith("Nothing new")
    automation.graph.ask("update efo_meta.releases set version = '3.900.0' returning 1")
    again = automation.due(2 * EVALUATED_EVERY_S)
    assert str(again.run_key) not in automation.launched


def test_the_ledger_knows_the_totals_that_ols_announced(automation: Automation) -> None:
    assert automation.run(automation.confirmed()).success
    served = msgspec.to_builtins(asyncio.run(served_now()).totals)
    for table in ("loads", "releases"):
        assert automation.graph.ask(f"select totals from efo_meta.{table}") == [(served,)]
    automation.graph.ask(
        "update efo_meta.releases set totals = jsonb_set(totals, '{obsolete}', '0') returning 1"
    )
    automation.due(EVALUATED_EVERY_S)


def test_another_schema_has_a_ledger_of_its_own(automation: Automation) -> None:
    assert automation.run(automation.confirmed()).success
    automation.graph.configure(EFO_SCHEMA="elsewhere")
    automation.due(EVALUATED_EVERY_S)


@pytest.mark.parametrize("cursor", ["{]", '{"format":2,"release":"x","since_s":0}', "\x00"])
def test_a_cursor_that_is_none_of_ours_begins_anew(automation: Automation, cursor: str) -> None:
    automation.cursor = cursor
    assert "first seen" in automation.skipped(0)
    assert Sighting.read(automation.cursor) is not None


def test_a_partial_load_is_not_the_release(automation: Automation) -> None:
    automation.graph.configure(EFO_LIMIT="50")
    assert automation.run().success
    assert automation.ledger() == [("3.901.0", True)]
    assert "unset EFO_LIMIT" in automation.skipped(-EVALUATED_EVERY_S)
    automation.graph.configure(EFO_LIMIT="")
    assert automation.run(automation.due(0)).success
    assert automation.skipped(EVALUATED_EVERY_S).startswith("Nothing new")


def test_a_ledger_of_an_older_version_is_understood(automation: Automation) -> None:
    target = automation.graph.database
    with session.connect(target) as connection:
        connection.execute(VERSION_1)
        served = asyncio.run(served_now())
        connection.execute(
            "update efo_meta.releases set version = %s, version_iri = %s",
            [served.version, served.version_iri],
        )
    assert automation.graph.ask("select version from efo_meta.schema_version") == [(1,)]
    assert automation.skipped(0).startswith("Nothing new")


async def served_now() -> Release:
    async with OlsClient(Ontology().settings().ols_url) as client:
        return await client.release("efo")


@pytest.mark.fault("H28")
@pytest.mark.fault("O10")
def test_an_outage_is_an_error_and_no_answer(automation: Automation, sample: Sample) -> None:
    automation.skipped(-EVALUATED_EVERY_S)
    seen = Sighting.read(automation.cursor)
    assert seen is not None
    sample.intercept = failing
    for at_s in (0.0, 330.0, 3540.0):
        said = automation.skipped(at_s)
        assert "does not say what it serves of efo" in said
        assert "status 503" in said
        assert f"For {at_s / 60:.0f} minutes so far" in said
        assert "\n" not in said
    for at_s in (3600.0, 7200.0):
        said = automation.failed(at_s)
        assert "status 503" in said
    assert automation.instance.get_runs_count() == 0
    sample.intercept = None
    automation.due(7300.0)
    assert Sighting.read(automation.cursor) == seen, "what was seen outlives the outage"


@pytest.mark.fault("O10")
def test_an_outage_is_counted_from_its_own_beginning(
    automation: Automation, sample: Sample
) -> None:
    sample.intercept = failing
    assert "For 0 minutes" in automation.skipped(0)
    sample.intercept = None
    assert "first seen" in automation.skipped(1800)
    sample.intercept = failing
    assert "For 0 minutes" in automation.skipped(3600)
    assert "For 30 minutes" in automation.skipped(5400)
    assert "For 0 minutes" in automation.skipped(0), "the clock went back"


@pytest.mark.fault("H28")
def test_a_release_that_flickers_is_not_loaded(automation: Automation, sample: Sample) -> None:
    for number, at_s in ((1, 0.0), (2, 330.0), (1, 660.0), (2, 990.0)):
        sample.publish(number)
        assert "first seen" in automation.skipped(at_s)
    automation.due(990.0 + RELEASE_CONFIRM_S)


@pytest.mark.fault("O10")
def test_ols_that_hangs_ends_the_evaluation_in_time(
    automation: Automation, silent_port: int
) -> None:
    automation.graph.configure(EFO_OLS_URL=f"http://127.0.0.1:{silent_port}/ols4")
    said = automation.evaluate(0, ols_limit_s=0.2)
    assert isinstance(said, str)
    assert f"OLS at http://127.0.0.1:{silent_port}/ols4 did not say within 0.2 s" in said
    assert LIMIT_S < TICK_LIMIT_S < DAGSTERS_LIMIT_S


def test_it_asks_nothing_beyond_the_budget_of_all_runs(
    automation: Automation, sample: Sample, database: DatabaseTarget
) -> None:
    assert automation.run(automation.confirmed()).success
    budget = 16
    slots = RequestSlots(database, sample.url.removeprefix("http://"), budget)
    slots.open()
    assert slots.take(budget, 0) == 0
    sample.reset()
    assert "did not say within 0.5 s" in str(automation.evaluate(0, ols_limit_s=0.5))
    assert not sample.requests
    slots.close(0, 0)
    assert automation.skipped(0).startswith("Nothing new")


@pytest.mark.fault("O10")
def test_ols_that_is_gone_is_named(automation: Automation) -> None:
    automation.graph.configure(EFO_OLS_URL="http://127.0.0.1:1")
    assert "OLS unreachable at 127.0.0.1:1" in automation.skipped(0)


@pytest.mark.fault("O10")
@pytest.mark.fault("D01")
def test_a_database_that_is_down_is_named(
    automation: Automation, sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(session.connect.__kwdefaults__ or {}, "patience_s", 0.1)
    automation.graph.configure(EFO_DATABASE_URL="postgresql://me:CANARY@127.0.0.1:1/efo")
    said = automation.failed()
    assert "PostgreSQL at 127.0.0.1:1/efo cannot be reached" in said
    assert "CANARY" not in said
    assert not sample.requests, "OLS isn't asked for nothing"


@pytest.mark.fault("O10")
def test_a_database_that_hangs_ends_the_evaluation_in_time(
    automation: Automation, silent_port: int
) -> None:
    automation.graph.configure(EFO_DATABASE_URL=f"postgresql://me@127.0.0.1:{silent_port}/efo")
    began_s = time.monotonic()
    said = automation.failed(tick_limit_s=0.2)
    assert time.monotonic() - began_s < CONNECT_TIMEOUT_S / 2
    assert "did not answer within 0.2 s" in said


@pytest.mark.fault("H14")
def test_an_ontology_that_vanished_is_an_error(automation: Automation) -> None:
    automation.graph.configure(EFO_ONTOLOGY="nosuch")
    assert "'nosuch'" in automation.failed()


@pytest.mark.parametrize("name", ["EFO_PAGE_SIZE", "EFO_AUTOMATION"])
def test_a_wrong_setting_is_said_when_an_evaluation_begins(
    automation: Automation, name: str
) -> None:
    automation.graph.configure(**{name: "many"})
    assert automation.failed().startswith(f"{name} takes ")


@pytest.mark.fault("O04")
def test_the_schedules_run_after_the_sensors_ends_at_once_as_a_success(
    automation: Automation, sample: Sample
) -> None:
    assert automation.run(automation.confirmed()).success
    sample.reset()
    again = automation.run()
    assert again.success
    assert pages_asked(sample) == 0
    assert automation.ledger() == [("3.901.0", False)]
    changes = [
        event.materialization.metadata["unchanged"].value
        for event in again.get_asset_materialization_events()
        if event.asset_key == dg.AssetKey("efo_terms")
    ]
    assert changes == [CLASSES]


@pytest.mark.fault("O04")
def test_of_two_runs_at_once_the_second_ends_with_a_sentence_and_is_not_needed(
    automation: Automation, sample: Sample
) -> None:
    request = automation.confirmed()
    with Warehouse(automation.graph.database) as scheduled:
        scheduled.prepare()
        assert "Another load into schema public is under way" in failure(automation.run(request))
        assert pages_asked(sample) == 0
    assert automation.run().success
    assert automation.skipped(EVALUATED_EVERY_S).startswith("Nothing new")


@pytest.mark.fault("O03")
def test_after_days_without_a_daemon_one_interval_is_enough(
    automation: Automation, sample: Sample
) -> None:
    assert automation.run(automation.confirmed()).success
    automation.skipped(EVALUATED_EVERY_S)
    sample.publish(2)
    sample.publish(3)
    assert "efo 3.903.0" in automation.skipped(10 * DAY_S)
    assert "3.903.0" in automation.due(10 * DAY_S + EVALUATED_EVERY_S).tags[NAMES.release_tag]


@pytest.mark.parametrize(
    ("value", "sensor_status", "schedule_status"),
    [
        ("1", dg.DefaultSensorStatus.RUNNING, dg.DefaultScheduleStatus.RUNNING),
        ("0", dg.DefaultSensorStatus.STOPPED, dg.DefaultScheduleStatus.STOPPED),
        ("", dg.DefaultSensorStatus.STOPPED, dg.DefaultScheduleStatus.STOPPED),
        ("many", dg.DefaultSensorStatus.STOPPED, dg.DefaultScheduleStatus.STOPPED),
    ],
)
def test_nothing_runs_unasked_unless_automation_is_on(
    monkeypatch: pytest.MonkeyPatch,
    value: str,
    sensor_status: dg.DefaultSensorStatus,
    schedule_status: dg.DefaultScheduleStatus,
) -> None:
    monkeypatch.setenv("EFO_AUTOMATION", value)
    monkeypatch.setenv("EFO_PAGE_SIZE", "many")
    defs = build_defs()
    assert defs.resolve_sensor_def("efo_release_sensor").default_status is sensor_status
    assert defs.resolve_sensor_def("efo_exports_sensor").default_status is sensor_status
    assert defs.resolve_schedule_def("efo_weekly_schedule").default_status is schedule_status


def test_sensor_and_schedule_run_the_same_job() -> None:
    defs = build_defs()
    sensor = defs.resolve_sensor_def("efo_release_sensor")
    schedule = defs.resolve_schedule_def("efo_weekly_schedule")
    assert (sensor.job_name, schedule.job_name) == (NAMES.job, NAMES.job)
    assert defs.resolve_job_def(NAMES.job)
    assert schedule.execution_timezone == "UTC"
    assert re.fullmatch(r"[0-9]+ [0-9]+ \* \* [0-6]", str(schedule.cron_schedule)), "weekly"
    assert sensor.minimum_interval_seconds is not None
    assert sensor.minimum_interval_seconds > RELEASE_CONFIRM_S, "the second evaluation confirms"


def test_the_published_assets_are_to_be_fresh_monthly() -> None:
    graph = build_defs().resolve_asset_graph()
    published = {dg.AssetKey(name) for name in ("efo_release", *(t.name for t in TABLES))}
    for key in graph.get_all_asset_keys():
        policy = graph.get(key).freshness_policy
        assert (policy is not None) is (key in published)
        if policy is not None:
            assert isinstance(policy, TimeWindowFreshnessPolicy)
            assert policy.warn_window is not None
            assert (
                31
                <= policy.warn_window.to_timedelta().days
                < policy.fail_window.to_timedelta().days
            )
