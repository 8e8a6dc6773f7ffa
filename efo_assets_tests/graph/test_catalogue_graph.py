"""A catalogue as one graph over partitions: the sensor as a daemon evaluates it, and its runs."""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import dagster as dg
import psycopg
import pytest
from aiohttp import web

from efo_assets import Catalogue, catalogue_graph
from efo_assets.errors import SettingsError
from efo_assets.graph.catalogue import Seen, catalogue_sensor
from efo_assets.graph.sensor import TickFailed
from efo_assets.sample.catalogue import BAD, Member, by_id
from efo_assets.sample.server import Sample, running_sample
from efo_assets.settings import RELEASE_CONFIRM_S, DatabaseTarget
from efo_assets.warehouse.audit import CHECKS
from efo_assets_tests.databases import ask, ask_in, connected
from efo_assets_tests.graph.materializing import failure, published_ancestors, published_rows
from efo_assets_tests.oracle.derived import expected_ancestors
from efo_assets_tests.oracle.rows import expected_rows

SOUND = [Member(f"sound{number}", 20 * number) for number in range(1, 6)] + [Member("with-dash")]
HOUR_S = 3600.0
pytestmark = pytest.mark.usefixtures("impatient")


@pytest.fixture
def sample() -> Iterator[Sample]:
    with running_sample(ontology="efo", classes=50, catalogue=(*SOUND, *BAD)) as running:
        yield running


