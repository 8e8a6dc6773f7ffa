"""A plain connection to a database of the tests, as libpq's keywords say."""

from typing import Any

import psycopg

from efo_assets.settings import DatabaseTarget


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
