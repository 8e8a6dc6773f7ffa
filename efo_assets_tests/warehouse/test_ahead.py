"""Keys and indexes of a first release, built before it is published, or not."""

from collections.abc import Callable

import pytest

from efo_assets.errors import DatabaseUnavailable
from efo_assets.warehouse.schema import Schema
from efo_assets.warehouse.session import Connection
from efo_assets.warehouse.statements import built_ahead
from efo_assets.warehouse.tables import TABLES
from efo_assets.warehouse.warehouse import Warehouse
from efo_assets_tests.warehouse.loads import (
    Rows,
    ask,
    edge,
    publish,
    stage,
    synonym,
    term,
    xref,
)

FIRST: Rows = {
    "terms": [term("a"), term("b"), term("old", is_obsolete=True, replaced_by=["EX:a"])],
    "synonyms": [synonym("a", "first")],
    "edges": [edge("b", "a")],
    "xrefs": [xref("a", "mesh", "D000001")],
}
PUBLIC = Schema("public")
MOVED = [table for table in TABLES if not table.is_history]
EVERY = {name for table in MOVED for name in built_ahead(PUBLIC, table)}
BUILT = """
select c.oid::bigint, c.relname
from pg_index as i join pg_class as c on c.oid = i.indexrelid
where c.relnamespace = '{0}'::regnamespace and c.relname like 'efo!_%' escape '!'
union all
select k.oid::bigint, k.conname
from pg_constraint as k where k.connamespace = '{0}'::regnamespace and k.contype = 'f'
"""
"""Keys, indexes and foreign keys in a schema."""


def built(warehouse: Warehouse, schema: str) -> dict[str, int]:
    return {name: oid for oid, name in ask(warehouse, BUILT.format(schema))}


def none_is_left(_: Warehouse) -> Connection:
    raise DatabaseUnavailable("no connection left")


def is_lost_at_once(warehouse: Warehouse) -> Connection:
    connection = warehouse.connect()
    (process,) = connection.row("select pg_backend_pid()")
    with warehouse.connect() as another:
        another.execute(f"select pg_terminate_backend({process}, 10000)")
    return connection


def is_there(warehouse: Warehouse) -> Connection:
    return warehouse.connect()


@pytest.mark.fault("O27")
@pytest.mark.parametrize("second", [is_there, none_is_left, is_lost_at_once])
def test_what_is_built_on_staged_tables_moves_in(
    warehouse: Warehouse,
    monkeypatch: pytest.MonkeyPatch,
    second: Callable[[Warehouse], Connection],
) -> None:
    monkeypatch.setattr(Warehouse, "_second", second)
    load = stage(warehouse, **FIRST)
    before = built(warehouse, load.schema)
    assert (set(before) == EVERY) or second is is_lost_at_once
    warehouse.audit(load)
    warehouse.publish(load)
    after = built(warehouse, "public")
    assert before.items() <= after.items(), "none was built again"
    assert set(after) >= EVERY
    assert ask(warehouse, "select count(*) from pg_stats where tablename = 'efo_terms'") != [(0,)]


@pytest.mark.fault("O27")
def test_what_is_not_there_is_built_with_the_publication(warehouse: Warehouse) -> None:
    load = stage(warehouse, **FIRST)
    with warehouse.connect() as connection:
        for table in MOVED:
            for ref in table.references:
                connection.execute(
                    f"alter table {load.schema}.{table.staged_name}"
                    f" drop constraint {table.name}_{ref.name}_fkey"
                )
        for name in EVERY:
            connection.execute(f"drop index if exists {load.schema}.{name}")
    warehouse.audit(load)
    warehouse.publish(load)
    assert set(built(warehouse, "public")) >= EVERY


def test_a_later_release_has_nothing_built_on_its_staged_tables(warehouse: Warehouse) -> None:
    publish(warehouse, **FIRST)
    load = stage(warehouse, "2", **FIRST)
    assert built(warehouse, load.schema) == {}
