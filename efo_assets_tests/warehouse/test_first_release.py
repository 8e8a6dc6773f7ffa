"""The first release: staged tables become the published ones, as if they had been made there."""

from typing import Any

import psycopg
import pytest

from efo_assets.errors import PublicationRefused
from efo_assets.warehouse.load import content, is_moved, published_content
from efo_assets.warehouse.schema import Schema
from efo_assets.warehouse.statements import comment_published, constrain_published, create_published
from efo_assets.warehouse.tables import TABLES
from efo_assets.warehouse.warehouse import Warehouse
from efo_assets_tests.warehouse.loads import Rows, ask, edge, publish, stage, synonym, term, xref

MAJORS = (18, 16, 15)
PUBLIC = Schema("public")
FIRST: Rows = {
    "terms": [term("a"), term("b"), term("old", is_obsolete=True, replaced_by=["EX:a"])],
    "synonyms": [synonym("a", "first")],
    "edges": [edge("b", "a"), edge("b", "gone")],
    "xrefs": [xref("a", "mesh", "D000001")],
}
READER = "grant select on tables to public"
SHAPE = """
select jsonb_build_object(
    'columns', (
        select jsonb_agg(jsonb_build_array(
            a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,
            pg_get_expr(d.adbin, d.adrelid), a.attstorage, a.attcompression, a.attstattarget,
            a.attacl, col_description(c.oid, a.attnum)
        ) order by a.attnum)
        from pg_attribute as a
        left join pg_attrdef as d on d.adrelid = c.oid and d.adnum = a.attnum
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    ),
    'constraints', (
        select jsonb_agg(jsonb_build_array(
            k.conname, k.contype, k.convalidated, pg_get_constraintdef(k.oid)
        ) order by k.conname)
        from pg_constraint as k where k.conrelid = c.oid
    ),
    'indexes', (
        select jsonb_agg(pg_get_indexdef(i.indexrelid) order by i.indexrelid::regclass::text)
        from pg_index as i where i.indrelid = c.oid and i.indisvalid
    ),
    'sequence', (
        select jsonb_build_array(s.relname, s.relacl, pg_get_userbyid(s.relowner))
        from pg_depend as o
        join pg_class as s on s.oid = o.objid and s.relkind = 'S'
        where o.refobjid = c.oid
    ),
    'table', jsonb_build_array(
        c.relpersistence, c.relreplident, c.relrowsecurity, c.relforcerowsecurity, c.reloptions,
        (select array_agg(acl::text order by acl::text) from unnest(c.relacl) as acl),
        pg_get_userbyid(c.relowner), c.reltype::regtype::text, c.relhastriggers,
        obj_description(c.oid)
    )
)
from pg_class as c
where c.oid = to_regclass('public.' || quote_ident(%(name)s))
"""


def shapes(connection: psycopg.Connection[Any]) -> dict[str, Any]:
    """All that PostgreSQL's catalogs know of each published table."""
    return {
        table.name: connection.execute(SHAPE, {"name": table.name}).fetchall() for table in TABLES
    }


def shapes_of_made(connection: psycopg.Connection[Any]) -> dict[str, Any]:
    """The same of tables that are made in their place."""
    with connection.transaction(force_rollback=True):
        connection.execute("drop table public.efo_terms cascade")
        for table in TABLES[1:]:
            connection.execute(f"drop table public.{table.name} cascade")
        for table in TABLES:
            connection.execute(create_published(PUBLIC, table))
        for table in TABLES:
            for step in (
                *constrain_published(PUBLIC, table),
                *comment_published(PUBLIC, table),
            ):
                connection.execute(step)
        return shapes(connection)


@pytest.mark.fault("O27")
@pytest.mark.parametrize("defaults", ["", "in schema public", "in schema public, other"])
def test_a_table_that_moved_in_is_as_one_that_was_made_there(
    warehouse: Warehouse, defaults: str
) -> None:
    with warehouse.connect() as connection:
        connection.execute("create schema other")
        connection.execute(f"alter default privileges {defaults} {READER}")
        connection.execute(
            f"alter default privileges {defaults} grant usage on sequences to public"
        )
    publish(warehouse, **FIRST)
    with warehouse.connect() as connection:
        moved = shapes(connection)
        assert all(moved.values())
        assert moved == shapes_of_made(connection)


