"""Published tables among their users: locks, readers, and everything that users built on them."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from efo_assets.errors import LoadInProgress, WarehouseError
from efo_assets.settings import DatabaseTarget
from efo_assets.warehouse import load as loading
from efo_assets.warehouse import session
from efo_assets.warehouse.blockers import without_literals
from efo_assets.warehouse.tables import TABLES
from efo_assets.warehouse.warehouse import Warehouse
from efo_assets_tests.databases import connected
from efo_assets_tests.faults.marked import (
    TERMS,
    audited,
    publications,
    publish_marked,
    release_published,
    release_seen,
)
from efo_assets_tests.faults.pg_proxy import Action, Statement, running_proxy

ALLOWED_LOCKS = {"AccessShareLock", "RowShareLock", "RowExclusiveLock"}


@pytest.fixture
def other(database: DatabaseTarget) -> Iterator[psycopg.Connection]:
    """Another session of the same role, not in autocommit."""
    with connected(database) as connection:
        yield connection


def wait_for(target: DatabaseTarget, condition: str) -> None:
    """Until a query gives a row."""
    with connected(target, autocommit=True) as asking:
        for _ in range(2_000):
            if asking.execute(condition).fetchone():
                return
            asking.execute("select pg_sleep(0.01)")
    pytest.fail(f"never came true: {condition}")


OURS_WAIT = "select 1 from pg_locks where not granted"


@pytest.mark.fault("D07")
def test_a_publication_takes_no_lock_above_row_exclusive(
    database: DatabaseTarget, other: psycopg.Connection
) -> None:
    other.execute("set transaction isolation level repeatable read")
    found: set[str] = set()
    with (
        connected(database, autocommit=True) as looking,
        running_proxy(database) as (proxy, target),
        Warehouse(target) as warehouse,
    ):
        publish_marked(warehouse, 1)
        other.execute("select from public.efo_terms, public.efo_xrefs")
        load = audited(warehouse, 2)

        def script(_: Statement) -> Action:
            held = looking.execute(
                "select distinct mode from pg_locks join pg_stat_activity as a using (pid)"
                " where application_name like 'efo_assets %%' and relation in"
                " (select oid from pg_class where relname = any (%s))",
                [[table.name for table in TABLES]],
            )
            found.update(mode for (mode,) in held.fetchall())
            return Action.FORWARD

        proxy.follow(script)
        assert warehouse.publish(load).is_new
    assert "RowExclusiveLock" in found
    assert found <= ALLOWED_LOCKS
    assert release_seen(other) == 1, "its snapshot"


@pytest.mark.fault("D08")
@pytest.mark.parametrize(
    "lock",
    [
        "lock table public.efo_xrefs in access exclusive mode",
        "select from public.efo_terms for update",
    ],
)
def test_a_lock_that_is_not_given_up_is_tried_three_times_and_its_holder_named(
    warehouse: Warehouse, other: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, lock: str
) -> None:
    monkeypatch.setattr(session, "LOCK_TIMEOUT_MS", 400)
    publish_marked(warehouse, 1)
    load = audited(warehouse, 2)
    other.execute(lock)
    other.execute("select 'CANARY', $$CANARY$$")
    with pytest.raises(LoadInProgress) as caught:
        warehouse.publish(load)
    said = str(caught.value)
    assert f"PostgreSQL's process {other.info.backend_pid} of efo_owner from this machine" in said
    assert "(`select '…', '…'`)" in said
    assert "CANARY" not in said
    assert "in 3 tries" in said
    other.rollback()
    assert release_published(warehouse.target) == 1
    assert warehouse.publish(load).is_new


@pytest.mark.fault("D08")
def test_a_lock_that_is_given_up_meanwhile_costs_no_run(
    warehouse: Warehouse, other: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "LOCK_TIMEOUT_MS", 2_000)
    publish_marked(warehouse, 1)
    load = audited(warehouse, 2)
    other.execute("lock table public.efo_xrefs in share mode")
    with ThreadPoolExecutor(1) as pool:
        publishing = pool.submit(warehouse.publish, load)
        wait_for(warehouse.target, OURS_WAIT)
        assert release_published(warehouse.target) == 1, "a reader doesn't queue behind us"
        other.rollback()
        assert publishing.result().is_new
    assert release_published(warehouse.target) == 2


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("alter role x password 'it''s'  ", "alter role x password '…'"),
        ("select 'cut off he", "select '…'"),
        ("do $a$ 'x' $$ $a$ language\n plpgsql", "do '…' language plpgsql"),
        ("select \x1b[31m1", "select [31m1"),
    ],
)
def test_a_query_is_shown_without_its_literals(query: str, shown: str) -> None:
    assert without_literals(query) == shown


@pytest.mark.fault("D21")
def test_a_row_that_somebody_else_writes_at_the_same_time_is_tried_again(
    warehouse: Warehouse, other: psycopg.Connection
) -> None:
    publish_marked(warehouse, 1)
    load = audited(warehouse, 2)
    other.execute(
        "insert into public.efo_synonyms (term_id, synonym, scope)"
        " select id, 't00 in release 2', 'exact' from public.efo_terms where curie = 'EX:t00'"
    )
    with ThreadPoolExecutor(1) as pool:
        publishing = pool.submit(warehouse.publish, load)
        wait_for(warehouse.target, OURS_WAIT)
        other.commit()
        assert publishing.result().is_new
    assert release_published(warehouse.target) == 2
    assert publications(warehouse.target) == [("1",), ("2",)]


@pytest.mark.fault("D17")
@pytest.mark.fault("D18")
@pytest.mark.fault("D19")
def test_what_users_built_is_as_before_after_ten_publications(
    database: DatabaseTarget, server: DatabaseTarget
) -> None:
    with Warehouse(database) as warehouse:
        publish_marked(warehouse, 1)
        with connected(server, dbname=database.parameters["dbname"], autocommit=True) as admin:
            for made in (
                "create table public.studies (trait bigint references public.efo_terms)",
                "insert into public.studies select id from public.efo_terms",
                "create view public.labels as select curie, label from public.efo_terms",
                (
                    "create materialized view public.counted as"
                    " select count(*) from public.efo_synonyms"
                ),
                (
                    "do $$begin create role efo_guest;"
                    " exception when duplicate_object then null; end$$"
                ),
                "grant select (curie, label) on public.efo_terms to efo_guest",
                "grant select on public.efo_xrefs to public",
                "comment on column public.efo_terms.label is 'ours'",
                "alter table public.efo_terms enable row level security",
                "create policy everybody on public.efo_terms using (true)",
                (
                    "create function public.noted() returns trigger language plpgsql as"
                    " $$begin return null; end$$"
                ),
                (
                    "create trigger noted after update on public.efo_terms"
                    " for each row execute function public.noted()"
                ),
                "create index mine on public.efo_terms (upper(label))",
                "alter table public.efo_xrefs alter column accession set statistics 500",
                "create publication mine for table public.efo_terms, public.efo_xrefs",
                "alter table public.efo_synonyms replica identity full",
            ):
                admin.execute(made)
            facts = [
                (
                    "select c.oid, relname, relkind, relacl::text, relpersistence, relrowsecurity,"
                    " relreplident, relowner, relfilenode from pg_class as c"
                    " where relnamespace = 'public'::regnamespace order by 1"
                ),
                (
                    "select attrelid, attname, attacl::text, attstattarget, attnotnull"
                    " from pg_attribute where attrelid in (select oid from pg_class"
                    " where relnamespace = 'public'::regnamespace) order by 1, 2"
                ),
                (
                    "select objoid, objsubid, description from pg_description"
                    " where classoid = 'pg_class'::regclass and objoid in (select oid from pg_class"
                    " where relnamespace = 'public'::regnamespace) order by 1, 2"
                ),
                (
                    "select oid, conname, conrelid, confrelid, convalidated from pg_constraint"
                    " where connamespace = 'public'::regnamespace order by 1"
                ),
                "select oid, tgname, tgrelid, tgenabled from pg_trigger order by 1",
                "select oid, polname, polrelid from pg_policy order by 1",
                "select prpubid, prrelid from pg_publication_rel order by 1, 2",
            ]
            before = [admin.execute(fact).fetchall() for fact in facts]
            assert all(before)
            for version in range(2, 12):
                assert publish_marked(warehouse, version).is_new
            assert [admin.execute(fact).fetchall() for fact in facts] == before
            assert admin.execute(
                "select count(*) from public.studies join public.efo_terms on id = trait"
                " where label like '%release 11'"
            ).fetchone() == (TERMS,)
            admin.execute("drop publication mine")


@pytest.mark.fault("D19")
def test_a_policy_that_hides_rows_from_the_owner_is_an_error_and_no_difference(
    warehouse: Warehouse, other: psycopg.Connection
) -> None:
    publish_marked(warehouse, 1)
    load = audited(warehouse, 2)
    other.execute("alter table public.efo_xrefs enable row level security")
    other.execute("alter table public.efo_xrefs force row level security")
    other.commit()
    with pytest.raises(WarehouseError, match="row-level security policy"):
        warehouse.publish(load)
    with pytest.raises(WarehouseError, match="row-level security policy"):
        audited(warehouse, 3)
    other.execute("alter table public.efo_xrefs no force row level security")
    other.commit()
    assert release_published(warehouse.target) == 1
    assert warehouse.publish(load).is_new


@pytest.mark.fault("D24")
def test_the_limits_of_a_role_do_not_reach_a_load(
    database: DatabaseTarget, server: DatabaseTarget, warehouse: Warehouse
) -> None:
    name = database.parameters["dbname"]
    publish_marked(warehouse, 1)
    with connected(server, dbname=name, autocommit=True) as admin:
        for setting in (
            "statement_timeout = '200ms'",
            "lock_timeout = '1ms'",
            "idle_in_transaction_session_timeout = '200ms'",
            "transaction_timeout = '200ms'",
            "work_mem = '64kB'",
            "default_transaction_isolation = 'serializable'",
        ):
            admin.execute(f'alter role efo_owner in database "{name}" set {setting}')
        admin.execute(
            "create function public.dawdle() returns trigger language plpgsql as"
            " $$begin perform pg_catalog.pg_sleep(0.4); return null; end$$"
        )
        admin.execute(
            "create trigger dawdle after update on public.efo_terms"
            " execute function public.dawdle()"
        )
    assert publish_marked(warehouse, 2).is_new
    assert release_published(warehouse.target) == 2


@pytest.mark.fault("D24")
def test_a_statement_that_is_cancelled_is_named_so_and_the_old_release_stays(
    database: DatabaseTarget, server: DatabaseTarget
) -> None:
    name = database.parameters["dbname"]
    with running_proxy(database) as (proxy, target), Warehouse(target) as warehouse:
        publish_marked(warehouse, 1)
        with connected(server, dbname=name, autocommit=True) as admin:
            admin.execute(
                "create function public.dawdle() returns trigger language plpgsql as"
                " $$begin perform pg_catalog.pg_cancel_backend(pg_catalog.pg_backend_pid());"
                " perform pg_catalog.pg_sleep(5); return null; end$$"
            )
            admin.execute(
                "create trigger dawdle after update on public.efo_terms"
                " execute function public.dawdle()"
            )
        load = audited(warehouse, 2)
        with pytest.raises(WarehouseError, match=r"was told to stop while publishing \(57014"):
            warehouse.publish(load)
    assert proxy.links
    assert release_published(database) == 1


@pytest.mark.fault("D25")
@pytest.mark.fault("D26")
@pytest.mark.parametrize(
    ("level", "seen"), [("repeatable read", ["1", "1"]), ("read committed", ["1", "2"])]
)
def test_two_statements_see_one_release_only_in_one_snapshot(
    warehouse: Warehouse, other: psycopg.Connection, level: str, seen: list[str]
) -> None:
    publish_marked(warehouse, 1)
    other.execute(f"set transaction isolation level {level}")
    found = [other.execute("select max(label) from public.efo_terms").fetchone()]
    publish_marked(warehouse, 2)
    found += [other.execute("select max(synonym) from public.efo_synonyms").fetchone()]
    assert [row[0][-1] for row in found if row] == seen
    assert release_seen(other) == int(seen[1]), "one statement sees one release"


@pytest.mark.fault("D27")
def test_the_same_release_again_writes_no_log_beyond_the_ledgers(
    database: DatabaseTarget, other: psycopg.Connection
) -> None:
    other.autocommit = True
    positions: list[int] = []
    where = "select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint"
    with running_proxy(database) as (proxy, target), Warehouse(target) as warehouse:
        publish_marked(warehouse, 1)
        load = audited(warehouse, 1)
        warehouse._writer.release()

        def script(statement: Statement) -> Action:
            if statement.sql in ("BEGIN", "COMMIT") and len(positions) < 2:
                row = other.execute(where).fetchone()
                assert row is not None
                positions.append(row[0])
            return Action.FORWARD

        proxy.follow(script)
        done = warehouse.publish(load)
    assert (done.is_new, done.written) == (False, 0)
    assert positions[1] - positions[0] < 4_096
    assert publications(database) == [("1",)]


@pytest.mark.fault("D29")
def test_a_hundred_failed_loads_leave_a_bounded_rest(warehouse: Warehouse) -> None:
    publish_marked(warehouse, 1)
    source = audited(warehouse, 2).source
    with warehouse.connect() as connection:
        for number in range(100):
            load = loading.begin(connection, warehouse.schema, source, expected_terms=1)
            if number % 5 == 0:
                loading.seal(connection, load, {})
            kept = connection.execute(
                "select count(*) from pg_namespace where nspname like 'efo_load_%'"
            ).fetchone()
            assert kept is not None
            assert kept[0] <= 4, "the published load, two kept for diagnosis, and this one"
    assert release_published(warehouse.target) == 1
    assert publish_marked(warehouse, 3).is_new
