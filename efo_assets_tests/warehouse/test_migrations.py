"""Migrations of our own tables: from version 1 on, forward only, whole or not at all."""

from pathlib import Path
from typing import Any

import psycopg
import pytest

from efo_assets.errors import (
    DatabaseRefused,
    LoadInProgress,
    NothingStaged,
    SchemaDrift,
    WarehouseError,
)
from efo_assets.settings import DatabaseTarget
from efo_assets.warehouse import load as loading
from efo_assets.warehouse import migrations, session
from efo_assets.warehouse.ledger import Changes
from efo_assets.warehouse.statements import statement
from efo_assets.warehouse.warehouse import Warehouse
from efo_assets_tests.warehouse.loads import (
    ask,
    edge,
    iri,
    key,
    publish,
    stage,
    synonym,
    term,
    xref,
)

MAJORS = (18, 16)


VERSION_1 = Path(__file__).with_name("version_1.sql").read_text()
NEWER = "insert into efo_meta.schema_version (version) values (999)"
SAME = {
    "terms": [term("a"), term("b")],
    "synonyms": [synonym("a", "first", "exact", "X:1")],
    "edges": [edge("b", "a")],
    "xrefs": [xref("a", "mesh", "D1")],
}
"""What version 1 published."""
TOTALS = {"current": 2, "obsolete": 1, "all": 3}


@pytest.fixture
def old(warehouse: Warehouse) -> Warehouse:
    """A database that version 1 made and published into."""
    run(warehouse, VERSION_1)
    return warehouse


def run(warehouse: Warehouse, *statements: str) -> None:
    with warehouse.connect() as connection:
        for each in statements:
            connection.execute(each)


def versions(warehouse: Warehouse) -> list[Any]:
    return [row[0] for row in ask(warehouse, "select version from schema_version order by 1")]


def rows(warehouse: Warehouse) -> dict[str, list[Any]]:
    """All rows of our own and of the published tables, without the columns that version 1 lacks."""
    later = "array['totals', 'base_release', 'copied', 'sealed', 'staged_by', 'ancestors']"
    found = {}
    for table in ("loads", "verdicts", "releases", "efo_terms", "efo_synonyms", "efo_xrefs"):
        query = f"select to_jsonb(t) - {later} from {table} as t order by to_jsonb(t)::text"
        found[table] = ask(warehouse, query)
    return found


def catalog(warehouse: Warehouse) -> list[Any]:
    """Every column and constraint of `efo_meta`, with comments."""
    return ask(
        warehouse,
        "select c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,"
        " pg_get_expr(d.adbin, d.adrelid), a.attidentity::text,"
        " col_description(c.oid, a.attnum), obj_description(c.oid)"
        " from pg_class as c join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0"
        " left join pg_attrdef as d on d.adrelid = c.oid and d.adnum = a.attnum"
        " where c.relnamespace = 'efo_meta'::regnamespace and c.relkind = 'r' order by 1, a.attnum",
    ) + ask(
        warehouse,
        "select conrelid::regclass::text, conname, pg_get_constraintdef(oid) from pg_constraint"
        " where connamespace = 'efo_meta'::regnamespace and contype <> 'n' order by 1, 2",
    )


def test_an_empty_database_gets_every_version_in_order(warehouse: Warehouse) -> None:
    warehouse.prepare()
    assert versions(warehouse) == list(range(1, migrations.KNOWN_VERSION + 1))


def test_the_first_migration_makes_what_version_1_made(
    warehouse: Warehouse, database: DatabaseTarget
) -> None:
    with warehouse.connect() as connection, connection.transaction(force_rollback=True):
        connection.execute(statement("migration_001_ledger"))
        made = _columns(connection)
    run(warehouse, VERSION_1)
    with session.connect(database) as connection:
        assert made == _columns(connection)


def _columns(connection: session.Connection) -> list[Any]:
    return connection.execute(
        "select c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull"
        " from pg_class as c join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0"
        " where c.relnamespace = 'efo_meta'::regnamespace and c.relkind = 'r' order by 1, a.attnum"
    ).fetchall()


def test_a_database_of_version_1_keeps_its_rows(old: Warehouse) -> None:
    before = rows(old)
    assert len(before["verdicts"]) == 17
    old.prepare()
    assert rows(old) == before
    assert versions(old) == list(range(1, migrations.KNOWN_VERSION + 1))
    assert ask(old, "select totals from releases union all select totals from loads") == [
        (None,),
        (None,),
    ]


def test_a_migrated_database_equals_a_new_one(old: Warehouse) -> None:
    old.prepare()
    migrated = catalog(old)
    run(
        old,
        "drop schema efo_meta cascade",
        "drop table public.efo_terms, public.efo_synonyms, public.efo_parent_edges,"
        " public.efo_xrefs cascade",
    )
    old.prepare()
    assert catalog(old) == migrated
    comments = [row[6] for row in migrated if row[1] == "totals"]
    assert len(comments) == 2
    assert all(comments)