@dataclass
class Daemon:
    """Evaluates the sensor at moments that the test chooses, and does what it asks for."""

    catalogue: Catalogue
    instance: dg.DagsterInstance
    now_s: float = field(default_factory=lambda: time.time() - 2 * RELEASE_CONFIRM_S)
    """Dagster stamps a run's end with the real time: the second tick is now."""
    cursor: str | None = None
    said: str = ""

    def __post_init__(self) -> None:
        self.defs = catalogue_graph(self.catalogue)
        self.job = self.defs.resolve_job_def("refresh_ols")
        self.sensor = catalogue_sensor(self.catalogue, clock=lambda: self.now_s)

    def tick(self, later_s: float = RELEASE_CONFIRM_S) -> list[dg.RunRequest]:
        """What is requested so much later; partitions are added as asked."""
        self.now_s += later_s
        with (
            dg.partition_loading_context(dynamic_partitions_store=self.instance),
            dg.build_sensor_context(
                self.instance, cursor=self.cursor, definitions=self.defs
            ) as context,
        ):
            done = self.sensor.evaluate_tick(context)
        for request in done.dynamic_partitions_requests or ():
            assert isinstance(request, dg.AddDynamicPartitionsRequest)
            self.instance.add_dynamic_partitions(
                request.partitions_def_name, list(request.partition_keys)
            )
        self.cursor, self.said = done.cursor, str(done.skip_message)
        self.observed = {each.partition for each in done.asset_events}
        return list(done.run_requests or ())

    def run(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        """As the daemon does, in this process."""
        return self.job.execute_in_process(
            partition_key=request.partition_key,
            tags=dict(request.tags),
            instance=self.instance,
            raise_on_error=False,
        )

    @property
    def partitions(self) -> set[str]:
        return set(self.instance.get_dynamic_partitions("ols_ontologies"))


@pytest.fixture
def catalogue(sample: Sample, database: DatabaseTarget, tmp_path: Path) -> Catalogue:
    return Catalogue(
        ols_url=sample.url,
        database=psycopg.conninfo.make_conninfo(**database.parameters),
        data_dir=str(tmp_path / "data"),
        exclude=["efo"],
    )


@pytest.fixture
def daemon(catalogue: Catalogue) -> Iterator[Daemon]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Daemon(catalogue, instance)


def ontologies(requests: list[dg.RunRequest]) -> set[str | None]:
    return {each.partition_key for each in requests}


def test_an_outage_of_ols_is_an_error_once_it_lasts_an_hour(
    catalogue: Catalogue,
) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        daemon = Daemon(catalogue.model_copy(update={"ols_url": "http://127.0.0.1:1"}), instance)
        assert not daemon.tick(0)
        assert "For 0 minutes so far; it is an error after 60." in daemon.said
        assert not daemon.tick(HOUR_S - 1)
        with pytest.raises(TickFailed, match="No run was requested"):
            daemon.tick(1)
        answering = Daemon(catalogue, instance, now_s=daemon.now_s, cursor=daemon.cursor)
        answering.tick()
        assert Seen.read(answering.cursor).unanswered_since_s is None


def test_each_ontology_is_loaded_by_a_run_of_its_own_and_bad_ones_fail_alone(
    daemon: Daemon, database: DatabaseTarget, sample: Sample
) -> None:
    everything = {member.ontology for member in (*SOUND, *BAD)}
    assert not daemon.tick(), "nothing is believed before it stays"
    assert daemon.partitions == daemon.observed == everything
    requests = daemon.tick()
    assert daemon.observed == set(), "OLS serves what it did"
    assert ontologies(requests) == everything
    assert len(requests) == len(everything)
    results = {str(each.partition_key): daemon.run(each) for each in requests}
    failures = {name: failure(each) for name, each in results.items() if not each.success}
    assert set(failures) == {"cyclic", "empty", "failing", "unlabelled"}
    assert "edges_have_no_cycle" in failures["cyclic"]
    assert "terms_have_labels" in failures["unlabelled"]
    assert "does not hold the ontology 'empty', or holds it empty" in failures["empty"]
    assert "does not say what it serves of failing" in failures["failing"]
    for member in SOUND:
        shown = partial(ask_in, database, member.ontology.replace("-", "_"))
        expected, published = expected_rows(member.release()), published_rows(shown)
        assert {each: getattr(expected, each) for each in published} == published
        assert published_ancestors(shown) == expected_ancestors(expected.parent_edges)
    query = "select ontology, state, failure from efo_meta.ontologies"
    states = {name: (state, why) for name, state, why in ask(database, query)}
    standing = {*(member.ontology for member in SOUND), "noversion"}
    assert {name for name, state in states.items() if state == ("published", None)} == standing
    assert {name: state for name, (state, _) in states.items() if name in failures} == {
        "cyclic": "refused",
        "empty": "failed",
        "failing": "failed",
        "unlabelled": "refused",
    }
    assert {name: states[name][1] for name in failures} == failures
    sample.reset()
    assert not daemon.tick(0), daemon.said
    assert len(sample.requests) == 1, "12 ontologies are one page of the list"
    sample.state.releases["sound1"] = 2
    assert not daemon.tick(0)
    requests = daemon.tick(1 + HOUR_S)
    assert ontologies(requests) == {"sound1", *failures}, "and those that failed"
    sample.catalogue = {**sample.catalogue, "empty": Member("empty")}
    assert all(daemon.run(each).success for each in requests if each.partition_key == "empty")
    query = "select state, failure from efo_meta.ontologies where ontology = 'empty'"
    assert ask(database, query) == [("published", None)]


def test_an_ontology_whose_schema_is_taken_fails_alone(
    daemon: Daemon, database: DatabaseTarget, sample: Sample
) -> None:
    sample.catalogue = by_id([Member(name) for name in ("ols", "public", "mine", "a-b", "a_b")])
    with connected(database) as somebody:
        for statement in ("create table of_somebody ()", "create schema mine"):
            somebody.execute(statement)
        somebody.execute("create view mine.terms as select 1 as of_somebody")
    daemon.tick()
    assert daemon.partitions == {"mine", "a-b"}
    results = {str(each.partition_key): daemon.run(each) for each in daemon.tick()}
    assert [name for name, each in results.items() if each.success] == ["a-b"]
    assert failure(results["mine"]).startswith("Schema mine isn't of efo_assets, which never")
    assert not daemon.tick(0), "neither is tried at once"
    query = "select ontology, schema_name, state, failure from efo_meta.ontologies order by 1"
    states = {name: tuple(facts) for name, *facts in ask(database, query)}
    assert states["a-b"] == ("a_b", "published", None)
    assert states["a_b"] == (
        "a_b",
        "failed",
        (
            "a_b is left out, since a-b has the schema a_b, which stays as it is: exclude one of "
            "the two, and load it by a component of its own that names another `schema`."
        ),
    )
    for name in ("ols", "public"):
        schema, state, why = states[name]
        assert (schema, state) == (name, "failed")
        assert why.startswith(
            f"The partition '{name}' can't be loaded: The ontology {name} gets no"
        )
    assert ask(database, "select to_regclass('public.terms'), to_regnamespace('ols')") == [
        (None, None)
    ]


def test_of_two_for_one_schema_the_one_that_stands_keeps_it(daemon: Daemon, sample: Sample) -> None:
    sample.catalogue = by_id([Member("a_b")])
    daemon.tick()
    for request in daemon.tick():
        assert daemon.run(request).success
    sample.catalogue = by_id([Member("a-b"), Member("a_b")])
    sample.state.releases["a_b"] = 2
    daemon.tick()
    assert ontologies(daemon.tick()) == {"a_b"}


def test_verdicts_are_kept_by_partition(daemon: Daemon) -> None:
    daemon.tick()
    requests = {each.partition_key: each for each in daemon.tick()}
    assert daemon.run(requests["sound1"]).success
    assert not daemon.run(requests["cyclic"]).success
    for check in CHECKS:
        key = dg.AssetCheckKey(dg.AssetKey(["ols", "staged", check.table]), check.name)
        records = daemon.instance.event_log_storage.get_asset_check_execution_history(key, limit=5)
        assert {each.partition for each in records} == {"sound1", "cyclic"}
    published = daemon.instance.get_materialized_partitions(dg.AssetKey(["ols", "terms"]))
    assert published == {"sound1"}


def test_what_vanishes_from_the_list_stays_and_is_named(daemon: Daemon, sample: Sample) -> None:
    daemon.tick()
    sample.state.hidden = ["sound1", "with-dash"]
    requests = daemon.tick()
    assert requests
    assert not ontologies(requests) & {"sound1", "with-dash"}
    assert daemon.partitions == {member.ontology for member in (*SOUND, *BAD)}
    for request in requests:
        daemon.instance.create_run_for_job(
            daemon.job, status=dg.DagsterRunStatus.STARTED, tags=dict(request.tags)
        )
    assert not daemon.tick()
    assert "and kept as they stand: sound1, with-dash." in daemon.said
    sample.state.hidden = []
    assert not daemon.tick(), "it is new again"
    assert ontologies(daemon.tick()) == {"sound1", "with-dash"}


def test_a_list_that_changes_while_it_is_read_is_not_believed(
    daemon: Daemon, sample: Sample
) -> None:
    """A row that moves to a page that was read already would pass for one that vanished."""
    daemon.tick()
    before = Seen.read(daemon.cursor)
    sample.catalogue = by_id([Member(f"many{number:02d}") for number in range(30)])

    async def hide_the_first(request: web.Request) -> None:
        if request.query.get("page") == "1":
            sample.state.hidden = ["many00"]

    sample.intercept = hide_the_first
    assert not daemon.tick()
    assert re.search(r"its list changes just now\. Nothing was changed;.*no partition", daemon.said)
    seen = Seen.read(daemon.cursor)
    assert (seen.releases, seen.vanished) == (before.releases, before.vanished)


def test_chosen_are_those_by_pattern_and_size_and_so_many_at_once(
    catalogue: Catalogue,
) -> None:
    chosen = catalogue.model_copy(
        update={
            "include": ["sound*", "cyc*"],
            "exclude": ["*5"],
            "min_classes": 40,
            "max_classes": 110,
            "runs_per_tick": 1,
        }
    )
    with dg.DagsterInstance.ephemeral() as instance:
        daemon = Daemon(chosen, instance)
        daemon.tick()
        assert daemon.partitions == {"sound2", "sound3", "sound4"}
        assert ontologies(daemon.tick()) == {"sound2"}, "the smallest comes first"


def test_a_run_without_a_partition_says_what_it_wants(daemon: Daemon) -> None:
    result = daemon.job.execute_in_process(instance=daemon.instance, raise_on_error=False)
    assert failure(result).startswith("A run of the catalogue loads one ontology: choose its")
    with pytest.raises(SettingsError, match=r"^The partition 'No Id' can't be loaded: [^\n]*\.$"):
        daemon.catalogue.of("No Id")


def test_ancestors_are_given_by_a_function_where_a_pattern_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    catalogue = Catalogue(by_function=["ncbi*"])
    assert catalogue.of("ncbitaxon").settings().ancestors == "function"
    assert catalogue.of("mondo").settings().ancestors == "table"
    monkeypatch.setenv("EFO_ANCESTORS", "function")
    assert catalogue.of("mondo").settings().ancestors == "function"
    by_table = Catalogue(ancestors="table", by_function=["ncbi*"])
    assert by_table.of("mondo").settings().ancestors == "table"
