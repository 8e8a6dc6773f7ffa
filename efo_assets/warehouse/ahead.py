"""Keys, indexes and statistics of a first release, built before it is published.

Its staged tables become the published ones, with all that stands on them (`merge.fill_missing`).
Each is built by a transaction of its own, so that one that fails or dies costs its time alone: the
publisher makes what isn't there, and what rows refuse, the audit names.
"""

import sys
from queue import SimpleQueue

import psycopg
from psycopg import sql

from efo_assets.errors import SchemaDrift
from efo_assets.privacy.logs import logger
from efo_assets.warehouse.load import Load
from efo_assets.warehouse.preflight import refuse_taken_names
from efo_assets.warehouse.session import Connection
from efo_assets.warehouse.statements import (
    analyze_ahead,
    create_index,
    create_key,
    key_constraints,
    refer_to_terms,
    statement,
)
from efo_assets.warehouse.tables import COPIED, PARENT_EDGES, TABLES, Table
from efo_assets.warehouse.views import FOLDS, create_views

MOVED = tuple(table for table in TABLES if not table.is_history)
EARLY = tuple(table for table in COPIED if table is not PARENT_EDGES)
"""Whose rows are there before the load is sealed, which only reads them."""

_log = logger(__name__)


class Ahead:
    """What is left to build, for several connections."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._left: SimpleQueue[sql.Composed | None] = SimpleQueue()

    def add_indexes(self, table: Table) -> None:
        """Keys and indexes of a staged table, which is full."""
        place, schema = (self._load.schema, table.staged_name), self._load.target_schema
        for name, _, columns in key_constraints(schema, table):
            self._left.put(create_key(self._load.schema, table, name, columns))
        for index in table.indexes:
            self._left.put(create_index(schema, table, index, place))

    def add_rest(self) -> None:
        """What needs the rows or the keys of all tables; nothing comes after it."""
        for table in MOVED:
            if table not in EARLY:
                self.add_indexes(table)
        for table in MOVED:
            for reference in refer_to_terms(self._load.schema, self._load.target_schema, table):
                self._left.put(reference)
            self._left.put(analyze_ahead(self._load.schema, table))
        self.end()

    def end(self) -> None:
        """Let each connection end that finds nothing left."""
        self._left.put(None)

    def build(self, connection: Connection) -> None:
        """Take what is left, until nothing comes any more."""
        while (step := self._left.get()) is not None:
            try:
                with connection.transaction():
                    connection.execute(statement("bulk_session"))
                    # They wait for each other, and nothing waits for them.
                    connection.execute("set local lock_timeout = '1min'")
                    connection.execute(step)
                sys.audit("efo_assets.key_built")
            except psycopg.Error as error:
                _log.info("left to the publication: %s", str(error).partition("\n")[0])
                if connection.broken:
                    return
        self.end()


def planned(connection: Connection, load: Load) -> Ahead | None:
    """What to build for a load that is to be sealed; None unless its tables are to move in."""
    schema = load.target_schema
    names = [schema.quoted(table.staged_name) for table in TABLES]
    if any(map(connection.has_table, names)):
        return None
    with connection.transaction():
        connection.execute(statement("publisher_lock"), {"schema": schema})
        try:
            refuse_taken_names(connection, schema)
        except SchemaDrift:
            return None  # the publisher refuses them, too
        # Indexes hold what these functions give.
        create_views(connection, schema, FOLDS)
    ahead = Ahead(load)
    for table in EARLY:
        ahead.add_indexes(table)
    return ahead
