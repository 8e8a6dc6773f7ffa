"""Tables that are made from the staged ones, in the schema of the same load.

Most are one statement, `derive_<table>`. Chains of replacements take a statement per step, so that
none runs for ever on data that goes in circles; ancestors are worked out in `closure`, by a thread
beside the statements.
"""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice

from efo_assets.privacy.logs import logger
from efo_assets.warehouse.closure import COLUMNS, Edges, ancestor_rows
from efo_assets.warehouse.session import Connection
from efo_assets.warehouse.statements import copy_into, statement
from efo_assets.warehouse.tables import ANCESTORS, REPLACEMENTS, Table

PIECES_AT_ONCE = 256
"""Of `closure.PIECE_BYTES`: more than the ancestors of EFO, and few enough to be held twice."""

_log = logger(__name__)


def derive(connection: Connection, load_schema: str, table: Table) -> None:
    """Fill one derived table of a load, whose other tables are full and analyzed."""
    began = time.monotonic()
    make = _STEPS.get(table.staged_name)
    if make is None:
        connection.execute(statement(f"derive_{table.staged_name}", load=load_schema))
    else:
        make(connection, load_schema)
    seconds = time.monotonic() - began
    sys.audit("efo_assets.step_ended", f"derive {table.staged_name}", seconds)
    _log.info("derived %s.%s in %.2f s", load_schema, table.staged_name, seconds)


def _replacements(connection: Connection, load_schema: str) -> None:
    """Follow every replacement until it ends; a class is entered once per start and kind."""
    connection.execute(statement("replacement_steps", load=load_schema))
    hops = 0
    while connection.execute(statement("replacement_step"), {"hops": (hops := hops + 1)}).rowcount:
        pass
    connection.execute(statement("replacement_rows", load=load_schema))
    connection.execute("drop table pg_temp.efo_values, pg_temp.efo_steps")


@contextmanager
def ancestors_under_way(
    connection: Connection, load_schema: str, *, only_parents: bool = False
) -> Iterator[Iterator[bytes]]:
    """The closure over the edges as COPY's bytes, worked out while the connection does other work.

    Edges on a cycle are left out, and told by a check. With `only_parents`, the edges that are
    followed are all.
    """
    rows = ancestor_rows(Edges.read(connection, load_schema), only_parents=only_parents)
    with ThreadPoolExecutor(1, "efo-closure") as thread:
        batch = thread.submit(list, islice(rows, PIECES_AT_ONCE))

        def pieces() -> Iterator[bytes]:
            nonlocal batch
            while taken := batch.result():
                batch = thread.submit(list, islice(rows, PIECES_AT_ONCE))
                yield from taken

        yield pieces()


def copy_ancestors(connection: Connection, load_schema: str, rows: Iterator[bytes]) -> None:
    """Fill the table of ancestors."""
    query = copy_into((load_schema, ANCESTORS.copied_name), COLUMNS)
    with connection.cursor() as cursor, cursor.copy(query) as copy:
        for piece in rows:
            copy.write(piece)


_STEPS: Mapping[str, Callable[[Connection, str], None]] = {
    REPLACEMENTS.staged_name: _replacements,
}
