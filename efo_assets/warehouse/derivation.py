"""Tables that SQL makes from the staged ones, in the schema of the same load.

Most are one statement, `derive_<table>`. Chains of replacements and ancestors take a
statement per step, so that no statement runs for ever on data that goes in circles.
"""

import sys
import time
from collections.abc import Callable, Mapping

from efo_assets.errors import WarehouseError
from efo_assets.privacy.logs import logger
from efo_assets.warehouse.session import Connection
from efo_assets.warehouse.statements import compose, statement
from efo_assets.warehouse.tables import ANCESTORS, REPLACEMENTS, Table

FEW_EDGES = 8
"""With fewer than one in so many edges left, an index costs less than reading all ancestors."""

MOST_LEVELS = 500
"""EFO has some thirty. Rows grow with the square of a chain's length: one of all terms would be
billions."""

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
    """Derive ancestors from the roots down: a term's turn comes after its parents'.

    Edges on a cycle are left out, or the terms below it would never get a turn; a check of the
    audit reports them.
    """
    connection.execute(statement("closure_edges", load=load_schema))
    (left,) = connection.row("select count(*) from pg_temp.efo_closure_edges")
    few, is_indexed, levels = left // FEW_EDGES, False, 0
    while left:
        levels += 1
        if levels > MOST_LEVELS:
            raise WarehouseError(
                f"The parents of one term or more form a chain of over {MOST_LEVELS} levels, which "
                "is no classification: nothing was published and the last release stays; look at "
                "the ontology's parents in OLS, and run again when they are mended."
            )
        if left <= few and not is_indexed:
            # The last generations are small, and each would read all ancestors so far.
            connection.execute(statement("closure_index", load=load_schema))
            is_indexed = True
        done = _generation(connection, load_schema) or _break_cycles(connection)
        left -= done
    if is_indexed:
        connection.execute(compose("drop index {}", (load_schema, "ancestors_by_term")))
    connection.execute("drop table pg_temp.efo_closure_edges, pg_temp.efo_closure_ready")


def _generation(connection: Connection, load_schema: str) -> int:
    """Derive the ancestors of terms whose parents have theirs; return the number of their edges."""
    connection.execute(statement("closure_ready"))
    connection.execute("analyze pg_temp.efo_closure_ready")
    connection.execute(statement("closure_level", load=load_schema))
    return connection.execute(statement("closure_done")).rowcount


def _break_cycles(connection: Connection) -> int:
    """Drop the edges that are left and lie on a cycle, or between two; return their number."""
    connection.execute("create temporary table efo_cycle_edges as table pg_temp.efo_closure_edges")
    peel(connection)
    broken = connection.execute(statement("closure_break")).rowcount
    connection.execute("drop table pg_temp.efo_cycle_edges")
    return broken


def peel(connection: Connection) -> None:
    """Leave in `efo_cycle_edges` (child, parent) those on a cycle, or between two.

    Edges whose child is no parent, or whose parent is no child, are peeled off until none is left.
    """
    connection.execute("analyze pg_temp.efo_cycle_edges")
    peeled = 1
    while peeled:
        peeled = sum(
            connection.execute(statement(f"cycle_peel_{side}")).rowcount
            for side in ("leaves", "roots")
        )


_STEPS: Mapping[str, Callable[[Connection, str], None]] = {
    REPLACEMENTS.staged_name: _replacements,
    ANCESTORS.staged_name: _ancestors,
}
