"""Derived tables: where replacements lead, and who is above whom, on small made-up releases."""

import tracemalloc
from array import array
from itertools import pairwise
from typing import Any

import pytest

from efo_assets.errors import WarehouseError
from efo_assets.warehouse import closure
from efo_assets.warehouse.closure import Edges, ancestor_rows
from efo_assets.warehouse.derivation import ancestors_under_way, copy_ancestors
from efo_assets.warehouse.session import Connection
from efo_assets.warehouse.statements import compose, statement
from efo_assets.warehouse.warehouse import Warehouse
from efo_assets_tests.warehouse.loads import Row, ask, copy, edge, iri, publish, term

MAJORS = (18, 16)
ALLOW_SHRINK = True


def obsolete(name: str, *replaced_by: str, consider: tuple[str, ...] = ()) -> Row:
    return term(name, is_obsolete=True, replaced_by=replaced_by, consider=consider)


def replacements(warehouse: Warehouse, *terms: Row) -> list[Any]:
    """Rows of `efo_replacements`, in order, with short names for IRIs."""
    publish(warehouse, terms=terms)
    return ask(
        warehouse,
        "select replace(t.curie, 'EX:', ''), kind, replace(target, 'http://example.org/', ''),"
        " status, hops, replace(array_to_string(path, ' '), 'http://example.org/', '')"
        " from efo_replacements join efo_terms as t on t.id = term_id order by 1, ordinal",
    )


@pytest.mark.parametrize(
    "value",
    [
        iri("new"),
        "EX:new",
        "EX_new",
        f"<{iri('new')}>",
        "use EX:new instead.",
        f"merged into {iri('new')}, please",
        f"\u00a0{iri('new')}\u00a0(see there)",
        "use\u2009EX:new",
    ],
)
def test_a_replacement_is_found_in_every_form(warehouse: Warehouse, value: str) -> None:
    found = replacements(warehouse, term("new"), obsolete("old", value))
    assert found == [("old", "replaced_by", "new", "resolved", 1, "old new")]


@pytest.mark.parametrize("value", ["EX:new", "EX_new"])
def test_a_replacement_without_a_curie_is_found_by_what_its_iri_ends_with(
    warehouse: Warehouse, value: str
) -> None:
    found = replacements(warehouse, term("EX_new", curie=None), obsolete("old", value))
    assert found == [("old", "replaced_by", "EX_new", "resolved", 1, "old EX_new")]


def test_a_value_that_is_an_iri_is_that_iri(warehouse: Warehouse) -> None:
    odd = f"{iri('odd')} (2)"
    found = replacements(warehouse, term("odd", iri=odd), term("new"), obsolete("old", odd))
    assert found == [("old", "replaced_by", "odd (2)", "resolved", 1, "old odd (2)")]


def test_several_values_are_ambiguous_and_one_value_may_name_several(warehouse: Warehouse) -> None:
    found = replacements(
        warehouse, term("x"), term("y"), obsolete("a", "EX:x", "EX:y"), obsolete("b", "EX:x, EX:y")
    )
    assert found == [
        ("a", "replaced_by", "x", "ambiguous", 1, "a x"),
        ("a", "replaced_by", "y", "ambiguous", 1, "a y"),
        ("b", "replaced_by", "x", "ambiguous", 1, "b x"),
        ("b", "replaced_by", "y", "ambiguous", 1, "b y"),
    ]


def test_a_chain_is_followed_to_its_end(warehouse: Warehouse) -> None:
    found = replacements(
        warehouse,
        term("z"),
        obsolete("a", "EX:b"),
        obsolete("b", "EX:c"),
        obsolete("c", "EX:z"),
        obsolete("d", "EX:e"),
        obsolete("e"),
        obsolete("f", "EX:g"),
        obsolete("g", "EX:nowhere"),
    )
    assert found == [
        ("a", "replaced_by", "z", "resolved", 3, "a b c z"),
        ("b", "replaced_by", "z", "resolved", 2, "b c z"),
        ("c", "replaced_by", "z", "resolved", 1, "c z"),
        ("d", "replaced_by", "e", "dead_end", 1, "d e"),
        ("e", None, None, "no_replacement", 0, "e"),
        ("f", "replaced_by", "EX:nowhere", "target_missing", 2, "f g EX:nowhere"),
        ("g", "replaced_by", "EX:nowhere", "target_missing", 1, "g EX:nowhere"),
    ]