def test_rows_that_are_inserted_next_have_the_next_key(warehouse: Warehouse) -> None:
    publish(warehouse, **FIRST)
    next_one = "select nextval(pg_get_serial_sequence('efo_terms', 'id')) - max(id) from efo_terms"
    assert ask(warehouse, next_one) == [(1,)]


def test_the_load_of_the_first_release_has_no_rows_left_and_is_used_again(
    warehouse: Warehouse,
) -> None:
    first = publish(warehouse, **FIRST)
    load = warehouse.latest()
    with warehouse.connect() as connection:
        assert is_moved(connection, load)
    assert warehouse.reusable(load.source) == load
    verdicts = warehouse.audit(load)
    assert all(verdict.passed for verdict in verdicts if verdict.blocking)
    again = warehouse.publish(load)
    assert (again.release_id, again.is_new, again.written) == (first.release_id, False, 0)


@pytest.mark.fault("O27")
@pytest.mark.parametrize(
    "damage",
    [
        "delete from efo_synonyms",
        "update efo_terms set label = 'else' where curie = 'EX:a'",
        "update efo_terms set iri = iri || '!' where curie = 'EX:a'",
        "drop table efo_ancestors cascade",
        "delete from efo_meta.verdicts",
    ],
)
def test_rows_changed_after_the_first_release_are_put_right_from_pages(
    warehouse: Warehouse, damage: str
) -> None:
    publish(warehouse, **FIRST)
    published = "select label from efo_terms where removed_in is null order by label"
    before = ask(warehouse, published)
    load = warehouse.latest()
    with warehouse.connect() as connection, connection.transaction():
        connection.execute("set local search_path = public")
        connection.execute(damage)
    assert warehouse.reusable(load.source) is None
    if not damage.startswith(("drop", "delete from efo_meta")):
        with pytest.raises(PublicationRefused, match=r"was changed since efo 1 .*stages the kept"):
            warehouse.publish(load)
    publish(warehouse, **FIRST)
    assert ask(warehouse, published) == before
    assert ask(warehouse, "select count(*) from efo_synonyms") == [(1,)]
    assert ask(warehouse, "select count(*) from efo_ancestors") == [(1,)]
    assert not any(compared.differs for compared in warehouse.verify())


PUT_ON = [
    (
        (
            "create trigger skip before insert on {0}.synonyms"
            " for each row execute function suppress_redundant_updates_trigger()"
        ),
        "trigger skip",
    ),
    ("create rule skip as on insert to {0}.terms do instead nothing", "rule skip"),
    ("create policy none on {0}.xrefs using (false)", "policy none"),
    ("alter table {0}.xrefs enable row level security", "grants, policies"),
    ("grant select on {0}.terms to public", "owner, grants"),
    ("grant select (label) on {0}.terms to public", "column label"),
    ("alter table {0}.terms add column other text", "column other"),
    ("alter table {0}.terms alter label set default 'none'", "default value"),
    ("alter table {0}.terms alter label set not null", "column label"),
    ("alter table {0}.ancestors add check (distance > 0)", "constraint ancestors_dist"),
    ("create index other on {0}.ancestors (distance)", ".other;"),
    ("create statistics {0}.other on scope, synonym from {0}.synonyms", "statistics"),
    ("alter table {0}.ancestors set (fillfactor = 50)", "options of table"),
    ("create view public.seen as select from {0}.terms", "view public.seen"),
    (
        "create table public.theirs (id bigint references {0}.terms (id))",
        "constraint theirs_id_fkey",
    ),
]
"""What somebody does to staged tables, and what is said of it."""


@pytest.mark.fault("O27")
def test_what_somebody_put_on_staged_tables_does_not_move_in(
    warehouse: Warehouse, caplog: pytest.LogCaptureFixture
) -> None:
    load = stage(warehouse, **FIRST)
    warehouse.audit(load)
    with warehouse.connect() as connection:
        for deed, _ in PUT_ON:
            connection.execute(deed.format(load.schema))
    warehouse.publish(load)
    (told,) = (line for line in caplog.text.splitlines() if "what isn't of efo_assets" in line)
    assert [left for _, left in PUT_ON if left not in told] == []
    with warehouse.connect() as connection:
        assert published_content(connection, load) == content(connection, load)[0]
        assert shapes(connection) == shapes_of_made(connection)
    again = warehouse.reusable(load.source)
    assert again is not None
    assert again.load_id == load.load_id
