"""Graphs of several ontologies, in other people's code locations: each on keys of its own."""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, TypeAlias

import dagster as dg
import psycopg
import pytest

# What the daemon reads; it is no public API.
from dagster._core.execution.plan.resume_retry import ReexecutionStrategy
from dagster._core.storage.tags import RETRY_STRATEGY_TAG
from pydantic import ValidationError

from efo_assets import Ontology, ontology_graph
from efo_assets.errors import SettingsError
from efo_assets.graph import raw
from efo_assets.graph.checks import PASSED_AUDIT
from efo_assets.sample.catalogue import Member
from efo_assets.sample.server import Sample, running_sample
from efo_assets.settings import DatabaseTarget
from efo_assets.warehouse.audit import CHECKS
from efo_assets.warehouse.tables import TABLES
from efo_assets_tests.databases import ask
from efo_assets_tests.graph.materializing import failure

CLASSES = {"mondo": 90, "hp": 60}
COUNTS = "select (select count(*) from mondo.terms), (select count(*) from hp.terms)"
Make: TypeAlias = Callable[..., dg.Definitions]


@pytest.fixture(scope="module")
def catalogue() -> Iterator[Sample]:
    members = tuple(Member(name, classes) for name, classes in CLASSES.items())
    with running_sample(classes=50, catalogue=members) as running:
        yield running


@pytest.fixture
def make(catalogue: Sample, database: DatabaseTarget, tmp_path: Path) -> Make:
    """Make the graph of an ontology of the catalogue, into the test's database."""

    def made(name: str, **fields: Any) -> dg.Definitions:
        here = {
            "ols_url": catalogue.url,
            "database": psycopg.conninfo.make_conninfo(**database.parameters),
            "data_dir": str(tmp_path / "data"),
        }
        return ontology_graph(Ontology(**{"id": name, **here, **fields}))

    return made


def run(defs: dg.Definitions, **options: Any) -> dg.ExecuteInProcessResult:
    """Run everything that the definitions can make, but exported files."""
    job = defs.resolve_implicit_global_asset_job_def()
    layer = job.asset_layer
    loaded = {
        key
        for key in layer.executable_asset_keys
        if layer.asset_graph.get(key).is_materializable
        and not str(layer.asset_graph.get(key).group_name).endswith("exports")
    }
    with dg.DagsterInstance.ephemeral() as instance:
        return job.get_subset(asset_selection=loaded).execute_in_process(
            raise_on_error=False, instance=instance, **options
        )


def verdicts(result: dg.ExecuteInProcessResult) -> set[tuple[str, str]]:
    """Asset and name of every check of the audit that was evaluated."""
    return {
        (each.asset_key.to_user_string(), each.check_name)
        for each in result.get_asset_check_evaluations()
        if each.check_name != PASSED_AUDIT
    }


def expected_verdicts(*folders: str) -> set[tuple[str, str]]:
    return {(f"{folder}/{check.table}", check.name) for folder in folders for check in CHECKS}


def as_they_are(defs: dg.Definitions) -> dg.Definitions:
    return defs


def by_modules(defs: dg.Definitions) -> dg.Definitions:
    """`load_assets_from_modules` and its like, with a prefix of the company's own."""
    module = ModuleType("theirs")
    module.assets, module.checks = list(defs.assets or ()), list(defs.asset_checks or ())  # type: ignore[attr-defined]
    return dg.Definitions(
        assets=dg.load_assets_from_modules([module], key_prefix="theirs"),
        asset_checks=dg.load_asset_checks_from_modules([module], asset_key_prefix="theirs"),
        resources=defs.resources,
    )


def by_modules_without_checks(defs: dg.Definitions) -> dg.Definitions:
    module = ModuleType("theirs")
    module.assets = list(defs.assets or ())  # type: ignore[attr-defined]
    return dg.Definitions(
        assets=dg.load_assets_from_modules([module], key_prefix="theirs"),
        asset_checks=defs.asset_checks,
        resources=defs.resources,
    )


def by_definitions(defs: dg.Definitions) -> dg.Definitions:
    """`load_definitions_from_module`, which finds what bears a name there."""
    module = ModuleType("theirs")
    module.assets, module.checks = list(defs.assets or ()), list(defs.asset_checks or ())  # type: ignore[attr-defined]
    found = dg.load_definitions_from_module(module)
    return dg.Definitions.merge(found, dg.Definitions(resources=defs.resources))


