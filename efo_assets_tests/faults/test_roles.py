"""Roles: a loader that owns its schemas alone, and a reader that can do nothing but read."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from efo_assets.settings import DatabaseTarget
from efo_assets.warehouse import tables
from efo_assets.warehouse.views import VIEWS, WORDS
from efo_assets.warehouse.warehouse import Warehouse
from efo_assets_tests.commands import ROOT
from efo_assets_tests.databases import connected
from efo_assets_tests.faults.marked import publish_marked

SCHEMA = "efo"
TABLES = {table.name for table in tables.TABLES} | {
    f"efo_{view.name}" for view in (*VIEWS, WORDS) if view.arguments is None
}


@pytest.fixture
def roles(
    database: DatabaseTarget, server: DatabaseTarget, psql: Path
) -> Iterator[dict[str, DatabaseTarget]]:
    """Targets of the loader and the reader that `roles.sql` makes, run twice."""
    name = database.parameters["dbname"]
    made = {role: f"{role}_{name}" for role in ("loader", "reader")}
    variables = [f"--variable={role}={made[role]}" for role in made]
    command = [str(psql), "--no-psqlrc", "--host", server.parameters["host"], "--username",
               server.parameters["user"], "--dbname", name, f"--variable=schema={SCHEMA}",
               *variables, "--file", str(ROOT / "docs/operations/roles.sql")]  # fmt: skip
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, "ERROR" in done.stderr) == (0, "", False), done.stderr
    yield {
        role: DatabaseTarget({**database.parameters, "user": user}) for role, user in made.items()
    }
    with connected(server, dbname=name, autocommit=True) as admin:
        for user in made.values():
            admin.execute(f'drop owned by "{user}" cascade')
            admin.execute(f'drop role "{user}"')


@pytest.mark.fault("S18")
def test_the_loader_owns_its_own_schemas_and_nothing_else(roles: dict[str, DatabaseTarget]) -> None:
    with Warehouse(roles["loader"], SCHEMA) as warehouse:
        assert publish_marked(warehouse, 1).is_new
        assert publish_marked(warehouse, 2).is_new
    with connected(roles["loader"]) as loader:
        assert (
            loader.execute(
                "select rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls"
                " from pg_roles where rolname = current_user"
            ).fetchone()
            == (False,) * 5
        )
        owned = loader.execute(
            "select nspname from pg_namespace where nspowner = current_user::regrole"
        ).fetchall()
        assert {name for (name,) in owned if not name.startswith("efo_load_")} == {
            SCHEMA,
            "efo_meta",
        }
        elsewhere = loader.execute(
            "select count(*) from pg_class as c join pg_namespace as n on n.oid = relnamespace"
            " where relowner = current_user::regrole and nspname !~ '^(efo|pg_toast)'"
        ).fetchone()
        assert elsewhere == (0,)


@pytest.mark.fault("S18")
def test_the_reader_reads_the_published_tables_and_can_do_nothing_else(
    roles: dict[str, DatabaseTarget],
) -> None:
    with Warehouse(roles["loader"], SCHEMA) as warehouse:
        publish_marked(warehouse, 1)
        staged = warehouse.latest().schema
    with connected(roles["reader"], autocommit=True) as reader:
        for table in TABLES:
            assert reader.execute(f"select count(*) from {SCHEMA}.{table}").fetchone()
        assert reader.execute(f"select count(*) from {SCHEMA}.efo_lookup('x')").fetchone()
        assert reader.execute(f"select count(*) from {SCHEMA}.efo_search('labl')").fetchone()
        resolved = reader.execute(
            f"select distinct r.version, r.is_current from {SCHEMA}.efo_terms as t"
            f" join {SCHEMA}.efo_release as r on r.release_id = t.first_release"
        ).fetchall()
        assert resolved == [("1", True)]
        refused = [
            *(f"{what} {SCHEMA}.efo_terms" for what in ("delete from", "truncate", "drop table")),
            f"insert into {SCHEMA}.efo_synonyms select * from {SCHEMA}.efo_synonyms",
            f"update {SCHEMA}.efo_terms set label = 'mine'",
            f"create table {SCHEMA}.mine ()",
            "create schema mine",
            f"select from {staged}.terms",
            "select from efo_meta.releases",
        ]
        for statement in refused:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                reader.execute(statement)
        granted = reader.execute(
            "select table_name, array_agg(privilege_type::text)"
            " from information_schema.role_table_grants where grantee = current_user group by 1"
        ).fetchall()
    assert dict(granted) == {table: ["SELECT"] for table in TABLES}
