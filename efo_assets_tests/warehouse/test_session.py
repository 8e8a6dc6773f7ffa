"""Connecting and preparing: what PostgreSQL refuses is one sentence before anything is done."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from efo_assets.errors import (
    DatabaseRefused,
    DatabaseUnavailable,
    LoadInProgress,
    SchemaDrift,
    WarehouseError,
)
from efo_assets.settings import DatabaseTarget
from efo_assets.warehouse import session
from efo_assets.warehouse.embedded import embedded_server, remove
from efo_assets.warehouse.warehouse import Warehouse
from efo_assets_tests.databases import connected, own_database
from efo_assets_tests.warehouse.loads import ask, publish, stage, term
from efo_assets_tests.warehouse.stopping import stop_server


def changed(target: DatabaseTarget, **parameters: str) -> DatabaseTarget:
    return DatabaseTarget({**target.parameters, **parameters})


def run(target: DatabaseTarget, *statements: str) -> None:
    with connected(target, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


@pytest.mark.fault("D01")
def test_a_server_that_is_down_is_named_with_its_place() -> None:
    target = DatabaseTarget({"host": "127.0.0.1", "port": "1", "dbname": "efo", "user": "me"})
    with pytest.raises(
        DatabaseUnavailable, match=r"127\.0\.0\.1:1/efo cannot be reached .*refused"
    ):
        session.connect(target, patience_s=0.2)


def test_what_to_correct_is_what_the_database_was_named_by(database: DatabaseTarget) -> None:
    """Of the embedded server nothing, since no setting names it."""
    nowhere = changed(database, host="127.0.0.1", port="1")
    for parameters in (nowhere.parameters, changed(database, dbname="no_such").parameters):
        for named_by in ("EFO_DATABASE_URL", "the selector"):
            with pytest.raises(WarehouseError, match=f"correct {named_by}"):
                session.connect(DatabaseTarget(parameters, named_by), patience_s=0)
        embedded = DatabaseTarget(parameters, None)
        with pytest.raises(WarehouseError, match=r"^The embedded PostgreSQL at") as raised:
            session.connect(embedded, patience_s=0)
        assert "EFO_DATABASE_URL" not in str(raised.value)


def test_the_embedded_server_is_known_as_one_that_a_command_starts(tmp_path: Path) -> None:
    try:
        with embedded_server(tmp_path) as target:
            with connected(target) as connection:
                stop_server(connection)
            with pytest.raises(DatabaseUnavailable, match="such as `efo-assets status`, which"):
                session.connect(target, patience_s=0)
    finally:
        remove(tmp_path)


@pytest.mark.fault("D13")
def test_a_database_that_does_not_exist_is_refused_at_once(database: DatabaseTarget) -> None:
    with pytest.raises(DatabaseRefused, match="does not accept the database name"):
        session.connect(changed(database, dbname="no_such_database"))


@pytest.mark.fault("D13")
def test_a_role_that_does_not_exist_is_refused_at_once(database: DatabaseTarget) -> None:
    with pytest.raises(DatabaseRefused, match="does not accept the role"):
        session.connect(changed(database, user="no_such_role"))


@pytest.mark.fault("D14")
def test_a_missing_privilege_names_its_grant(
    database: DatabaseTarget, server: DatabaseTarget
) -> None:
    name = database.parameters["dbname"]
    run(
        changed(server, dbname=name),
        "do $$begin create role efo_stranger login; exception when duplicate_object then null;"
        " end$$",
        f'revoke create on database "{name}" from efo_stranger',
        "revoke create on schema public from public, efo_stranger",
    )
    stranger = Warehouse(changed(database, user="efo_stranger"))
    with pytest.raises(DatabaseRefused) as caught:
        stranger.prepare()
    message = str(caught.value)
    assert f"grant create on database {name} to efo_stranger" in message
    assert "grant create, usage on schema public to efo_stranger" in message
    assert "Nothing was downloaded or changed." in message


@pytest.mark.fault("D11")
def test_a_read_only_server_is_refused(database: DatabaseTarget) -> None:
    target = changed(database, options="-c default_transaction_read_only=on")
    with pytest.raises(DatabaseRefused, match="read-only"):
        Warehouse(target).prepare()


@pytest.mark.fault("D28")
def test_another_encoding_than_utf8_is_refused(
    database: DatabaseTarget, server: DatabaseTarget
) -> None:
    name = f"{database.parameters['dbname']}_latin1"
    owner = database.parameters["user"]
    run(
        server,
        f"create database \"{name}\" owner \"{owner}\" encoding 'SQL_ASCII' locale 'C'"
        " template template0",
    )
    with pytest.raises(DatabaseRefused, match="encoding is SQL_ASCII"):
        Warehouse(changed(database, dbname=name)).prepare()
    run(server, f'drop database "{name}"')


@pytest.mark.fault("D15")
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("alter table public.efo_terms rename column label to name", "efo_terms.label is missing"),
        (
            "alter table public.efo_synonyms alter column type type varchar(20)",
            "efo_synonyms.type is character varying(20) and should be text",
        ),
        (
            "alter table public.efo_terms alter column definition set not null",
            "efo_terms.definition is NOT NULL and should not be",
        ),
        (
            "alter table public.efo_xrefs add column mine text not null",
            "efo_xrefs.mine is not ours and NOT NULL without a default",
        ),
        (
            "alter table public.efo_synonyms drop constraint efo_synonyms_pkey",
            "efo_synonyms lacks its primary key efo_synonyms_pkey (term_id, scope, synonym)",
        ),
    ],
)
def test_a_changed_table_is_refused_with_the_difference(
    warehouse: Warehouse, change: str, said: str
) -> None:
    publish(warehouse, terms=[term("a")])
    run(warehouse.target, change)
    with pytest.raises(SchemaDrift) as caught:
        warehouse.prepare()
    assert said in str(caught.value)


@pytest.mark.fault("D32")
@pytest.mark.parametrize(
    ("taken", "said"),
    [
        ("create type public.efo_terms as enum ('a')", "the type public.efo_terms"),
        ("create domain public.efo_terms as text", "the domain public.efo_terms"),
        ("create type public.efo_terms as (a text)", "the type public.efo_terms"),
        ("create sequence public.efo_xrefs", "the sequence public.efo_xrefs"),
        ("create table public.efo_labels (a text)", "the table public.efo_labels"),
        ("create materialized view public.efo_changes as select 1", "the materialized view"),
        ("create view public.efo_terms as select 1 as id", "the view public.efo_terms"),
        ("create domain public.efo_labels as text", "the domain public.efo_labels"),
        ("create table public.efo_terms_curie_idx (a text)", "the table public.efo_terms_curie_"),
        ("create table public.mine (a text constraint efo_terms_iri_key unique)",
         "the index public.efo_terms_iri_key"),
        ("create view public.efo_labels as select 'a' as text",
         "the view public.efo_labels, by its comment"),
        ("create function public.efo_lookup(text) returns integer return 1",
         "the function public.efo_lookup (text), by its comment"),
        ("create procedure public.efo_descendants(text, boolean) language sql as ''",
         "the function public.efo_descendants (text, boolean), by its comment"),
        ("create schema efo_meta; create table efo_meta.loads (a text)", "the table efo_meta.lo"),
    ],
)  # fmt: skip
def test_a_name_that_is_taken_is_refused_before_anything_is_made(
    warehouse: Warehouse, taken: str, said: str
) -> None:
    run(warehouse.target, *taken.split("; "))
    sentence = re.escape(f"is taken by what isn't of efo_assets: {said}")
    with pytest.raises(SchemaDrift, match=f"{sentence}.*Nothing was changed; rename it"):
        warehouse.prepare()


@pytest.mark.fault("D32")
def test_what_has_our_name_and_not_our_comment_is_never_replaced(warehouse: Warehouse) -> None:
    publish(warehouse, terms=[term("a")])
    load = stage(warehouse, "2", terms=[term("a"), term("b")])
    warehouse.audit(load)
    for theirs in (
        "create function public.efo_search(text, integer) returns integer return 7",
        "create function public.efo_search(text, integer) returns setof text return 'theirs'",
    ):
        run(
            warehouse.target,
            "drop function public.efo_search(text, integer)",
            theirs,
            "comment on function public.efo_search(text, integer) is 'Mine.'",
        )
        with pytest.raises(
            SchemaDrift, match=r"the function public.efo_search \(text, integer\), by"
        ):
            warehouse.publish(load)
        standing = "select obj_description('efo_search(text, integer)'::regprocedure)"
        assert ask(warehouse, standing) == [("Mine.",)]
    run(warehouse.target, "alter function public.efo_search(text, integer) rename to mine")
    assert warehouse.publish(load).is_new


@pytest.mark.fault("D32")
@pytest.mark.parametrize(
    "statement",
    [
        "raise exception 'no changes' using errcode = 'check_violation'",
        "raise exception 'no changes' using errcode = 'insufficient_privilege'",
        "raise exception 'no changes' using errcode = 'unique_violation'",
        "raise exception 'no changes' using errcode = 'QQ001'",
        "assert false, 'no changes'",
        "perform 1 / 0",
        "insert into public.log values (1)",
        "raise undefined_function using message = 'no changes'",
    ],
)
def test_a_trigger_that_fails_is_named_whatever_its_sqlstate(
    warehouse: Warehouse, statement: str
) -> None:
    publish(warehouse, terms=[term("a")])
    run(
        warehouse.target,
        "create function public.refuse() returns trigger language plpgsql as"
        f" $$begin {statement}; return new; end$$",
        "create trigger refuse before insert on public.efo_terms for each row"
        " execute function public.refuse()",
    )
    said = r"A trigger in .* refuses publishing \(.*; PL/pgSQL function public.refuse\(\) line 1"
    with pytest.raises(WarehouseError, match=said):
        publish(warehouse, "2", terms=[term("a"), term("b")])
    run(warehouse.target, "drop trigger refuse on public.efo_terms")
    assert publish(warehouse, "2", terms=[term("a"), term("b")]).is_new


@pytest.mark.fault("D32")
def test_a_trigger_that_raises_is_named(warehouse: Warehouse, server: DatabaseTarget) -> None:
    publish(warehouse, terms=[term("a")])
    name = warehouse.target.parameters["dbname"]
    with connected(server, dbname=name, autocommit=True) as admin:
        admin.execute(
            "create function public.refuse() returns trigger language plpgsql as"
            " $$begin raise exception 'no changes in daytime'; end$$"
        )
        admin.execute(
            "create trigger refuse before insert on public.efo_terms for each row"
            " execute function public.refuse()"
        )
        said = r"refuses publishing \(no changes in daytime; PL/pgSQL function public.refuse\(\)"
        with pytest.raises(WarehouseError, match=said):
            publish(warehouse, "2", terms=[term("a"), term("b")])
        admin.execute("drop trigger refuse on public.efo_terms")
        admin.execute(
            "create function public.no_ddl() returns event_trigger language plpgsql as"
            " $$begin raise exception 'no DDL here'; end$$"
        )
        admin.execute("create event trigger no_ddl on ddl_command_start execute function no_ddl()")
        said = r"refuses preparing the database \(no DDL here; PL/pgSQL function public.no_ddl"
        with pytest.raises(WarehouseError, match=said):
            publish(warehouse, "3", terms=[term("a")])
        admin.execute("drop event trigger no_ddl")


def test_a_column_that_someone_added_is_no_drift(warehouse: Warehouse) -> None:
    publish(warehouse, terms=[term("a")])
    run(warehouse.target, "alter table public.efo_terms add column note text")
    assert publish(warehouse, "2", terms=[term("a"), term("b")]).is_new


@pytest.mark.fault("X14")
def test_a_second_loader_ends_and_names_the_first(warehouse: Warehouse) -> None:
    warehouse.prepare()
    with Warehouse(warehouse.target) as second:
        with pytest.raises(
            LoadInProgress, match=r"PostgreSQL's process \d+, since .* run again when"
        ):
            second.prepare()
        warehouse.__exit__()
        second.prepare()


def test_another_schema_is_another_lock(warehouse: Warehouse) -> None:
    warehouse.prepare()
    with Warehouse(warehouse.target, "elsewhere") as second:
        second.prepare()


@pytest.mark.fault("X23")
@pytest.mark.parametrize("meta", ["select 1", "create schema efo_meta"])
@pytest.mark.parametrize("schemas", [("public", "public"), ("new", "new"), ("one", "other")])
def test_two_first_loads_at_once_both_find_the_tables(
    server: DatabaseTarget, schemas: tuple[str, str], meta: str
) -> None:
    together = threading.Barrier(2)

    def first_load(warehouse: Warehouse) -> str:
        together.wait()
        try:
            warehouse.prepare()
        except LoadInProgress:
            return "in progress"
        return "prepared"

    second = "in progress" if len(set(schemas)) == 1 else "prepared"
    for _ in range(20):
        with (
            own_database(server) as database,
            Warehouse(database, schemas[0]) as one,
            Warehouse(database, schemas[1]) as other,
            ThreadPoolExecutor(2) as threads,
        ):
            run(database, meta)
            outcomes = sorted(threads.map(first_load, (one, other)))
        assert outcomes == [second, "prepared"]


@pytest.mark.fault("X15")
def test_the_lock_ends_with_its_holder(warehouse: Warehouse, server: DatabaseTarget) -> None:
    warehouse.prepare()
    holder = warehouse._writer._holder
    assert holder is not None
    run(server, f"select pg_terminate_backend({holder.info.backend_pid}, 5000)")
    with Warehouse(warehouse.target) as second:
        second.prepare()


@pytest.mark.fault("D08")
def test_a_lock_on_our_table_is_waited_for_and_named(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(warehouse, terms=[term("a")])
    monkeypatch.setattr(session, "LOCK_TIMEOUT_MS", 100)
    load = stage(warehouse, "2", terms=[term("a"), term("b")])
    warehouse.audit(load)
    with session.connect(warehouse.target) as other, other.transaction():
        other.execute("lock table public.efo_terms in access exclusive mode")
        with pytest.raises(LoadInProgress, match="holds a lock"):
            warehouse.publish(load)
    assert warehouse.publish(load).is_new


@pytest.mark.fault("D08")
@pytest.mark.parametrize("locked", ["public.efo_terms", "efo_meta.releases"])
def test_who_is_not_in_the_way_is_not_blamed(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, locked: str
) -> None:
    publish(warehouse, terms=[term("a")])
    monkeypatch.setattr(session, "LOCK_TIMEOUT_MS", 100)
    load = stage(warehouse, "2", terms=[term("a"), term("b")])
    warehouse.audit(load)
    with (
        session.connect(warehouse.target) as reader,
        session.connect(warehouse.target) as writer,
        session.connect(warehouse.target) as blocker,
        reader.transaction(),
        writer.transaction(),
        blocker.transaction(),
    ):
        reader.execute("select from public.efo_synonyms")
        writer.execute("update public.efo_xrefs set url = url where false")
        blocker.execute(f"lock table {locked} in access exclusive mode")
        with pytest.raises(LoadInProgress, match="holds a lock") as refusal:
            warehouse.publish(load)
        assert f"process {blocker.info.backend_pid} of" in str(refusal.value)
        for innocent in (reader, writer):
            assert str(innocent.info.backend_pid) not in str(refusal.value)


@pytest.mark.fault("S19")
def test_a_function_planted_in_public_is_not_called(warehouse: Warehouse) -> None:
    run(
        warehouse.target,
        "create function public.hashtext(text) returns int language plpgsql as"
        " $$begin raise exception 'hijacked'; end$$",
        "create function public.format_type(oid, int) returns text language plpgsql as"
        " $$begin raise exception 'hijacked'; end$$",
    )
    assert publish(warehouse, terms=[term("a")]).is_new


@pytest.mark.fault("S21")
def test_libpq_has_the_quoting_fix() -> None:
    assert psycopg.pq.version() >= 170003


@pytest.mark.fault("D24")
def test_the_time_limits_of_a_role_do_not_end_a_load(
    database: DatabaseTarget, server: DatabaseTarget
) -> None:
    name = database.parameters["dbname"]
    run(
        server,
        f'alter role {database.parameters["user"]} in database "{name}" set statement_timeout = 5',
    )
    with Warehouse(database) as warehouse:
        assert publish(warehouse, terms=[term(str(n)) for n in range(2_000)]).is_new


@pytest.mark.fault("S18")
def test_the_loader_needs_no_superuser(warehouse: Warehouse) -> None:
    with warehouse.connect() as connection:
        found = connection.execute(
            "select rolsuper, rolcreatedb, rolcreaterole from pg_roles where rolname = current_user"
        ).fetchone()
    assert found == (False, False, False)
    assert publish(warehouse, terms=[term("a")]).is_new