def test_a_migrated_database_takes_the_next_release(old: Warehouse) -> None:
    changed = {**SAME, "terms": [term("a"), term("b", "other"), term("c")]}
    done = publish(old, "2", **changed, totals=TOTALS)
    assert (done.release_id, done.is_new) == (2, True)
    assert done.changes["efo_terms"] == Changes(inserted=1, changed=1, unchanged=1)
    assert done.changes["efo_synonyms"] == Changes(unchanged=1)
    assert done.changes["efo_changes"] == Changes(), "rows of another format are no base"
    assert ask(old, "select replaced_by, is_gwas_trait from efo_terms") == [([], False)] * 3
    assert ask(old, "select prefix, found from efo_xrefs") == [("mesh", ["mesh:D1"])]
    states = ask(old, "select state from loads order by created_at")
    assert states == [("dropped",), ("published",)], "of another format nothing is left"
    ids = ask(old, "select id, curie, first_release from efo_terms order by curie")
    assert ids == [(1, "EX:a", 1), (2, "EX:b", 1), (key(iri("c")), "EX:c", 2)]
    assert ask(old, "select version, totals from releases order by release_id") == [
        ("1", None),
        ("2", TOTALS),
    ]


def test_a_load_of_another_format_is_not_published_again(old: Warehouse) -> None:
    """`--select efo_terms`, the first command after an upgrade, says what to run instead."""
    with pytest.raises(NothingStaged, match=r"--select '\*efo_terms'"):
        old.latest()
    assert versions(old)[-1] == migrations.KNOWN_VERSION


def test_the_same_release_after_an_upgrade_fills_in_what_is_new(old: Warehouse) -> None:
    again = publish(old, "1", **SAME, totals=TOTALS)
    assert (again.release_id, again.is_new) == (2, True)
    assert again.changes["efo_terms"] == Changes(unchanged=2)
    assert again.changes["efo_ancestors"] == Changes(inserted=1)
    current = old.current_release()
    assert current is not None
    assert current.totals == TOTALS


def test_a_column_that_is_missing_though_it_was_published_is_drift(old: Warehouse) -> None:
    publish(old, "2", **SAME)
    run(old, "alter table public.efo_terms drop column subsets")
    with pytest.raises(SchemaDrift, match=r"efo_terms\.subsets is missing"):
        old.prepare()


def test_the_ledger_of_version_1_can_be_read_before_it_is_migrated(old: Warehouse) -> None:
    current = old.current_release()
    assert current is not None
    assert (current.version, current.totals) == ("1", None)
    assert len(old.releases()) == 1
    assert versions(old) == [1], "reading changes nothing"


def test_applied_twice_changes_nothing(old: Warehouse) -> None:
    old.prepare()
    before = (catalog(old), rows(old), ask(old, "select * from schema_version order by 1"))
    with old.connect() as connection:
        assert migrations.apply(connection) == []
        migrations.keep_up(connection)
    assert (catalog(old), rows(old), ask(old, "select * from schema_version order by 1")) == before


@pytest.mark.fault("D15")
@pytest.mark.parametrize("step", ["prepare", "latest"])
def test_a_newer_database_is_refused_and_left_alone(old: Warehouse, step: str) -> None:
    run(old, NEWER, "alter table public.efo_terms rename column label to name")
    before = (catalog(old), rows(old))
    with pytest.raises(DatabaseRefused) as caught:
        getattr(old, step)()
    message = str(caught.value)
    assert "of version 999" in message
    assert f"up to {migrations.KNOWN_VERSION}" in message
    assert "Nothing was downloaded or changed; upgrade efo_assets" in message
    assert "\n" not in message
    assert (catalog(old), rows(old)) == before


@pytest.mark.fault("D34")
@pytest.mark.parametrize("step", ["prepare", "latest"])
def test_a_newer_database_that_is_refused_names_what_made_it(
    warehouse: Warehouse, step: str
) -> None:
    publish(warehouse, "1", **SAME)
    run(warehouse, "insert into efo_meta.schema_version values (99, now(), 'efo_assets 7.0', 99)")
    said = r"of version 99, made by efo_assets 7.0, and this is efo_assets \d.*upgrade efo_assets"
    with pytest.raises(DatabaseRefused, match=said):
        getattr(warehouse, step)()


