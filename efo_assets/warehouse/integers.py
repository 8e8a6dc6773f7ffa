"""Millions of integers from PostgreSQL, as texts of some thousands: no row or object for each."""

import sys
from array import array
from collections.abc import Iterator
from typing import TypeAlias

from psycopg import sql
from psycopg.rows import TupleRow

from efo_assets.warehouse.session import Connection
from efo_assets.warehouse.statements import compose

Integers: TypeAlias = "array[int]"


def in_pieces(connection: Connection, query: sql.Composed) -> Iterator[TupleRow]:
    """The rows of a query, one after the other and never all; within a transaction."""
    # By hand, since psycopg's cursor stays open, and complains later, where its end fails.
    connection.execute(compose("declare efo_pieces no scroll cursor for {}", query))
    while rows := connection.execute("fetch efo_pieces", binary=True).fetchall():
        yield from rows
    connection.execute("close efo_pieces")


def of_text(text: bytes, kind: str = "q") -> Integers:
    """The integers of 8 bytes that `int8send` wrote; `Q` for such as have no sign."""
    integers = array(kind, text)
    if sys.byteorder == "little":  # PostgreSQL sends the other order
        integers.byteswap()
    return integers
