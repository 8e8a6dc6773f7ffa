"""The connection of ours: what it needs is set in each transaction, never for the session.

A pooler in transaction mode gives every transaction a server session of its own, and gives ours to
others afterwards. So nothing here outlives a transaction: no setting, no prepared statement, no
lock, no temporary table.
"""

import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow

NAME_LIMIT_BYTES = 63
"""PostgreSQL cuts a longer application_name."""


def unique_name() -> str:
    """`efo_assets 4711@host 1f2e3d4c`: whose transaction it is, for people and for ourselves."""
    token = secrets.token_hex(4)
    host = socket.gethostname().encode("ascii", "replace").decode()
    return f"{f'efo_assets {os.getpid()}@{host}'[: NAME_LIMIT_BYTES - 1 - len(token)]} {token}"


class Session(psycopg.Connection[TupleRow]):
    """A connection in autocommit whose every transaction begins with our settings."""

    name: str = ""
    """Its transactions' application_name; no other connection has it."""
    settings: sql.Composed = sql.Composed([])
    """Statements that make a transaction ours."""

    @contextmanager
    def transaction(
        self,
        savepoint_name: str | None = None,
        force_rollback: bool = False,  # noqa: FBT001, FBT002  # psycopg's signature
    ) -> Iterator[psycopg.Transaction]:
        """Begin a transaction with our settings, or a savepoint within one."""
        is_outermost = self.info.transaction_status == TransactionStatus.IDLE
        with super().transaction(savepoint_name, force_rollback) as begun:
            if is_outermost:
                super().execute(self.settings)
            yield begun

    def execute(
        self,
        query: Any,
        params: Any = None,
        *,
        prepare: bool | None = None,
        binary: bool = False,
    ) -> psycopg.Cursor[TupleRow]:
        """Run one statement, in a transaction of its own where there is none."""
        if self.info.transaction_status != TransactionStatus.IDLE:
            return super().execute(query, params, prepare=prepare, binary=binary)
        with self.transaction():
            return super().execute(query, params, prepare=prepare, binary=binary)

    def execute_alone(self, query: sql.Composed) -> None:
        """Run a statement that PostgreSQL refuses within a transaction, without our settings."""
        super().execute(query)
