"""Staged rows that somebody changes between COPY and publication (O12, O18, O19)."""

from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest

from efo_assets.errors import AuditNotPassed, LoadInProgress
from efo_assets.warehouse import session
from efo_assets.warehouse.load import Load, content
from efo_assets.warehouse.warehouse import Warehouse
from efo_assets_tests.faults.staged_rows import (
    COPIED,
    EVERY,
    INSERT,
    MUTATIONS,
    PUBLISHED,
    mutations,
)
from efo_assets_tests.warehouse.loads import (
    COLUMNS,
    Rows,
    ask,
    begun,
    copy,
    edge,
    encoded,
    fill,
    iri,
    publish,
    stage,
    synonym,
    term,
    xref,
)

ALLOW_SHRINK = True
FIRST: Rows = {
    "terms": [
        *(term(name) for name in "abcd"),
        term("old", is_obsolete=True, replaced_by=[iri("a")]),
        term("older", is_obsolete=True, consider=["gone"]),
    ],
    "synonyms": [synonym("a", "first", "exact", "X:1"), synonym("b", "second")],
    "edges": [edge("b", "a"), edge("c", "b"), edge("d", "c", "part_of"), edge("a", "gone")],
    "xrefs": [xref("a", "mesh", "D000001"), xref("old", "mesh", "D000002"), xref("c", "umls", "C")],
}
SECOND: Rows = {
    "terms": [
        term("a", "relabelled"),
        *(term(name) for name in "bce"),
        term("old", is_obsolete=True, replaced_by=[iri("b")]),
        term("oldest", is_obsolete=True, consider=["gone"]),
    ],
    "synonyms": [synonym("a", "first", "exact", "X:2"), synonym("c", "third")],
    "edges": [edge("c", "a"), edge("b", "c"), edge("e", "b", "part_of"), edge("b", "gone")],
    "xrefs": [xref("b", "mesh", "D000001"), xref("old", "mesh", "D000003"), xref("a", "umls", "D")],
}
"""Other rows in every table; its changes and the edges set aside are none either."""


def run(warehouse: Warehouse, statement: str) -> None:
    with warehouse.connect() as connection:
        connection.execute(statement)


@pytest.fixture
def standing(warehouse: Warehouse) -> list[Any]:
    """The release that stands, by all rows of its terms."""
    publish(warehouse, "1", **FIRST)
    return ask(warehouse, "select t, (select count(*) from releases) from efo_terms as t")


def assert_refused(warehouse: Warehouse, load: Load, standing: list[Any]) -> None:
    """Nothing was published, and the load is never used again."""
    now = ask(warehouse, "select t, (select count(*) from releases) from efo_terms as t")
    assert now == standing
    assert warehouse.reusable(load.source) is None


def assert_next_is_right(warehouse: Warehouse) -> None:
    """The same release is staged anew, published, and made of just these rows."""
    load = stage(warehouse, "2", **SECOND)
    with warehouse.connect() as connection:
        wanted, _ = content(connection, load)
    assert all(wanted.rows.values()), "every table has rows to be changed"
    warehouse.audit(load)
    assert warehouse.publish(load).is_new
    hashes = ask(warehouse, "select content_hash from releases order by release_id desc limit 1")
    assert hashes == [(wanted.digest,)]


@pytest.mark.fault("O18")
@pytest.mark.parametrize("table", COPIED)
def test_rows_changed_between_copy_and_derivation_are_refused(
    warehouse: Warehouse, standing: list[Any], table: str
) -> None:
    for number in range(MUTATIONS):
        load = copy(warehouse, "2", **SECOND)
        run(warehouse, mutations(load.schema, table, as_copied=True)[number])
        with pytest.raises(AuditNotPassed, match=rf"after they were decoded.*: {table} \(.*anew"):
            warehouse.seal(load, {})
        assert_refused(warehouse, load, standing)
    assert_next_is_right(warehouse)


@pytest.mark.fault("O18")
@pytest.mark.parametrize("table", EVERY)
def test_rows_changed_between_derivation_and_audit_are_refused(
    warehouse: Warehouse, standing: list[Any], table: str
) -> None:
    for number in range(MUTATIONS):
        load = stage(warehouse, "2", **SECOND)
        run(warehouse, mutations(load.schema, table)[number])
        for _ in range(2):
            with pytest.raises(
                AuditNotPassed, match=rf"after they were derived.*: {table} \(.*anew"
            ):
                warehouse.audit(warehouse.latest())
        with pytest.raises(AuditNotPassed, match="no verdict"):
            warehouse.publish(load)
        assert_refused(warehouse, load, standing)
    assert_next_is_right(warehouse)


@pytest.mark.fault("O12")
@pytest.mark.parametrize("number", range(MUTATIONS))
@pytest.mark.parametrize("table", PUBLISHED)
def test_rows_changed_between_audit_and_publication_are_not_published(
    warehouse: Warehouse, standing: list[Any], table: str, number: int
) -> None:
    load = stage(warehouse, "2", **SECOND)
    warehouse.audit(load)
    run(warehouse, mutations(load.schema, table)[number])
    is_refused = False
    try:
        warehouse.publish(load)
    except AuditNotPassed:
        is_refused = True
        assert_refused(warehouse, load, standing)
    assert is_refused or number == INSERT, "a row that is there twice is written once"
    if is_refused:
        assert_next_is_right(warehouse)
    else:
        assert publish(warehouse, "2", **SECOND).written == 0, "what was audited is published"


