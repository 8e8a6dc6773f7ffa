"""A schema that bears its ontology's name: plain names in it, beside `efo_` ones elsewhere."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from efo_assets.errors import SchemaDrift
from efo_assets.settings import DatabaseTarget
from efo_assets.warehouse import session
from efo_assets.warehouse.publish import TRIES
from efo_assets.warehouse.tables import TABLES
from efo_assets.warehouse.warehouse import Warehouse
from efo_assets_tests.databases import connected
from efo_assets_tests.warehouse.loads import Rows, ask, edge, publish, stage, synonym, term, xref

MAJORS = (18, 16, 15)
FIRST: Rows = {
    "terms": [
        term("a", "asthma"),
        term("b", "bronchial asthma"),
        term("old", "obsolete_wheeze", is_obsolete=True, replaced_by=["EX:a"]),
    ],
    "synonyms": [synonym("a", "asthmatic disease")],
    "edges": [edge("b", "a")],
    "xrefs": [xref("a", "mesh", "D001249")],
}
SECOND: Rows = {
    **FIRST,
    "terms": [term("a", "asthma"), term("b", "asthma of the bronchi"), FIRST["terms"][2]],
}
NAMES = """
select relname::text from pg_class where relnamespace = 'mondo'::regnamespace
union all select proname from pg_proc where pronamespace = 'mondo'::regnamespace
"""
COMMENTS = """
select d.description
from pg_description as d
join pg_class as c on c.oid = d.objoid and d.classoid = 'pg_class'::regclass
where c.relnamespace = 'mondo'::regnamespace
union all
select d.description
from pg_description as d
join pg_proc as p on p.oid = d.objoid and d.classoid = 'pg_proc'::regclass
where p.pronamespace = 'mondo'::regnamespace
"""


@pytest.fixture
def mondo(database: DatabaseTarget) -> Iterator[Warehouse]:
    with Warehouse(database, "mondo", ontology="mondo") as warehouse:
        yield warehouse


def test_in_the_schema_of_its_name_an_ontology_has_plain_names(mondo: Warehouse) -> None:
    publish(mondo, "1", ontology="mondo", **FIRST)
    publish(mondo, "2", ontology="mondo", **SECOND)
    names = {name for (name,) in ask(mondo, NAMES)}
    assert {table.staged_name for table in TABLES} <= names
    assert not [name for name in names if name.startswith("efo")]
    assert not [
        told for (told,) in ask(mondo, COMMENTS) if "efo_" in told.replace("efo_assets", "")
    ]
    changes = "select kind, before, after from mondo.changes"
    assert ask(mondo, changes) == [("relabelled", "bronchial asthma", "asthma of the bronchi")]
    assert not any(compared.differs for compared in mondo.verify())
    assert mondo.sizes().keys() >= {table.name for table in TABLES}
    assert dict(mondo.row_counts())["terms"] == 3


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        ("select curie from mondo.lookup('Asthmatic Disease')", [("EX:a",)]),
        ("select curie from mondo.lookup('wheeze')", [("EX:a",)]),
        ("select curie from mondo.search('bronchial')", [("EX:b",)]),
        ("select curie from mondo.descendants('ex_a')", [("EX:b",)]),
        ("select curie from mondo.ancestors_of('EX:b')", [("EX:a",)]),
        ("select followed_from from mondo.resolve('EX:old')", [("http://example.org/old",)]),
        ("select count(*) from mondo.mesh_xrefs", [(1,)]),
        ("select count(*) from mondo.labels where inherited_from is not null", [(1,)]),
        ("select version, counts ->> 'terms' from mondo.release", [("1", "3")]),
        ("select count(*) from mondo.change_digest", [(0,)]),
    ],
)
def test_questions_are_answered_under_plain_names(
    mondo: Warehouse, query: str, answer: list[tuple[object, ...]]
) -> None:
    publish(mondo, ontology="mondo", **FIRST)
    assert ask(mondo, query) == answer


def test_two_ontologies_stand_in_one_database(mondo: Warehouse, database: DatabaseTarget) -> None:
    with Warehouse(database) as efo:
        publish(efo, **FIRST)
        publish(mondo, "2026-01-01", ontology="mondo", **FIRST)
        publish(efo, "2", **SECOND)
        assert not any(compared.differs for compared in (*efo.verify(), *mondo.verify()))
    query = "select (select count(*) from mondo.changes), (select count(*) from public.efo_changes)"
    assert ask(mondo, query) == [(0, 1)]


def test_two_first_publications_at_once_wait_for_each_other(
    mondo: Warehouse, database: DatabaseTarget, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        Warehouse(database) as efo,
        ThreadPoolExecutor(2) as threads,
        connected(database) as holder,
    ):
        loads = [stage(efo, **FIRST), stage(mondo, ontology="mondo", **FIRST)]
        for warehouse, load in zip((efo, mondo), loads, strict=True):
            warehouse.audit(load)
        holder.execute("lock table efo_meta.releases in share mode")
        publications = [
            threads.submit(warehouse.publish, load)
            for warehouse, load in zip((efo, mondo), loads, strict=True)
        ]
        wait_for(efo, 2)
        holder.rollback()
        assert [publication.result().is_new for publication in publications] == [True, True]
    assert "tried again" not in caplog.text


def test_a_long_first_publication_fails_no_other(
    mondo: Warehouse,
    database: DatabaseTarget,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with (
        Warehouse(database) as efo,
        ThreadPoolExecutor(2) as threads,
        connected(database) as holder,
    ):
        publish(efo, **FIRST)
        loads = [stage(efo, "2", **SECOND), stage(mondo, ontology="mondo", **FIRST)]
        for warehouse, load in zip((efo, mondo), loads, strict=True):
            warehouse.audit(load)
        holder.execute("select pg_advisory_xact_lock(hashtext('efo_assets ledger'))")
        monkeypatch.setattr(session, "LOCK_TIMEOUT_MS", 1000)
        publications = [
            threads.submit(warehouse.publish, load)
            for warehouse, load in zip((efo, mondo), loads, strict=True)
        ]
        wait_for(efo, 2, longer_than_s=TRIES * 1.1)
        holder.rollback()
        assert [publication.result().is_new for publication in publications] == [True, True]
    assert "tried again" not in caplog.text


def wait_for(warehouse: Warehouse, sessions: int, longer_than_s: float = 0.0) -> None:
    """Until so many sessions have waited so long for a lock."""
    query = (
        "select count(*) from pg_stat_activity"
        " where datname = current_database() and wait_event_type = 'Lock'"
        f" and clock_timestamp() - query_start > interval '{longer_than_s} s'"
    )
    deadline = time.monotonic() + 20
    while ask(warehouse, query) != [(sessions,)] and time.monotonic() < deadline:
        pass
    assert ask(warehouse, query) == [(sessions,)]


def test_tables_that_an_earlier_version_named_keep_their_names(
    mondo: Warehouse, database: DatabaseTarget
) -> None:
    with Warehouse(database, "mondo") as earlier:
        publish(earlier, "1", ontology="mondo", **FIRST)
    publish(mondo, "2", ontology="mondo", **SECOND)
    assert ask(mondo, "select count(*) from mondo.efo_changes") == [(1,)]
    assert ask(mondo, "select to_regclass('mondo.terms')") == [(None,)]


@pytest.mark.parametrize(
    ("schema", "ontology", "name"),
    [
        ("efo", "efo", "efo_terms"),
        ("public", "mondo", "efo_terms"),
        ("public", "sample", "efo_terms"),
        ("bio", "sample", "efo_terms"),
        ("sample", "sample", "terms"),
        ("bio", "mondo", "terms"),
        ("a_b", "a-b", "terms"),
    ],
)
def test_names_are_plain_in_a_schema_of_another_ontology_than_efo(
    schema: str, ontology: str, name: str, database: DatabaseTarget
) -> None:
    with Warehouse(database, schema, ontology=ontology) as warehouse:
        publish(warehouse, ontology=ontology, **FIRST)
        assert ask(warehouse, f"select count(*) from {schema}.{name}") == [(3,)]


def test_names_stay_plain_in_a_schema_that_somebody_adds_to(database: DatabaseTarget) -> None:
    for version, rows in (("1", FIRST), ("2", SECOND)):
        with Warehouse(database, "bio", ontology="mondo") as warehouse:
            publish(warehouse, version, ontology="mondo", **rows)
        run(database, "create table if not exists bio.of_somebody ()")
    assert ask(warehouse, "select count(*) from bio.changes") == [(1,)]


def test_names_are_not_plain_in_a_schema_that_is_shared(database: DatabaseTarget) -> None:
    run(database, "create schema bio", "create table bio.terms (of_somebody text)")
    with Warehouse(database, "bio", ontology="mondo") as warehouse:
        publish(warehouse, ontology="mondo", **FIRST)
        query = "select (select count(*) from bio.efo_terms), (select count(*) from bio.terms)"
        assert ask(warehouse, query) == [(3, 0)]


@pytest.mark.parametrize(("schema", "ontology"), [("mondo", "mondo"), ("efo", "efo")])
def test_a_schema_that_bears_the_name_by_chance_is_left_alone(
    schema: str, ontology: str, database: DatabaseTarget
) -> None:
    run(
        database,
        f"create schema {schema}",
        f"create view {schema}.a as select 1",
        f"create table {schema}.b ()",
    )
    refusal = rf"Schema {schema} isn't of efo_assets, .* and holds a and 1 more: it stays as it is,"
    with Warehouse(database, schema, ontology=ontology) as warehouse:
        with pytest.raises(SchemaDrift, match=refusal):
            publish(warehouse, ontology=ontology, **FIRST)
        assert ask(warehouse, "select to_regnamespace('efo_meta')") == [(None,)]
        run(database, f"drop schema {schema} cascade", f"create schema {schema}")
        publish(warehouse, ontology=ontology, **FIRST)
        run(database, f"create table {schema}.of_somebody ()")
        publish(warehouse, "2", ontology=ontology, **SECOND)


def run(database: DatabaseTarget, *statements: str) -> None:
    with connected(database) as connection:
        for each in statements:
            connection.execute(each)
