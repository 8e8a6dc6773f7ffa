"""Millions of integers from PostgreSQL, as texts of some thousands: no row or object for each."""

import sys
from array import array
from collections.abc import Iterator
from typing import TypeAlias

from psycopg import sql
from psycopg.rows import TupleRow

from efo_assets.warehouse.session import Connection

Integers: TypeAlias = "array[int]"


def in_pieces(connection: Connection, query: sql.Composed) -> Iterator[TupleRow]:
    """The rows of a query, one after the other and never all; within a transaction."""
    with connection.cursor("efo_pieces") as cursor:
        cursor.itersize = 1
        yield from cursor.execute(query, binary=True)


def of_text(text: bytes, kind: str = "q") -> Integers:
    """The integers of 8 bytes that `int8send` wrote; `Q` for such as have no sign."""
    integers = array(kind, text)
    if sys.byteorder == "little":  # PostgreSQL sends the other order
        integers.byteswap()
    return integers
