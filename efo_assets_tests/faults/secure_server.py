"""A PostgreSQL that wants a password, for what must never be told."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from efo_assets.settings import DatabaseTarget
from efo_assets.warehouse.embedded import embedded_server, remove
from efo_assets_tests.databases import connected

LOADER = "efo_loader"
CANARY = "K4NARY-a@b/c:d%e#f'g\"h\\i é&?=[j]-K4NARY"
MARK = "K4NARY"
"""Stands in every spelling of the canary, at both ends."""


@dataclass(frozen=True)
class SecureServer:
    """A server that asks everybody but its superuser for the password."""

    superuser: DatabaseTarget
    log: Path

    def url(self, password: str = CANARY, *, user: str = LOADER, dbname: str = "efo") -> str:
        """As an operator writes it: percent-encoded, a Unix socket as the host."""
        host = quote(self.superuser.parameters["host"], safe="")
        return f"postgresql://{user}:{quote(password, safe='')}@{host}/{dbname}"

    def execute(self, *statements: str, dbname: str = "efo") -> None:
        """As the superuser, each in a transaction of its own."""
        with self.connect(dbname) as connection:
            for each in statements:
                connection.execute(each)

    def connect(self, dbname: str = "efo") -> psycopg.Connection:
        """As the superuser, in autocommit."""
        return connected(self.superuser, dbname=dbname, autocommit=True)

    def anew(self) -> None:
        """An empty database of the loader."""
        self.execute(
            "drop database if exists efo with (force)",
            f"create database efo owner {LOADER}",
            dbname="postgres",
        )


@contextmanager
def secure_server() -> Iterator[SecureServer]:
    """Run one as long as the block does."""
    folder = Path(tempfile.mkdtemp(prefix="efo-s-"))
    folder.chmod(0o755)
    try:
        with embedded_server(folder, is_durable=False) as target:
            cluster = Path(target.parameters["host"])
            (cluster / "pg_hba.conf").write_text(
                "local all efo trust\nlocal all all scram-sha-256\n"
            )
            made = SecureServer(target, cluster / "server.log")
            with made.connect("postgres") as connection:
                connection.execute(
                    sql.SQL("create role {} login password {}").format(
                        sql.Identifier(LOADER), sql.Literal(CANARY)
                    )
                )
                connection.execute("select pg_reload_conf()")
            yield made
    finally:
        remove(folder)
        shutil.rmtree(folder)
