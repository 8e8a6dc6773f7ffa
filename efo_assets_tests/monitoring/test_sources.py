"""Sources that hang, fail and come back: the scrape ends in time, with one thread for each."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg
import pytest

# No public API: only the daemon writes ticks.
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    TickData,
    TickStatus,
)
from dagster_shared.error import SerializableErrorInfo
from prometheus_client.metrics_core import Metric

from efo_assets.errors import DatabaseUnavailable
from efo_assets.graph.raw import latency_quantiles
from efo_assets.monitoring import dagster_metrics
from efo_assets.monitoring.catalogue import RELEASE_ID
from efo_assets.monitoring.dagster_metrics import read_instance
from efo_assets.monitoring.sources import Source, Sources
from efo_assets_tests.monitoring.processes import served

TIMEOUT_S = 0.05


class Place:
    """Something to read from that a test can stop, break and mend."""

    def __init__(self) -> None:
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.failure: Exception | None = None
        self.readings = 0
        self.opened = 0
        self.closed = 0

    @contextmanager
    def open(self) -> Iterator["Place"]:
        self.opened += 1
        yield self
        self.closed += 1

    def read(self, _: Any) -> list[Metric]:
        self.readings += 1
        self.may_go_on.wait()
        if self.failure is not None:
            raise self.failure
        return [RELEASE_ID.of({("efo", "public"): 7})]


def source(place: Place, name: str = "place") -> Source[Place]:
    return Source(name, place.open, place.read)


def samples(collector: Sources) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for metric in collector.collect()
        for sample in metric.samples
    }


def test_a_source_that_hangs_ends_no_scrape_late_and_keeps_one_thread() -> None:
    hanging, well = Place(), Place()
    hanging.may_go_on.clear()
    sources = Sources([source(hanging, "hanging"), source(well, "well")], timeout_s=TIMEOUT_S)
    threads = threading.active_count()
    with served(sources) as endpoint:
        for _ in range(3):
            scrape = endpoint.scrape()
            assert scrape.value("efo_source_up", "hanging") == 0
            assert TIMEOUT_S <= scrape.value("efo_source_read_seconds", "hanging") < 5
    assert hanging.readings == 1
    assert threading.active_count() <= threads + 1
    hanging.may_go_on.set()


def test_sources_that_hang_share_the_time_of_one_scrape() -> None:
    place = Place()
    place.may_go_on.clear()
    sources = Sources([source(place, str(number)) for number in range(40)], timeout_s=2 * TIMEOUT_S)
    waited_s = max(
        value for (name, *_), value in samples(sources).items() if name.endswith("_seconds")
    )
    assert waited_s < 40 * TIMEOUT_S
    place.may_go_on.set()


def test_a_source_that_hung_is_up_as_soon_as_it_answers() -> None:
    place = Place()
    place.may_go_on.clear()
    one = source(place)
    assert samples(Sources([one], timeout_s=TIMEOUT_S))["efo_source_up", "place"] == 0
    place.may_go_on.set()
    found = samples(Sources([one]))
    assert found["efo_source_up", "place"] == 1
    assert found["efo_release_id", "efo", "public"] == 7


def test_one_that_is_down_takes_nothing_from_the_other() -> None:
    down, well = Place(), Place()
    down.failure = OSError("CANARY")
    found = samples(Sources([source(down, "down"), source(well, "well")]))
    assert found["efo_source_up", "down"] == 0
    assert found["efo_source_up", "well"] == 1
    assert found["efo_release_id", "efo", "public"] == 7


def test_a_source_is_opened_once_and_anew_after_a_failure() -> None:
    place = Place()
    one = source(place)
    sources = Sources([one])
    samples(sources)
    samples(sources)
    assert (place.opened, place.closed) == (1, 0)
    place.failure = OSError()
    samples(sources)
    assert (place.opened, place.closed) == (1, 1)
    place.failure = None
    assert samples(sources)["efo_source_up", "place"] == 1
    assert (place.opened, place.closed) == (2, 1)
    one.close()
    assert (place.opened, place.closed) == (2, 2)


@pytest.mark.fault("S01")
def test_a_complaint_is_logged_once_and_holds_no_text_of_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    place = Place()
    place.failure = OSError("CANARY")
    sources = Sources([source(place)])
    with caplog.at_level("INFO", "efo_assets.monitoring"):
        samples(sources)
        samples(sources)
        place.failure = DatabaseUnavailable("PostgreSQL is away.")
        samples(sources)
        place.failure = None
        samples(sources)
        samples(sources)
    assert [record.getMessage() for record in caplog.records] == [
        "place is down for the metrics: OSError.",
        "place is down for the metrics: PostgreSQL is away.",
        "place is up again",
    ]


@pytest.mark.parametrize(
    ("latencies_s", "expected"),
    [
        ([], []),
        ([0.25], [0.25, 0.25, 0.25, 0.25]),
        ([0.4, 0.1, 0.3, 0.2], [0.2, 0.4, 0.4, 0.4]),
        ([n / 100 for n in range(1, 101)], [0.5, 0.9, 0.99, 1.0]),
    ],
)
def test_a_quantile_is_a_latency_that_occurred(
    latencies_s: list[float], expected: list[float]
) -> None:
    found = latency_quantiles(latencies_s)
    assert list(found.values()) == expected
    if latencies_s:
        assert list(found) == [f"request_latency_p{p}_s" for p in (50, 90, 99, 100)]


def values(metrics: list[Metric], name: str) -> dict[tuple[str, ...], float]:
    (metric,) = [metric for metric in metrics if metric.name == name]
    found = {tuple(each.labels.values()): each.value for each in metric.samples}
    assert len(found) == len(metric.samples), "a label set stands twice"
    return found


def instigator(name: str, location: str, *, is_on: bool = True) -> InstigatorState:
    origin = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin(location), "__repository__")
    return InstigatorState(
        RemoteInstigatorOrigin(origin, name),
        InstigatorType.SENSOR,
        InstigatorStatus.RUNNING if is_on else InstigatorStatus.STOPPED,
    )


def tick(
    instance: dg.DagsterInstance, state: InstigatorState, at_s: float, how: TickStatus
) -> None:
    instance.create_tick(
        TickData(
            state.instigator_origin_id,
            state.name,
            InstigatorType.SENSOR,
            how,
            at_s,
            error=SerializableErrorInfo("CANARY", [], None) if how is TickStatus.FAILURE else None,
            selector_id=state.selector_id,
        )
    )


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp() as made:
        yield made


def test_failed_ticks_count_from_the_last_that_ended_well(instance: dg.DagsterInstance) -> None:
    state = instigator("efo_release_sensor", "now")
    instance.add_instigator_state(state)
    for at_s, how in enumerate(
        [
            TickStatus.FAILURE,
            TickStatus.SKIPPED,
            TickStatus.FAILURE,
            TickStatus.FAILURE,
            TickStatus.STARTED,
        ]
    ):
        tick(instance, state, float(at_s), how)
    found = read_instance(instance)
    key = ("efo_release_sensor", "sensor")
    assert values(found, "efo_instigator_ticks_failed_in_a_row") == {key: 2}
    # The tick that is under way has a time and no outcome yet.
    assert values(found, "efo_instigator_last_tick_timestamp_seconds") == {key: 4}
    assert values(found, "efo_instigator_last_tick_status") == {
        (*key, "SUCCESS"): 0,
        (*key, "SKIPPED"): 0,
        (*key, "FAILURE"): 1,
    }


@pytest.mark.parametrize("release", ["", "2026-11"])
def test_assets_of_others_are_no_ontologies(instance: dg.DagsterInstance, release: str) -> None:
    @dg.asset(key=["theirs", "terms"])
    def terms() -> dg.MaterializeResult[None]:
        return dg.MaterializeResult(metadata={"release": release})

    assert dg.materialize([terms], instance=instance).success
    found = {
        sample.labels["asset"]: sample.labels["ontology"]
        for metric in read_instance(instance)
        for sample in metric.samples
        if "asset" in sample.labels
    }
    assert found == {"theirs/terms": ""}


def test_that_assets_are_left_out_is_logged_once(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    @dg.asset
    def theirs() -> None: ...

    assert dg.materialize([theirs], instance=instance).success
    monkeypatch.setattr(dagster_metrics, "MOST_ASSETS", 1)
    dagster_metrics._tell_of_the_limit.cache_clear()
    for _ in range(2):
        read_instance(instance)
    assert caplog.messages.count("of Dagster's assets the first 1 have metrics") == 1


def test_of_two_sensors_of_one_name_the_one_that_ticked_last_counts(
    instance: dg.DagsterInstance,
) -> None:
    old, new = instigator("s", "before", is_on=False), instigator("s", "now")
    for state, at_s in ((old, 1.0), (new, 2.0)):
        instance.add_instigator_state(state)
        tick(instance, state, at_s, TickStatus.SKIPPED)
    found = read_instance(instance)
    assert values(found, "efo_instigator_running") == {("s", "sensor"): 1}
    assert values(found, "efo_instigator_last_tick_timestamp_seconds") == {("s", "sensor"): 2}
