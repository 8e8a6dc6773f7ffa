"""Tables that are made from the staged ones, in the schema of the same load.

Most are one statement, `derive_<table>`. Chains of replacements take a statement per step, so that
none runs for ever on data that goes in circles; ancestors are worked out in `closure`.
"""

import sys
import time
from collections.abc import Callable, Mapping

from efo_assets.privacy.logs import logger
from efo_assets.warehouse.closure import COLUMNS, Edges, ancestor_rows
from efo_assets.warehouse.session import Connection
from efo_assets.warehouse.statements import copy_staged, statement
from efo_assets.warehouse.tables import ANCESTORS, REPLACEMENTS, Table

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


def _ancestors(connection: Connection, load_schema: str) -> None:
    """Write the closure over the edges; those on a cycle are left out, and told by a check."""
    rows = ancestor_rows(Edges.read(connection, load_schema))
    query = copy_staged(load_schema, ANCESTORS, COLUMNS)
    with connection.cursor() as cursor, cursor.copy(query) as copy:
        for piece in rows:
            copy.write(piece)


_STEPS: Mapping[str, Callable[[Connection, str], None]] = {
    REPLACEMENTS.staged_name: _replacements,
    ANCESTORS.staged_name: _ancestors,
}
