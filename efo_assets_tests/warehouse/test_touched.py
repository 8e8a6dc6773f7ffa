"""What a release touches is known by hashes of classes, and trusted as far as it is proven."""

from collections.abc import Sequence
from typing import Any

import pytest

from efo_assets.warehouse.ledger import Changes
from efo_assets.warehouse.tables import CLASS_HASHES
from efo_assets.warehouse.warehouse import Warehouse
from efo_assets_tests.warehouse.loads import (
    Rows,
    ask,
    edge,
    encoded,
    publish,
    stage,
    synonym,
    term,
    xref,
)

COMPARED_ALL = "all of its rows are compared"
# a is above b, b above c, and so on.
CHAIN: Rows = {
    "terms": [term(name) for name in "abcde"],
    "synonyms": [synonym(name, f"synonym of {name}") for name in "abcde"],
    "edges": [edge("b", "a"), edge("c", "b"), edge("d", "c"), edge("e", "d", "part_of")],
    "xrefs": [xref("a", "mesh", "D000001"), xref("e", "mesh", "D000002")],
}
UNLIKE: dict[str, Rows] = {
    "label": {"terms": [*CHAIN["terms"][:-1], term("e", "other")]},
    "synonym": {"synonyms": CHAIN["synonyms"][1:]},
    "reference": {"xrefs": [*CHAIN["xrefs"], xref("b", "umls", "C1")]},
    "edge in the middle": {"edges": [each for each in CHAIN["edges"] if each != edge("c", "b")]},
    "shorter way": {"edges": [*CHAIN["edges"], edge("d", "a")]},
    "parent listed or not": {
        "terms": [each for each in CHAIN["terms"] if each != term("c")],
        "synonyms": [each for each in CHAIN["synonyms"] if each != synonym("c", "synonym of c")],
        "edges": [each for each in CHAIN["edges"] if each != edge("c", "b")],
    },
    "leaf": {"terms": [*CHAIN["terms"], term("f")], "edges": [*CHAIN["edges"], edge("f", "e")]},
}
CIRCLE: Rows = {"edges": [*CHAIN["edges"], edge("b", "e", "part_of")]}


def history(warehouse: Warehouse, releases: Sequence[Rows]) -> list[Any]:
    """What changes are told when these releases follow each other."""
    for version, rows in enumerate(releases, start=1):
        publish(warehouse, str(version), **CHAIN | rows)
    return ask(
        warehouse, "select release_id, ordinal, term_id, kind, before, after from efo_changes"
    )


@pytest.mark.parametrize("is_first", [False, True])
@pytest.mark.parametrize("unlike", UNLIKE.values(), ids=UNLIKE)
def test_what_is_touched_is_all_that_differs(
    warehouse: Warehouse, unlike: Rows, is_first: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    told = history(warehouse, [unlike, {}, unlike] if is_first else [{}, unlike, {}])
    assert {release for release, *_ in told} == {2, 3}
    assert COMPARED_ALL not in caplog.text
    assert "derived" in caplog.text, "what is looked for would be there"


def test_ancestors_that_a_circle_took_from_others_are_found(
    warehouse: Warehouse, caplog: pytest.LogCaptureFixture
) -> None:
    """An edge closes a circle: all on it that aren't of is_a are left out, of whatever term."""
    caplog.set_level("INFO")
    ancestors = "select count(*), sum(distance) from efo_ancestors"
    publish(warehouse, "1", **CHAIN)
    without = ask(warehouse, ancestors)
    publish(warehouse, "2", **CHAIN | CIRCLE)
    assert ask(warehouse, ancestors) != without
    publish(warehouse, "3", **CHAIN)
    assert ask(warehouse, ancestors) == without
    assert COMPARED_ALL in caplog.text


def test_changes_are_told_alike_where_no_hash_is_known(warehouse: Warehouse) -> None:
    """Each release twice: against one that kept hashes, and against one that kept none."""
    for number, unlike in enumerate(UNLIKE.values()):
        publish(warehouse, f"{number} before", **CHAIN)
        staged = stage(warehouse, f"{number}", **CHAIN | unlike)
        told = ask(warehouse, f"select * from {staged.schema}.changes order by ordinal")
        with warehouse.connect() as connection:
            connection.execute("update efo_meta.loads set sealed = sealed - %s", [CLASS_HASHES])
        again = stage(warehouse, f"{number}", **CHAIN | unlike)
        assert told == ask(warehouse, f"select * from {again.schema}.changes order by ordinal")
        assert told


def test_rows_that_somebody_changed_are_mended_by_a_release_that_does_not_touch_them(
    warehouse: Warehouse, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    publish(warehouse, "1", **CHAIN)
    with warehouse.connect() as connection:
        connection.execute("update public.efo_terms set label = 'mine' where curie = 'EX:a'")
        connection.execute("delete from public.efo_synonyms where synonym = 'synonym of b'")
        connection.execute(
            "update public.efo_xrefs set accession = 'D9' where accession = 'D000001'"
        )
        connection.execute("delete from public.efo_ancestors where distance = 1")
    before = "select count(*) from efo_changes where kind like 'synonym%' or kind like 'xref%'"
    done = publish(warehouse, "2", **CHAIN | UNLIKE["leaf"])
    assert done.changes["efo_terms"] == Changes(inserted=1, changed=1, unchanged=4)
    assert done.changes["efo_synonyms"] == Changes(inserted=1, unchanged=4)
    assert done.changes["efo_xrefs"] == Changes(inserted=1, removed=1, unchanged=1)
    assert caplog.text.count(COMPARED_ALL) == 4
    assert ask(warehouse, before) == [(0,)], "the release changed none of them"


def test_hashes_that_somebody_changed_are_not_believed(warehouse: Warehouse) -> None:
    publish(warehouse, "1", **CHAIN)
    base = "select relnamespace::regnamespace from pg_class where relname = 'class_hashes'"
    ((base,),) = ask(warehouse, base)
    staged = stage(warehouse, "2", **CHAIN | UNLIKE["synonym"])
    with warehouse.connect() as connection:
        # As if nothing had changed.
        connection.execute(
            f"update {base}.{CLASS_HASHES} as b set hash = a.hash"
            f" from {staged.schema}.{CLASS_HASHES} as a where a.term_id = b.term_id"
        )
    again = stage(warehouse, "2", **CHAIN | UNLIKE["synonym"])
    assert ask(warehouse, f"select kind from {again.schema}.changes") == [("synonym removed",)]


def test_a_class_has_the_same_hash_whatever_the_order_of_its_rows() -> None:
    there = encoded(CHAIN["terms"], CHAIN["synonyms"], CHAIN["edges"], CHAIN["xrefs"])
    more = [synonym("a", "another"), synonym("a", "third")]
    one, other, third = (
        encoded(CHAIN["terms"], [*CHAIN["synonyms"], *each], CHAIN["edges"], CHAIN["xrefs"])
        for each in (more, more[::-1], more[:1])
    )
    assert one["synonyms"].data != other["synonyms"].data
    assert one[CLASS_HASHES].data == other[CLASS_HASHES].data
    assert len({bytes(each[CLASS_HASHES].data) for each in (there, one, third)}) == 3
    assert there[CLASS_HASHES].rows == len(CHAIN["terms"])
