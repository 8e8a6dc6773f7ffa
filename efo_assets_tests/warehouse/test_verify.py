"""Damage to what was published is noticed, named and never overwritten silently."""

from typing import Any

import pytest

from efo_assets.errors import WarehouseError
from efo_assets.warehouse.tables import TABLES
from efo_assets.warehouse.warehouse import Warehouse
from efo_assets_tests.warehouse.loads import (
    Rows,
    ask,
    edge,
    iri,
    key,
    publish,
    stage,
    synonym,
    term,
)

MAJORS = (18, 16)
FIRST: Rows = {
    "terms": [term("a"), term("b"), term("c")],
    "synonyms": [synonym("a", "first"), synonym("b", "second")],
    "edges": [edge("b", "a"), edge("c", "a")],
}
SECOND = FIRST | {"terms": [term("a", "another"), term("b", "changed"), term("c")]}
THIRD = SECOND | {"synonyms": [*FIRST["synonyms"], synonym("c", "third")]}

DAMAGE = {
    "deleted": (
        "delete from efo_changes where release_id = 2 and ordinal = 1",
        "holds 1 rows of efo 2 (release 2) that are not the 2 published ones",
    ),
    "changed": (
        "update efo_changes set after = 'else' where release_id = 2 and ordinal = 1",
        "holds 2 rows of efo 2 (release 2) that are not the 2 published ones",
    ),
    "of another term": (
        f"update efo_changes set term_id = {key(iri('c'))} where release_id = 2 and ordinal = 1",
        "holds 2 rows of efo 2 (release 2) that are not the 2 published ones",
    ),
    "added": (
        "insert into efo_changes select 1, min(id), 1, 'added', null, null from efo_terms",
        "holds 1 rows of efo 1 (release 1) that are not the 0 published ones",
    ),
    "gone": (
        "delete from efo_changes",
        "holds 0 rows of efo 2 (release 2) that are not the 2 published ones",
    ),
}


def changed(warehouse: Warehouse, statement: str) -> None:
    with warehouse.connect() as connection, connection.transaction():
        connection.execute("set local search_path = public, efo_meta")
        connection.execute(statement)


def differing(warehouse: Warehouse) -> list[str]:
    return [str(each) for each in warehouse.verify() if each.differs]


def again(warehouse: Warehouse, version: str, rows: Any) -> Any:
    """Publish a release once more from a load of its own, as after OLS has reloaded it."""
    load = stage(warehouse, version, **rows)
    warehouse.audit(load)
    return warehouse.publish(load)


def test_what_stands_as_published_is_verified(warehouse: Warehouse) -> None:
    for version, rows in (("1", FIRST), ("2", SECOND), ("3", THIRD)):
        assert publish(warehouse, version, **rows).notes == []
    compared = warehouse.verify()
    assert [each.table for each in compared if each.table != "efo_changes"] == [
        table.name for table in TABLES if not table.is_history
    ]
    history = [each for each in compared if each.table == "efo_changes"]
    assert [(each.release_id, each.recorded[0]) for each in history] == [(1, 0), (2, 2), (3, 1)]
    assert differing(warehouse) == []


@pytest.mark.fault("O25")
@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_history_is_named_by_the_next_release_and_left_as_it_is(
    warehouse: Warehouse, damage: str
) -> None:
    publish(warehouse, **FIRST)
    publish(warehouse, "2", **SECOND)
    statement, said = DAMAGE[damage]
    ask(warehouse, f"{statement} returning 1")
    (found,) = differing(warehouse)
    assert found == f"efo_changes {said}"
    (note,) = publish(warehouse, "3", **THIRD).notes
    assert note.startswith(f"public.{found}: they were changed since, by whom isn't known")
    assert "a backup" in note
    assert differing(warehouse) == [found]


@pytest.mark.fault("O25")
@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_history_of_the_newest_release_is_named_when_ols_has_reloaded(
    warehouse: Warehouse, damage: str
) -> None:
    publish(warehouse, **FIRST)
    publish(warehouse, "2", **SECOND)
    statement, said = DAMAGE[damage]
    ask(warehouse, f"{statement} returning 1")
    done = again(warehouse, "2", SECOND)
    assert not done.is_new
    (note,) = done.notes
    assert said in note
    assert differing(warehouse) == [f"efo_changes {said}"]


@pytest.mark.fault("O25")
def test_history_that_its_own_load_still_holds_is_made_again_and_said(warehouse: Warehouse) -> None:
    publish(warehouse, **FIRST)
    publish(warehouse, "2", **SECOND)
    ask(warehouse, "delete from efo_changes where ordinal = 1 returning 1")
    (note,) = warehouse.publish(warehouse.latest()).notes
    assert note == (
        "public.efo_changes was changed since efo 2 was published, by whom isn't known: 1 rows "
        "were missing, 0 were others, 0 were too many; it is as published again."
    )
    assert differing(warehouse) == []


@pytest.mark.fault("O25")
@pytest.mark.parametrize(
    ("statement", "table"),
    [
        ("update efo_terms set definition = 'else' where curie = 'EX:a'", "efo_terms"),
        ("delete from efo_synonyms", "efo_synonyms"),
        ("update efo_parent_edges set predicate = 'part_of'", "efo_parent_edges"),
        ("delete from efo_ancestors", "efo_ancestors"),
    ],
)
def test_changed_rows_of_the_standing_release_are_named_and_made_again(
    warehouse: Warehouse, statement: str, table: str
) -> None:
    publish(warehouse, **FIRST)
    ask(warehouse, f"{statement} returning 1")
    (found,) = differing(warehouse)
    assert found.startswith(f"{table} holds ")
    (note,) = again(warehouse, "1", FIRST).notes
    assert note.startswith(f"public.{table} was changed since efo 1 was published")
    assert differing(warehouse) == []


@pytest.mark.fault("O25")
def test_a_release_that_was_changed_beyond_belief_is_made_again(warehouse: Warehouse) -> None:
    rows: Rows = {"terms": [term(f"t{number}") for number in range(100)]}
    publish(warehouse, **rows)
    changed(warehouse, "update efo_terms set label = 'else', other_labels = '{other}'")
    (note,) = again(warehouse, "1", rows).notes
    assert "0 rows were missing, 100 were others, 0 were too many" in note
    assert differing(warehouse) == []


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("drop table efo_changes cascade", "efo_changes"),
        ("drop function efo_lookup(text)", "efo_lookup"),
        ("comment on view efo_change_digest is 'mine'", "efo_change_digest"),
        ("update efo_meta.loads set format_version = 1", "another version of efo_assets"),
    ],
)
def test_what_is_missing_or_of_another_version_is_one_sentence(
    warehouse: Warehouse, statement: str, said: str
) -> None:
    with pytest.raises(WarehouseError, match="Nothing is published in schema public"):
        warehouse.verify()
    publish(warehouse, **FIRST)
    changed(warehouse, statement)
    with pytest.raises(WarehouseError, match=said):
        warehouse.verify()


def test_a_dropped_history_is_named_release_by_release(warehouse: Warehouse) -> None:
    publish(warehouse, **FIRST)
    publish(warehouse, "2", **SECOND)
    changed(warehouse, "drop table efo_changes cascade")
    (note,) = publish(warehouse, "3", **THIRD).notes
    assert "holds 0 rows of efo 2 (release 2) that are not the 2 published ones" in note
