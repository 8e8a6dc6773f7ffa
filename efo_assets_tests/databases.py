"""Databases of the tests, and plain connections to them."""

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

from efo_assets.settings import DatabaseTarget

OWNER = "efo_owner"
_numbers = itertools.count()


def connected(
    target: DatabaseTarget, *, autocommit: bool = False, **others: str
) -> psycopg.Connection:
    """Connect to `target`, or to what it is with `others` of libpq's keywords."""
    parameters: dict[str, Any] = {**target.parameters, **others}
    return psycopg.connect(**parameters, autocommit=autocommit)


def ask(target: DatabaseTarget, query: str, *parameters: object) -> list[tuple[Any, ...]]:
    """Rows of a query, asked over a connection of its own."""
    with connected(target) as connection:
        return connection.execute(query, parameters or None).fetchall()


def ask_in(target: DatabaseTarget, schema: str, query: str) -> list[tuple[Any, ...]]:
    """Rows of a query on the tables of the default graph, asked of an ontology's own schema."""
    with connected(target) as connection:
        path = sql.SQL("set search_path to {}").format(sql.Identifier(schema))
        connection.execute(path)
        # EFO's tables are called the same everywhere.
        own = query if schema == "efo" else query.replace("efo_", "")
        return connection.execute(own).fetchall()


@contextmanager
def own_database(server: DatabaseTarget, template: str = "template1") -> Iterator[DatabaseTarget]:
    """A database of its own, empty or a copy of another, for an owner who is no superuser."""
    name = f"t{os.getpid()}_{next(_numbers)}"
    options = [sql.Identifier(each) for each in (name, OWNER, template)]
    with connected(server, autocommit=True) as admin:
        # Copying files is three times as fast as writing all of them ahead to the log.
        create = sql.SQL("create database {} owner {} template {} strategy file_copy")
        admin.execute(create.format(*options))
        try:
            yield DatabaseTarget({**server.parameters, "dbname": name, "user": OWNER})
        finally:
            admin.execute(sql.SQL("drop database {} with (force)").format(options[0]))
