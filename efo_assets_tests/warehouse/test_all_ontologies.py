"""Views over all ontologies of a database, in schema `ols`."""

import logging
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from efo_assets.settings import DatabaseTarget
from efo_assets.warehouse.embedded import USER, program
from efo_assets.warehouse.warehouse import Warehouse
from efo_assets_tests.commands import ROOT
from efo_assets_tests.databases import connected
from efo_assets_tests.warehouse.loads import Rows, ask, edge, publish, synonym, term, xref

MAJORS = (18, 16, 15)
EFO_ROWS: Rows = {
    "terms": [
        term("e1", "asthma", curie="EFO:1"),
        term("e2", "wheeze", curie="EFO:2"),
        term("e3", "obsolete_cough", curie="EFO:3", is_obsolete=True),
    ],
    "synonyms": [synonym("e1", "asthmatic disease")],
    "edges": [edge("e2", "e1")],
    "xrefs": [
        xref("e1", "mondo", "1"),
        xref("e2", "mondo", "2", "broad"),
        xref("e3", "mondo", "2", "exact"),
        xref("e1", "mesh", "D001249"),
    ],
}
MONDO_ROWS: Rows = {
    "terms": [
        term("m1", "asthma (disease)", curie="MONDO:1"),
        term("m2", "wheezing", curie="MONDO:2"),
    ],
    "edges": [edge("m2", "m1")],
    "xrefs": [xref("m1", "efo", "1", "exact"), xref("m1", "hp", "1", "close")],
}
HP_ROWS: Rows = {"terms": [term("h1", "Asthma", curie="HP:1")]}
MAPPINGS = """
select subject_curie, object_curie, relation, via, is_mutual from ols.mappings
order by subject_curie, object_curie
"""
WAITING = """
select count(*) from pg_locks as l
join pg_database as d on d.oid = l.database and d.datname = current_database()
where l.locktype = 'advisory' and not l.granted
"""
OF_TWO = [
    ("EFO:1", "MONDO:1", "exact", "both", True),
    ("EFO:2", "MONDO:2", "broad", "subject", False),
    ("MONDO:1", "EFO:1", "exact", "both", True),
    ("MONDO:2", "EFO:2", "narrow", "object", False),
]


@pytest.fixture
def efo(database: DatabaseTarget) -> Iterator[Warehouse]:
    with Warehouse(database) as warehouse:
        yield warehouse


@pytest.fixture
def mondo(database: DatabaseTarget) -> Iterator[Warehouse]:
    with Warehouse(database, "mondo", ontology="mondo") as warehouse:
        yield warehouse


@pytest.fixture
def hp(database: DatabaseTarget) -> Iterator[Warehouse]:
    with Warehouse(database, "hp", ontology="hp") as warehouse:
        yield warehouse


@pytest.fixture
def both(efo: Warehouse, mondo: Warehouse) -> Warehouse:
    publish(efo, **EFO_ROWS)
    publish(mondo, ontology="mondo", **MONDO_ROWS)
    return mondo


def as_admin(database: DatabaseTarget, *statements: str) -> None:
    with connected(database, user=USER) as connection:
        for statement in statements:
            connection.execute(statement)


def terms_by_ontology(warehouse: Warehouse) -> list[tuple[object, ...]]:
    query = "select ontology, schema, count(*) from ols.terms group by 1, 2 order by 1"
    return ask(warehouse, query)


@pytest.mark.parametrize("name", ["terms", "labels", "xrefs"])
def test_a_view_has_the_rows_of_all_ontologies(name: str, both: Warehouse) -> None:
    columns = [
        column
        for (column,) in ask(
            both,
            "select attname::text from pg_attribute"
            f" where attrelid = 'mondo.{name}'::regclass and attnum > 0",
        )
    ]
    listed = ", ".join(columns)
    apart = (
        f"select 'efo', 'public', {listed} from public.efo_{name}"
        f" union all select 'mondo', 'mondo', {listed} from mondo.{name}"
    )
    together = f"select ontology, schema, {listed} from ols.{name}"
    assert ask(both, together)
    assert ask(both, f"({apart}) except all ({together})") == []
    assert ask(both, f"({together}) except all ({apart})") == []
    of_view = f"select count(*) from pg_attribute where attrelid = 'ols.{name}'::regclass"
    assert ask(both, of_view + " and attnum > 0") == [(len(columns) + 2,)]


def test_terms_are_mapped_by_cross_references_of_either(both: Warehouse) -> None:
    assert ask(both, MAPPINGS) == OF_TWO


@pytest.mark.parametrize(
    ("curie", "prefix", "accession"),
    [
        ("SNOMED:22298006", "snomedct", "22298006"),
        ("MSH:D001249", "mesh", "D001249"),
        ("SNOMED_CT:1", "snomedct", "1"),
        ("Strange_x:A_1", "strange_x", "A_1"),
    ],
)
def test_a_curie_is_named_by_the_prefix_that_cross_references_have(
    curie: str, prefix: str, accession: str, efo: Warehouse, hp: Warehouse
) -> None:
    publish(efo, terms=[term("e", curie="EFO:1")], xrefs=[xref("e", prefix, accession)])
    others = [term("h1", curie=curie), term("h2", curie=f"{curie}0"), term("h3", curie=None)]
    publish(hp, ontology="hp", terms=others)
    assert ask(efo, MAPPINGS) == [
        ("EFO:1", curie, "xref", "subject", False),
        (curie, "EFO:1", "xref", "object", False),
    ]