@pytest.mark.parametrize(
    "loaded",
    [(as_they_are, ""), (by_modules, "theirs/"), (by_definitions, "")],
    ids=["merge", "modules", "definitions"],
)
@pytest.mark.parametrize(
    "prefixes", [None, ([], ["hp"]), (["a", "mondo"], ["a", "hp"])], ids=["ids", "none", "long"]
)
@pytest.mark.filterwarnings("ignore::dagster.PreviewWarning")
def test_every_verdict_is_on_its_table_however_two_graphs_are_loaded(
    make: Make,
    database: DatabaseTarget,
    loaded: tuple[Callable[[dg.Definitions], dg.Definitions], str],
    prefixes: tuple[list[str], list[str]] | None,
) -> None:
    (load, before), (mondo, hp) = loaded, prefixes or (None, None)
    graphs = make("mondo", key_prefix=mondo), make("hp", key_prefix=hp)
    result = run(dg.Definitions.merge(*map(load, graphs)))
    assert result.success
    staged_of_mondo = "efo_staged" if mondo == [] else "/".join([*(mondo or ["mondo"]), "staged"])
    staged_of_hp = "/".join([*(hp or ["hp"]), "staged"])
    assert verdicts(result) == expected_verdicts(before + staged_of_mondo, before + staged_of_hp)
    told = [each.check_name for each in result.get_asset_check_evaluations()]
    assert told.count(PASSED_AUDIT) == 2 * len(TABLES)
    assert ask(database, COUNTS) == [(CLASSES["mondo"], CLASSES["hp"])]


def test_assets_that_were_parted_from_their_checks_publish_nothing(
    make: Make, database: DatabaseTarget
) -> None:
    result = run(by_modules_without_checks(make("mondo")))
    assert "no verdict for its present content" in failure(result)
    assert verdicts(result) == set()
    assert ask(database, "select to_regclass('mondo.terms')") == [(None,)]


def test_two_graphs_on_the_same_keys_are_refused(make: Make) -> None:
    defs = dg.Definitions.merge(make("mondo", key_prefix=["a"]), make("hp", key_prefix=["b"]))
    assert defs.resolve_asset_graph()
    with pytest.raises(dg.DagsterInvariantViolationError, match="a_loader"):
        dg.Definitions.merge(make("mondo", key_prefix=["a"]), make("hp", key_prefix=["a"]))


@pytest.mark.parametrize("load", [as_they_are, by_modules])
def test_a_failed_check_stops_a_run_before_publication_and_may_be_overridden_in_one(
    make: Make, database: DatabaseTarget, load: Callable[[dg.Definitions], dg.Definitions]
) -> None:
    defs = load(make("mondo"))
    assert run(defs).success
    with psycopg.connect(**database.parameters) as connection:  # type: ignore[arg-type]
        connection.execute(
            "update efo_meta.releases set fingerprint = 'other', load_id = 'other',"
            " counts = jsonb_set(counts, '{terms}', '1000000')"
        )
        connection.execute("update mondo.terms set label = 'kept' where id = 1")
    result = run(defs)
    assert "terms_did_not_shrink" in failure(result)
    assert [each.check_name for each in result.get_asset_check_evaluations() if not each.passed]
    assert result.get_step_failure_events()[0].step_key == "mondo__audit"
    allowed = {"resources": {"mondo_loader": {"config": {"allow_shrink": True}}}}
    assert run(defs, run_config=allowed).success


class Postgres(dg.ConfigurableResource):  # type: ignore[type-arg]  # it has no value
    url: str


def test_the_database_may_be_a_resource_of_the_code_location(
    make: Make, database: DatabaseTarget
) -> None:
    url = psycopg.conninfo.make_conninfo(**database.parameters)
    for key, resource in {"pg": Postgres(url=url), "dsn": url}.items():
        graph = make("mondo", database=None, database_resource=key)
        defs = dg.Definitions.merge(graph, dg.Definitions(resources={key: resource}))
        assert run(defs).success
    assert ask(database, "select count(*) from mondo.terms") == [(CLASSES["mondo"],)]
    graph = make("mondo", database=None, database_resource="pg")
    defs = dg.Definitions.merge(graph, dg.Definitions(resources={"pg": 7}))
    said = "The database of mondo is to be in the resource pg, which is no postgresql:// URL"
    assert failure(run(defs)).startswith(said)
    sensor = defs.resolve_sensor_def("mondo_release_sensor")
    with (
        dg.DagsterInstance.ephemeral() as instance,
        dg.build_sensor_context(instance, resources={"pg": Postgres(url=url)}) as context,
    ):
        assert "Nothing new" in str(sensor.evaluate_tick(context).skip_message)


def test_a_retry_begins_with_the_download_since_its_machine_may_lack_the_pages(make: Make) -> None:
    job = make("mondo").resolve_job_def("refresh_mondo")
    assert ReexecutionStrategy[job.tags[RETRY_STRATEGY_TAG]] is ReexecutionStrategy.ALL_STEPS