def test_replacements_in_a_circle_end(warehouse: Warehouse) -> None:
    found = replacements(
        warehouse,
        obsolete("a", "EX:a"),
        obsolete("b", "EX:c"),
        obsolete("c", "EX:d"),
        obsolete("d", "EX:b"),
        obsolete("e", "EX:b"),
    )
    assert found == [
        ("a", "replaced_by", "a", "cycle", 1, "a a"),
        ("b", "replaced_by", "b", "cycle", 3, "b c d b"),
        ("c", "replaced_by", "c", "cycle", 3, "c d b c"),
        ("d", "replaced_by", "d", "cycle", 3, "d b c d"),
        ("e", "replaced_by", "b", "cycle", 4, "e b c d b"),
    ]


def test_many_ways_to_one_target_are_one_row_and_no_explosion(warehouse: Warehouse) -> None:
    # Two ways at each of thirty steps are a billion paths.
    steps = [
        each
        for step in range(30)
        for each in (
            obsolete(f"l{step:02}", f"EX:l{step + 1:02}", f"EX:r{step + 1:02}"),
            obsolete(f"r{step:02}", f"EX:l{step + 1:02}", f"EX:r{step + 1:02}"),
        )
    ]
    found = replacements(
        warehouse, *steps, obsolete("l30", "EX:z"), obsolete("r30", "EX:z"), term("z")
    )
    assert {(row[2], row[3]) for row in found} == {("z", "resolved")}
    assert len(found) == 62


def test_consider_is_the_weaker_kind(warehouse: Warehouse) -> None:
    found = replacements(
        warehouse,
        term("x"),
        term("y"),
        obsolete("a", "EX:x", consider=("EX:x", "EX:y")),
        obsolete("b", consider=("EX:y",)),
        obsolete("c", consider=("EX:a",)),
        obsolete("d", "gone for good"),
    )
    assert found == [
        ("a", "replaced_by", "x", "resolved", 1, "a x"),
        ("a", "consider", "y", "resolved", 1, "a y"),
        ("b", "consider", "y", "resolved", 1, "b y"),
        ("c", "consider", "x", "resolved", 2, "c a x"),
        ("d", "replaced_by", None, "no_replacement", 0, "d"),
    ]


def test_evidence_is_the_value_as_found(warehouse: Warehouse) -> None:
    replacements(warehouse, term("x"), obsolete("a", "see EX:x"), obsolete("b", "gone for good"))
    assert ask(
        warehouse,
        "select evidence, target_id is null, target is null from efo_replacements order by 2",
    ) == [("see EX:x", False, False), ("gone for good", True, True)]


def read_rows(connection: Connection, table: str) -> int:
    """How many rows of a table this transaction has read."""
    query = "select pg_stat_get_xact_tuples_returned(to_regclass(%(name)s))"
    return int(connection.row(query, {"name": table})[0])


def test_values_are_read_a_few_times_however_many_classes_have_no_replacement(
    warehouse: Warehouse,
) -> None:
    load = copy(warehouse, terms=[obsolete(f"t{number}", "gone for good") for number in range(300)])
    with warehouse.connect() as connection, connection.transaction():
        connection.execute(statement("replacement_steps", load=load.schema))
        connection.execute(statement("replacement_rows", load=load.schema))
        assert read_rows(connection, "pg_temp.efo_values") <= 5 * 300


def ancestors(warehouse: Warehouse, *edges: Row) -> list[Any]:
    """Rows of `efo_ancestors` of a release with these edges, in order."""
    names = sorted({each.rsplit("/", 1)[1] for row in edges for each in row[:2]})
    publish(warehouse, terms=[term(name) for name in names], edges=edges)
    return ask(
        warehouse,
        "select right(t.curie, 1) || right(a.curie, 1), distance, is_a_distance from efo_ancestors"
        " join efo_terms as t on t.id = term_id join efo_terms as a on a.id = ancestor_id"
        " order by 1",
    )