def test_one_ontology_alone_has_no_views_over_all(efo: Warehouse) -> None:
    publish(efo, **EFO_ROWS)
    assert ask(efo, "select to_regnamespace('ols')") == [(None,)]


def test_the_next_ontology_appears_and_grants_stay(
    both: Warehouse, hp: Warehouse, database: DatabaseTarget
) -> None:
    with connected(database) as connection:
        connection.execute("grant select on ols.terms to public")
    publish(hp, ontology="hp", **HP_ROWS)
    expected = [("efo", "public", 3), ("hp", "hp", 1), ("mondo", "mondo", 2)]
    assert terms_by_ontology(both) == expected
    assert ("HP:1", "MONDO:1", "close", "object", False) in ask(both, MAPPINGS)
    assert ask(both, "select has_table_privilege('pg_monitor', 'ols.terms', 'SELECT')") == [(True,)]


def test_an_ontology_can_be_removed_and_the_next_publication_makes_the_views_again(
    both: Warehouse, efo: Warehouse, database: DatabaseTarget
) -> None:
    def dropped(schema: str) -> int:
        parameters = database.parameters
        where = ["--host", parameters["host"], "--username", parameters["user"]]
        script = str(ROOT / "docs/operations/drop.sql")
        return subprocess.run(
            [str(program("psql")), "--no-psqlrc", *where, "--dbname", parameters["dbname"],
             f"--variable=schema={schema}", "--file", script],
            check=False,
        ).returncode  # fmt: skip

    assert [dropped(schema) for schema in ("public", "mondo")] == [3, 3], "a load holds its lock"
    both.__exit__()
    assert [dropped(schema) for schema in ("public", "mondo", "mondo")] == [3, 0, 3]
    assert ask(efo, "select to_regclass('ols.terms'), to_regnamespace('mondo')") == [(None, None)]
    assert ask(efo, "select ontology, state from ontologies") == [("efo", "published")]
    publish(efo, **EFO_ROWS)
    assert ask(efo, "select to_regclass('ols.terms')") == [(None,)], "one ontology has no views"
    publish(both, ontology="mondo", **MONDO_ROWS)
    assert terms_by_ontology(efo) == [("efo", "public", 3), ("mondo", "mondo", 2)]


def test_two_first_publications_at_once_are_both_in_the_views(
    efo: Warehouse, mondo: Warehouse, hp: Warehouse, database: DatabaseTarget
) -> None:
    publish(efo, **EFO_ROWS)
    with ThreadPoolExecutor(2) as threads, connected(database) as holder:
        holder.execute(
            "select pg_advisory_xact_lock(hashtext('efo_assets views over all ontologies'))"
        )
        publications = [
            threads.submit(publish, mondo, ontology="mondo", **MONDO_ROWS),
            threads.submit(publish, hp, ontology="hp", **HP_ROWS),
        ]
        deadline = time.monotonic() + 20
        while ask(efo, WAITING) != [(2,)] and time.monotonic() < deadline:
            pass
        waiting = ask(efo, WAITING)
        holder.rollback()
        assert [publication.result().is_new for publication in publications] == [True, True]
    assert waiting == [(2,)]
    assert [ontology for ontology, *_ in terms_by_ontology(efo)] == ["efo", "hp", "mondo"]


@pytest.mark.parametrize(
    ("before", "told"),
    [
        (["create schema ols"], "grant create, usage on schema ols to efo_owner"),
        (
            ["create schema ols", "grant all on schema ols to public", "create table ols.xrefs ()"],
            "ols.xrefs is not of efo_assets: rename it",
        ),
    ],
    ids=["no_right", "taken"],
)
def test_somebody_elses_schema_is_left_alone(
    before: list[str], told: str, database: DatabaseTarget, caplog: pytest.LogCaptureFixture
) -> None:
    as_admin(database, *before)
    query = "select relname::text from pg_class where relnamespace = 'ols'::regnamespace"
    with (
        Warehouse(database) as efo,
        Warehouse(database, "mondo", ontology="mondo") as mondo,
        caplog.at_level(logging.WARNING),
    ):
        stood = ask(efo, query)
        publish(efo, **EFO_ROWS)
        publish(mondo, ontology="mondo", **MONDO_ROWS)
        assert ask(efo, query) == stood
    assert [told in record.getMessage() for record in caplog.records] == [True]


def test_a_reader_who_is_in_the_way_fails_no_publication(
    both: Warehouse, hp: Warehouse, database: DatabaseTarget, caplog: pytest.LogCaptureFixture
) -> None:
    with connected(database) as reader:
        reader.execute("select count(*) from ols.terms")
        publish(hp, ontology="hp", **HP_ROWS)
    assert "left as they are (another session has locked one of them" in caplog.text
    assert [ontology for ontology, *_ in terms_by_ontology(both)] == ["efo", "mondo"]
    publish(hp, ontology="hp", **HP_ROWS)
    assert [ontology for ontology, *_ in terms_by_ontology(both)] == ["efo", "hp", "mondo"]


def test_who_may_not_read_the_tables_reads_none_by_the_views(
    both: Warehouse, database: DatabaseTarget
) -> None:
    as_admin(
        database,
        "do $$begin create role ols_reader; exception when duplicate_object then null; end$$",
        "grant usage on schema ols, mondo, public to ols_reader",
        "grant select on all tables in schema ols to ols_reader",
    )
    with connected(database, user=USER) as connection:
        connection.execute("set role ols_reader")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="for table"):
            connection.execute("select count(*) from ols.mappings")
    assert ask(both, "select count(*) from ols.mappings") == [(4,)]
