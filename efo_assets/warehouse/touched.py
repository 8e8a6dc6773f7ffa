"""Which terms a load touches: told by a hash of each class's rows, without a look at the rows.

A published load keeps these hashes until the next is published. What they tell is trusted only as
far as it is proven: the publisher compares whole tables by their hash before it commits, and looks
at all rows where they are not as they should be.
"""

from collections.abc import Mapping

from psycopg import sql

from efo_assets.warehouse.schema import Schema
from efo_assets.warehouse.session import Connection
from efo_assets.warehouse.statements import Name, compose, staged_hash, statement
from efo_assets.warehouse.tables import (
    ANCESTORS,
    CLASS_HASH_COLUMNS,
    CLASS_HASHES,
    COPIED,
    FORMAT_VERSION,
    PARENT_EDGES,
)

TOUCHED, MOVED = "efo_touched", "efo_moved"
"""Temporary tables of terms: those with other rows, and those that may have other ancestors."""


def find_touched(
    connection: Connection, load_schema: str, target: Schema, base_release: int | None
) -> bool:
    """Make `TOUCHED` for this transaction; False where nothing sound tells what it should hold."""
    values = {
        "base_release": base_release,
        "format_version": FORMAT_VERSION,
        "copied": [table.staged_name for table in COPIED],
    }
    query = statement("base_load", class_hashes=sql.Literal(CLASS_HASHES))
    row = connection.execute(query, values).fetchone()
    if row is None:
        return False
    base, tie = f"efo_load_{row[0]}", row[1]
    found = connection.row(staged_hash((base, CLASS_HASHES), CLASS_HASH_COLUMNS))
    if ":".join(map(str, found)) != tie:
        return False
    parts = _published(target)
    connection.execute(
        statement("touched_make", load=load_schema, base=base, class_hashes=CLASS_HASHES, **parts)
    )
    return True


def find_compared(
    connection: Connection, load_schema: str, target: Schema, base_release: int | None
) -> bool:
    """Make `TOUCHED` and `MOVED` before a published table is written; False as `find_touched`."""
    is_known = find_touched(connection, load_schema, target, base_release)
    if is_known:
        connection.execute(statement("moved_make", load=load_schema, **_published(target)))
    return is_known


def _published(target: Schema) -> Mapping[str, tuple[str, str]]:
    """The tables that are compared."""
    return {
        "parent_edges": target.of(PARENT_EDGES.staged_name),
        "ancestors": target.of(ANCESTORS.staged_name),
    }


def among(terms: str | None, column: Name) -> sql.Composable:
    """Condition that a column is a term of one of these tables; without one, always true."""
    if terms is None:
        return sql.SQL("true")
    return compose("{} in (select term_id from {})", column, ("pg_temp", terms))
