"""Ancestors by a function: the same rows as by a table, and a published schema changes its way."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from efo_assets.errors import AuditNotPassed, DatabaseRefused, PublicationRefused
from efo_assets.pipeline.exports import export
from efo_assets.warehouse import migrations
from efo_assets.warehouse.derivation import copy_ancestors
from efo_assets.warehouse.ledger import Publication
from efo_assets.warehouse.schema import FUNCTION, TABLE
from efo_assets.warehouse.session import Connection
from efo_assets.warehouse.statements import compose
from efo_assets.warehouse.warehouse import Warehouse
from efo_assets_tests.warehouse.loads import Row, Rows, ask, begun, edge, publish, stage, term
from efo_assets_tests.warehouse.test_all_ontologies import as_admin

MAJORS = (18, 16)
ROWS: Rows = {
    "terms": [term(name) for name in "abcdef"],
    "edges": [
        edge("b", "a"),
        edge("c", "b"),
        edge("d", "c", "part_of"),
        edge("d", "a"),
        edge("e", "f", "part_of"),
        edge("f", "e", "develops_from"),
        edge("f", "d"),
    ],
}
EVERY_WAY = (
    "select term_id, ancestor_id, distance, is_a_distance from efo_ancestors order by 1, 2",
    *(
        "select t.iri, a.iri, parts, a.distance from efo_terms as t,"
        f" (values (true), (false)) as o (parts), {name}(t.iri, parts) as a order by 1, 2, 3"
        for name in ("efo_ancestors_of", "efo_descendants")
    ),
)


def answers(warehouse: Warehouse) -> list[list[Any]]:
    return [ask(warehouse, query) for query in EVERY_WAY]


def giving(warehouse: Warehouse, way: str) -> Warehouse:
    """The same schema, for loads that give ancestors this way."""
    return Warehouse(warehouse.target, ancestors=way)


def load(warehouse: Warehouse, way: str, version: str = "1", rows: Rows = ROWS) -> Publication:
    """A load by a process that ends after it, which the published rows must outlive as they are."""
    with giving(warehouse, way) as it:
        publication: Publication = publish(it, version, **rows)
        assert it.schema.ancestors == way
        assert not any(each.differs for each in it.verify())
    return publication


def relations(warehouse: Warehouse) -> list[Any]:
    """Names and kinds of all that has to do with ancestors."""
    return ask(
        warehouse,
        "select relname, relkind::text from pg_class where relnamespace = 'public'::regnamespace"
        " and relname like 'efo_ancestor%' and relkind in ('r', 'v') order by 1",
    )


def execute(warehouse: Warehouse, *statements: str) -> None:
    with warehouse.connect() as connection, connection.transaction():
        connection.execute("set local search_path = public, efo_meta")
        for each in statements:
            connection.execute(each)


def tangle(seed: int) -> Rows:
    """A random ontology with several parents, cycles that are not of is_a alone, and lone terms."""
    chance = random.Random(seed)
    names = [f"t{number:02}" for number in range(40)]
    edges = set[Row]()
    for number, name in enumerate(names[2:], 2):
        for parent in chance.sample(names[:number], chance.choice((0, 1, 1, 2))):
            edges.add(edge(name, parent))
        for other in chance.sample(names, chance.choice((0, 0, 1))):
            edges.add(
                edge(name, other, chance.choice(("part_of", "develops_from", "is_a_implied")))
            )
    return {"terms": [term(name) for name in names], "edges": sorted(edges)}


@pytest.mark.parametrize("seed", range(6))
def test_both_ways_give_the_same_rows(warehouse: Warehouse, seed: int) -> None:
    rows = tangle(seed)
    load(warehouse, TABLE, rows=rows)
    by_table = answers(warehouse)
    assert all(by_table)
    load(warehouse, FUNCTION, rows=rows)
    assert answers(warehouse) == by_table
    load(warehouse, TABLE, rows=rows)
    assert answers(warehouse) == by_table


def test_a_first_release_by_function_has_a_view_over_edges(warehouse: Warehouse) -> None:
    publication = load(warehouse, FUNCTION)
    assert publication.rows["efo_ancestors"] == 5
    assert relations(warehouse) == [("efo_ancestor_edges", "r"), ("efo_ancestors", "v")]
    assert warehouse.row_counts()[5] == ("efo_ancestor_edges", 5)
    assert not load(warehouse, FUNCTION).written
    following = load(warehouse, FUNCTION, "2", {**ROWS, "edges": ROWS["edges"][1:]})
    assert following.changes["efo_ancestors"].removed == 1


def test_a_schema_of_its_own_may_begin_by_function(warehouse: Warehouse) -> None:
    load(warehouse, TABLE)
    with Warehouse(warehouse.target, "mondo", ontology="mondo", ancestors=FUNCTION) as mondo:
        publish(mondo, ontology="mondo", **ROWS)
        assert not any(each.differs for each in mondo.verify())
    query = EVERY_WAY[0].replace("efo_ancestors", "mondo.ancestors")
    assert ask(warehouse, query) == ask(warehouse, EVERY_WAY[0])


def test_the_way_changes_there_and_back_and_history_goes_on(warehouse: Warehouse) -> None:
    load(warehouse, TABLE)
    expected = answers(warehouse)
    relabelled: Rows = {**ROWS, "terms": [term("a", "another label"), *ROWS["terms"][1:]]}
    load(warehouse, FUNCTION, "2", relabelled)
    assert relations(warehouse) == [("efo_ancestor_edges", "r"), ("efo_ancestors", "v")]
    assert answers(warehouse) == expected
    load(warehouse, TABLE, "3")
    assert relations(warehouse) == [("efo_ancestors", "r")]
    assert answers(warehouse) == expected
    kinds = "select release_id, kind from efo_changes order by 1"
    assert ask(warehouse, kinds) == [(2, "relabelled"), (3, "relabelled")]


def test_whoever_reads_the_schema_needs_no_setting(warehouse: Warehouse) -> None:
    load(warehouse, FUNCTION)
    with giving(warehouse, TABLE) as reader:
        assert not any(each.differs for each in reader.verify())
        assert reader.schema.ancestors == FUNCTION
        assert reader.sizes()["efo_ancestors"] > 0


def test_the_file_of_ancestors_is_the_same(warehouse: Warehouse, tmp_path: Path) -> None:
    files = {}
    for way in (TABLE, FUNCTION):
        load(warehouse, way)
        with giving(warehouse, way) as it:
            (exported,) = export(it, tmp_path / way, ["efo_ancestors.parquet"])
            files[way] = exported.path.read_bytes()
    assert files[TABLE] == files[FUNCTION]


def test_whoever_could_read_can_read_and_nobody_else(warehouse: Warehouse) -> None:
    load(warehouse, TABLE)
    reader = f"reader_{warehouse.target.parameters['dbname']}"
    as_admin(warehouse.target, f"create role {reader}")
    execute(
        warehouse,
        f"grant select on efo_ancestors to {reader} with grant option",
        "alter default privileges in schema public grant select on tables to public",
    )
    granted = (
        "select relname, a.grantee::regrole::text, privilege_type, is_grantable"
        " from pg_class, aclexplode(relacl) as a where relname like 'efo_ancestor%'"
        " and grantee <> relowner order by 1"
    )
    try:
        load(warehouse, FUNCTION)
        assert ask(warehouse, granted) == [
            ("efo_ancestor_edges", reader, "SELECT", True),
            ("efo_ancestors", reader, "SELECT", True),
        ]
        load(warehouse, TABLE)
        assert ask(warehouse, granted) == [("efo_ancestors", reader, "SELECT", True)]
    finally:
        as_admin(warehouse.target, f"drop owned by {reader}", f"drop role {reader}")


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("create view theirs as select * from efo_ancestors", "rule _RETURN on view public.theirs"),
        ("alter table efo_ancestors enable row level security", "row-level security"),
        ("alter table efo_ancestors add column remark text", "column remark"),
        ("create index theirs on efo_ancestors (distance)", "index public.theirs"),
        ("create policy theirs on efo_ancestors using (true)", "policy theirs"),
    ],
)
def test_what_others_put_on_it_is_kept_and_named(
    warehouse: Warehouse, statement: str, told: str
) -> None:
    load(warehouse, TABLE)
    expected = answers(warehouse)
    execute(warehouse, statement)
    with pytest.raises(PublicationRefused, match=f"{told}.*set EFO_ANCESTORS=table"):
        load(warehouse, FUNCTION, "2")
    assert answers(warehouse) == expected


def test_a_view_of_others_keeps_a_function_from_becoming_a_table(warehouse: Warehouse) -> None:
    load(warehouse, FUNCTION)
    execute(warehouse, "create view theirs as select * from efo_ancestors")
    with pytest.raises(
        PublicationRefused, match=r"view public\.theirs.*set EFO_ANCESTORS=function"
    ):
        load(warehouse, TABLE, "2")


def test_a_load_that_was_staged_one_way_is_not_used_for_the_other(warehouse: Warehouse) -> None:
    with giving(warehouse, TABLE) as it:
        staged = stage(it, **ROWS)
        assert it.reusable(staged.source) is not None
    with giving(warehouse, FUNCTION) as it:
        assert it.latest().source.ancestors == TABLE
        assert it.reusable(begun(it).source) is None


@pytest.mark.parametrize(
    "change",
    [
        "delete from ancestors where is_a_distance is null",
        "update ancestors set distance = 2",
        "insert into ancestors select max(id), min(id), 2, null from terms",
    ],
)
def test_edges_that_are_not_those_to_be_followed_block(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    def copy_and_change(connection: Connection, load_schema: str, rows: Iterator[bytes]) -> None:
        copy_ancestors(connection, load_schema, rows)
        connection.execute(compose("set local search_path = {}", load_schema))
        connection.execute(change)

    monkeypatch.setattr("efo_assets.warehouse.load.copy_ancestors", copy_and_change)
    with pytest.raises(AuditNotPassed, match="ancestors_are_closed"):
        load(warehouse, FUNCTION)


def test_code_from_before_is_refused_where_a_function_gives_ancestors(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    for way in (TABLE, FUNCTION):
        load(warehouse, way)
        with monkeypatch.context() as patched, giving(warehouse, TABLE) as older:
            patched.setattr(migrations, "KNOWN_VERSION", migrations.FUNCTION_VERSION - 1)
            if way == TABLE:
                older.prepare()
            else:
                with pytest.raises(DatabaseRefused, match="upgrade efo_assets"):
                    older.prepare()