def test_ancestors_are_at_their_shortest_distance(warehouse: Warehouse) -> None:
    found = ancestors(
        warehouse, edge("b", "a"), edge("c", "b"), edge("d", "c"), edge("d", "a"), edge("e", "d")
    )
    assert found == [
        ("ba", 1, 1),
        ("ca", 2, 2),
        ("cb", 1, 1),
        ("da", 1, 1),
        ("db", 2, 2),
        ("dc", 1, 1),
        ("ea", 2, 2),
        ("eb", 3, 3),
        ("ec", 2, 2),
        ("ed", 1, 1),
    ]


def test_other_relations_count_for_the_wider_distance_alone(warehouse: Warehouse) -> None:
    found = ancestors(
        warehouse,
        edge("b", "a", "part_of"),
        edge("c", "b"),
        edge("d", "c"),
        edge("d", "a", "develops_from"),
        edge("d", "b"),
        edge("c", "a", "http://example.org/relation"),
    )
    assert found == [
        ("ba", 1, None),
        ("ca", 2, None),
        ("cb", 1, 1),
        ("da", 1, None),
        ("db", 1, 1),
        ("dc", 1, 1),
    ]


def test_a_cycle_of_mixed_relations_is_cut_where_it_is_no_is_a_and_told(
    warehouse: Warehouse,
) -> None:
    found = ancestors(
        warehouse,
        edge("b", "a"),
        edge("c", "b"),
        edge("b", "c", "part_of"),
        edge("d", "c"),
        edge("e", "e", "part_of"),
    )
    assert found == [
        ("ba", 1, 1),
        ("ca", 2, 2),
        ("cb", 1, 1),
        ("da", 3, 3),
        ("db", 2, 2),
        ("dc", 1, 1),
    ]
    assert ask(
        warehouse,
        "select offenders, passed, blocking from verdicts"
        " where check_name = 'ancestors_follow_every_edge'",
    ) == [(2, False, False)]


def test_a_chain_without_end_is_refused_in_one_sentence(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closure, "MOST_LEVELS", 20)
    links = [edge(f"t{n + 1}", f"t{n}") for n in range(21)]
    assert ancestors(warehouse, *links[:-1])
    with pytest.raises(WarehouseError, match=r"over 20 levels.*the last release stays"):
        ancestors(warehouse, *links)


def test_an_ontology_without_edges_has_no_ancestors(warehouse: Warehouse) -> None:
    publish(warehouse, terms=[term("a")])
    assert ask(warehouse, "select count(*) from efo_ancestors") == [(0,)]


def test_however_deep_edges_are_read_three_times_and_ancestors_never(warehouse: Warehouse) -> None:
    names = [f"t{number}" for number in range(60)]
    edges = [edge(child, parent) for parent, child in pairwise(names)]
    load = copy(warehouse, terms=[term(name) for name in names], edges=edges)
    with warehouse.connect() as connection, connection.transaction():
        connection.execute(statement("resolve_parents", load=load.schema))
        with ancestors_under_way(connection, load.schema) as rows:
            copy_ancestors(connection, load.schema, rows)
        read = [
            read_rows(connection, f"{load.schema}.{table}")
            for table in ("parent_edges", "ancestors")
        ]
        (rows,) = connection.row(compose("select count(*) from {}", (load.schema, "ancestors")))
    assert rows == 60 * 59 / 2
    assert read == [3 * len(edges), 0]


def test_ancestors_take_memory_for_the_terms_that_wait_for_children_alone() -> None:
    # 200 chains of 50 terms, one after the other.
    terms = range(10_000)
    children = array("i", (place for place in terms if place % 50))
    parents = array("i", (place - 1 for place in children))
    edges = Edges(array("q", terms), children, parents, b"\1" * len(children))
    tracemalloc.start()
    size_bytes = sum(map(len, ancestor_rows(edges)))
    _, most_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size_bytes > 7_000_000
    assert most_bytes < size_bytes / 5