@pytest.mark.fault("O12")
def test_a_published_load_without_verdicts_is_compared_with_what_was_derived(
    warehouse: Warehouse,
) -> None:
    publish(warehouse, "1", **FIRST)
    publish(warehouse, "2", **SECOND)
    standing = ask(warehouse, "select t, (select count(*) from releases) from efo_terms as t")
    load = warehouse.latest()
    run(warehouse, "delete from efo_meta.verdicts")
    run(warehouse, mutations(load.schema, "synonyms")[0])
    with pytest.raises(AuditNotPassed, match=r"after they were derived.*: synonyms \("):
        warehouse.audit(warehouse.latest())
    assert_refused(warehouse, load, standing)


@pytest.mark.fault("O18")
def test_terms_that_swap_their_keys_are_refused(warehouse: Warehouse, standing: list[Any]) -> None:
    load = stage(warehouse, "2", **SECOND)
    run(
        warehouse,
        f"update {load.schema}.terms as t set id = o.other from"
        " (select id, coalesce(lead(id) over by_key, min(id) over ()) as other"
        f" from {load.schema}.terms window by_key as (order by id)) as o where o.id = t.id",
    )
    with pytest.raises(AuditNotPassed, match=r"terms \(6 rows then, 6 now\)"):
        warehouse.audit(load)
    assert_refused(warehouse, load, standing)


@pytest.mark.fault("O26")
def test_a_value_that_two_rows_swap_is_noticed(warehouse: Warehouse) -> None:
    names = [f"t{number:02}" for number in range(40)]
    load = stage(warehouse, terms=[term(name) for name in names])
    swap = (
        f"update {load.schema}.terms as t set label = o.label from {load.schema}.terms as o where"
        " (t.iri, o.iri) in ((%(a)s, %(b)s), (%(b)s, %(a)s))"
    )
    with warehouse.connect() as connection:
        as_staged, _ = content(connection, load)
        for a, b in pairwise(map(iri, names)):
            with connection.transaction(force_rollback=True):
                assert connection.execute(swap, {"a": a, "b": b}).rowcount == 2
                assert content(connection, load)[0].digest != as_staged.digest


@pytest.mark.fault("O18")
def test_a_load_of_a_version_that_kept_no_hash_is_refused_and_staged_anew(
    warehouse: Warehouse, standing: list[Any]
) -> None:
    load = stage(warehouse, "2", **SECOND)
    run(warehouse, "update efo_meta.loads set copied = '{}', sealed = null")
    with pytest.raises(AuditNotPassed, match=r"by an earlier version .*anew"):
        warehouse.audit(warehouse.latest())
    assert_refused(warehouse, load, standing)
    assert_next_is_right(warehouse)


@pytest.mark.fault("O18")
def test_a_load_that_is_sealed_once_more_is_the_same(warehouse: Warehouse) -> None:
    load = stage(warehouse, "1", **FIRST)
    assert warehouse.seal(load, {}) == load
    assert load.counts["dangling_edges"] == 1


@pytest.mark.fault("O18")
def test_nobody_changes_rows_while_others_are_derived_from_them(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "LOCK_TIMEOUT_MS", 100)
    load = copy(warehouse, "1", **FIRST)
    with warehouse.connect() as other, other.transaction():
        other.execute(f"delete from {load.schema}.synonyms")
        with pytest.raises(LoadInProgress, match="holds a lock"):
            warehouse.seal(load, {})


@pytest.mark.fault("O18")
def test_a_trigger_on_a_staged_table_changes_nothing(warehouse: Warehouse) -> None:
    load = begun(warehouse)
    run(
        warehouse,
        "create function public.skip() returns trigger language plpgsql as"
        " $$begin return null; end$$",
    )
    for table in ("synonyms", "ancestors"):
        run(
            warehouse,
            f"create trigger skip before insert on {load.schema}.{table}"
            " for each row execute function public.skip()",
        )
    load = fill(warehouse, load, encoded(**FIRST))
    assert load.counts["synonyms"] == 2
    assert warehouse.seal(load, {}).counts["ancestors"] == 6


@pytest.mark.fault("O19")
def test_more_rows_that_were_decoded_than_postgresql_took_are_an_error(
    warehouse: Warehouse,
) -> None:
    load, rows = begun(warehouse), encoded(**FIRST)
    rows["synonyms"] = rows["synonyms"]._replace(rows=3)
    with pytest.raises(AuditNotPassed, match=r"took 2 rows of synonyms .*, and 3 were decoded"):
        fill(warehouse, load, rows)
    assert_dropped(warehouse, load)


@pytest.mark.fault("O19")
def test_rows_that_were_changed_on_their_way_are_refused(warehouse: Warehouse) -> None:
    load, rows = begun(warehouse), encoded(**FIRST)
    data = rows["synonyms"].data
    rows["synonyms"] = rows["synonyms"]._replace(data=data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])
    with pytest.raises(AuditNotPassed, match=r"not as they were decoded.*nothing was published"):
        fill(warehouse, load, rows)
    assert_dropped(warehouse, load)


@pytest.mark.fault("O19")
def test_rows_of_which_some_never_came_are_not_taken_for_a_filled_load(
    warehouse: Warehouse,
) -> None:
    load = begun(warehouse)
    with suppress(KeyboardInterrupt), warehouse.filling(load, COLUMNS) as filling:
        filling.write(encoded(**FIRST))
        raise KeyboardInterrupt
    assert_dropped(warehouse, load)


def assert_dropped(warehouse: Warehouse, load: Load) -> None:
    assert warehouse.filled(load.source) is None
    assert ask(warehouse, "select state from loads") == [("dropped",)]
    assert ask(warehouse, f"select to_regnamespace('{load.schema}')") == [(None,)]