@pytest.mark.fault("D34")
def test_code_that_was_rolled_back_loads_beside_what_came_later(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as later:
        later.setattr(loading, "FORMAT_VERSION", 99)
        later.setattr(loading, "THIS_CODE", "efo_assets 7.0")
        publish(warehouse, "1", **SAME)
    run(
        warehouse,
        "alter table efo_meta.schema_version add column colour text",
        "insert into efo_meta.schema_version values (99, now(), 'efo_assets 7.0', 1)",
        "alter table efo_meta.loads add column colour text not null default 'red'",
        "alter table public.efo_terms add column colour text",
        "update public.efo_terms set colour = 'blue'",
        "drop view public.efo_mesh_xrefs",
        "create view public.efo_mesh_xrefs as select 'red' as colour",
        "comment on view public.efo_mesh_xrefs is 'Later. (efo_assets, definition 99)'",
    )
    with pytest.raises(NothingStaged, match=r"staged by efo_assets 7.0 in format 99, and this is"):
        warehouse.latest()
    assert publish(warehouse, "1", **SAME).written == 0
    changed = {**SAME, "terms": [term("a", "new"), term("b"), term("c")]}
    assert publish(warehouse, "2", **changed).is_new
    assert ask(warehouse, "select label, colour from efo_terms order by iri") == [
        ("new", "blue"),
        ("label of b", "blue"),
        ("label of c", None),
    ]
    assert ask(warehouse, "select obj_description('efo_mesh_xrefs'::regclass)") == [
        ("Later. (efo_assets, definition 99)",)
    ]
    assert "efo_meta was migrated by efo_assets 7.0; efo_assets" in caplog.text
    assert "efo_assets 7.0 made the published tables" in caplog.text
    assert "doesn't know their columns efo_terms.colour: they keep" in caplog.text


@pytest.mark.fault("D34")
def test_a_published_table_of_a_later_format_that_cannot_be_used_names_what_made_it(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as later:
        later.setattr(loading, "FORMAT_VERSION", 99)
        later.setattr(loading, "THIS_CODE", "efo_assets 7.0")
        publish(warehouse, "1", **SAME)
    run(warehouse, "alter table public.efo_synonyms drop constraint efo_synonyms_pkey")
    said = r"made by efo_assets 7.0 in format 99, and this is efo_assets .* lacks its primary key"
    with pytest.raises(SchemaDrift, match=said):
        warehouse.prepare()


def test_a_migration_that_fails_leaves_the_version_before_it(old: Warehouse) -> None:
    run(old, "alter table efo_meta.releases add column totals text")
    before = catalog(old)
    with pytest.raises(psycopg.errors.DuplicateColumn):
        old.prepare()
    assert (catalog(old), versions(old)) == (before, [1])
    run(old, "alter table efo_meta.releases drop column totals")
    old.prepare()
    assert versions(old)[-1] == migrations.KNOWN_VERSION


@pytest.mark.parametrize("step", ["prepare", "latest"])
def test_a_version_that_is_not_recorded_was_not_applied(old: Warehouse, step: str) -> None:
    run(old, "alter table efo_meta.schema_version add constraint no_more check (version < 2)")
    before = catalog(old)
    with pytest.raises(WarehouseError, match="no_more on schema_version, refuses a row"):
        getattr(old, step)()
    assert (catalog(old), versions(old)) == (before, [1])


def test_two_first_runs_do_not_migrate_at_once(
    old: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "LOCK_TIMEOUT_MS", 100)
    with old.connect() as other, other.transaction():
        other.execute("select pg_advisory_xact_lock(hashtext('efo_assets set-up'))")
        with pytest.raises(LoadInProgress, match="holds a lock"):
            old.prepare()
        assert versions(old) == [1]
    old.prepare()
    assert versions(old)[-1] == migrations.KNOWN_VERSION


def test_a_role_that_does_not_own_the_tables_is_refused(
    old: Warehouse, server: DatabaseTarget
) -> None:
    owner = old.target.parameters["user"]
    admin = {**old.target.parameters, "user": server.parameters["user"]}
    with Warehouse(DatabaseTarget(admin)) as superuser:
        run(
            superuser,
            f"alter table efo_meta.loads owner to {admin['user']}",
            f"grant all on efo_meta.loads to {owner}",
        )
    with pytest.raises(DatabaseRefused, match="must be owner of table loads"):
        old.prepare()
    assert versions(old) == [1]


def test_every_migration_has_its_file_and_no_file_is_forgotten() -> None:
    folder = Path(migrations.__file__).with_name("sql")
    expected = [
        f"migration_{number:03}_{name}.sql"
        for number, name in enumerate(migrations.MIGRATIONS, start=1)
    ]
    assert sorted(path.name for path in folder.glob("migration_*")) == expected


def test_a_load_remembers_the_totals_that_were_announced(warehouse: Warehouse) -> None:
    load = stage(warehouse, terms=[term("a"), term("b"), term("c")], totals=TOTALS)
    assert warehouse.latest().source.totals == TOTALS
    assert warehouse.reusable(load.source) is not None