@pytest.mark.parametrize("blank", ["", " \n"])
def test_a_blank_is_no_default(monkeypatch: pytest.MonkeyPatch, blank: str) -> None:
    """An empty database would be the embedded one, an empty schema that of EFO."""
    for name in ("id", "schema", "database", "database_resource", "ols_url", "data_dir"):
        with pytest.raises(ValidationError, match="it holds nothing: leave it out"):
            Ontology.model_validate({"id": "mondo", name: blank})
    monkeypatch.setenv("BLANK", blank)
    monkeypatch.setenv("EFO_DATABASE_URL", "postgresql://reader@localhost/other")
    for attributes, said in (
        ({"database": dg.EnvVar("BLANK")}, "is to be in BLANK, which holds nothing"),
        ({"database_resource": "pg"}, "is to be in the resource pg, which is no postgresql:// URL"),
    ):
        ontology = Ontology.model_validate({"id": "mondo", **attributes})
        with pytest.raises(SettingsError, match=f"The database of mondo {said}"):
            ontology.settings(resources=SimpleNamespace(pg=blank))


def test_ids_are_as_ols_has_them() -> None:
    assert Ontology(id=" HP ").id == "hp"


def test_a_sentence_names_where_the_database_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "postgresql://reader@localhost/mine"
    monkeypatch.setenv("MINE", url)
    monkeypatch.setenv("EFO_DATABASE_URL", url)
    for attributes, holder in (
        ({"database": url}, "the `database` of mondo"),
        ({"database": dg.EnvVar("MINE")}, "MINE"),
        ({"database_resource": "pg"}, "the resource pg"),
        ({}, "EFO_DATABASE_URL"),
    ):
        ontology = Ontology(id="mondo", **attributes)
        target = ontology.settings(resources=SimpleNamespace(pg=url)).database
        assert target is not None
        assert target.named_by == holder


def test_other_peoples_definitions_stay_as_they_are(make: Make) -> None:
    @dg.sensor(name="mine", job_name="refresh_mondo")
    def mine() -> None: ...

    log = dg.logger(lambda _: None)  # type: ignore[arg-type, return-value]
    own = dg.Definitions(
        assets=[dg.AssetSpec("terms")],
        sensors=[mine],
        resources={"warehouse": "mine", "ols": "mine"},
        executor=dg.multiprocess_executor,
        loggers={"console": log},
    )
    defs = dg.Definitions.merge(own, make("mondo"), make("hp"))
    assert defs.executor is dg.multiprocess_executor
    assert defs.loggers == {"console": log}
    assert defs.resources is not None
    assert {*defs.resources} == {"warehouse", "ols"} | {
        f"{name}_{what}" for name in ("mondo", "hp") for what in ("loader", "postgres_copy")
    }
    names = {each.name for each in defs.sensors or ()}
    assert names == {"mine", "mondo_release_sensor", "hp_release_sensor"}


def test_an_id_with_a_dash_makes_a_graph_and_a_group_takes_none() -> None:
    specs = ontology_graph(Ontology(id="a-b")).resolve_all_asset_specs()
    assert {str(each.group_name) for each in specs} >= {"a_b", "a_b_raw"}
    with pytest.raises(ValidationError, match="it takes letters, digits and _; it holds 'a-b'"):
        Ontology(id="a-b", group="a-b")


@pytest.mark.parametrize(
    ("classes_in_that_time", "run_tags", "allowed_s"),
    [
        (CLASSES["mondo"] // 2, {}, "300"),
        (CLASSES["mondo"] + 1, {}, None),
        (CLASSES["mondo"] // 2, {"dagster/max_runtime": "70"}, "70"),
    ],
    ids=["large", "small", "told"],
)
def test_a_run_of_a_large_ontology_may_take_longer_than_others(
    make: Make,
    monkeypatch: pytest.MonkeyPatch,
    classes_in_that_time: int,
    run_tags: dict[str, str],
    allowed_s: str | None,
) -> None:
    monkeypatch.setattr(raw, "CLASSES_IN_THAT_TIME", classes_in_that_time)
    job = make("mondo", run_tags=run_tags).resolve_job_def("refresh_mondo")
    of_the_instance = {"run_monitoring": {"enabled": True, "max_runtime_seconds": 100}}
    with dg.DagsterInstance.local_temp(overrides=of_the_instance) as instance:
        result = job.execute_in_process(instance=instance)
        run = instance.get_run_by_id(result.run_id)
    assert run is not None
    assert run.tags.get("dagster/max_runtime") == allowed_s
