"""Who holds a lock that publishing waited for in vain, in words fit to be shown."""

import re
from collections.abc import Callable
from contextlib import suppress

import psycopg
from psycopg.rows import TupleRow

from efo_assets.errors import WarehouseError
from efo_assets.warehouse.schema import Schema
from efo_assets.warehouse.session import Connection
from efo_assets.warehouse.statements import statement
from efo_assets.warehouse.tables import TABLES
from efo_assets.warehouse.views import WORDS, views_of

QUERY_LIMIT_CHARS = 200

# PostgreSQL cuts a long query, so that its last literal may have no end.
_LITERAL = re.compile(r"(\$\w*\$).*?(\1|\Z)|'(?:[^']|'')*('|\Z)", re.DOTALL)


def without_literals(query: str) -> str:
    """A query on one line without its literals, which may hold a password."""
    bare = " ".join(_LITERAL.sub("'…'", query).split())
    printable = "".join(each for each in bare if each.isprintable())
    return printable[:QUERY_LIMIT_CHARS] + ("…" if len(printable) > QUERY_LIMIT_CHARS else "")


def lock_holders(connect: Callable[[], Connection], schema: Schema, load_schema: str) -> str:
    """Which sessions hold, or may hold, a lock that publishing a load into `schema` needs.

    Process, role, client and query of each; empty if there is none any more, or PostgreSQL gives
    no answer.
    """
    names = [schema.called(table.staged_name) for table in TABLES]
    names += [view.called(schema) for view in (*views_of(schema), WORDS)]
    rows: list[TupleRow] = []
    with suppress(psycopg.Error, WarehouseError), connect() as connection:
        values = {"schema": schema, "load": load_schema, "relations": names}
        rows = connection.execute(statement("lock_holders"), values).fetchall()
    if not rows:
        return ""
    sessions = " and ".join(
        f"PostgreSQL's process {pid} of {role} from {client} (`{without_literals(query)}`)"
        for _, pid, role, client, query in rows
    )
    is_certain = rows[0][0] and len(rows) == 1
    return f"{sessions} {'holds' if is_certain else 'may hold'} a lock"
