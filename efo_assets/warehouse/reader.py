"""The published tables for those who may only read: one snapshot, no right to write, little time.

Every transaction is read-only and has a limit of time, in the embedded server also a role that may
read and nothing else. A connection lives for one snapshot, so that a server that went away is back
with the next one.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Self

from psycopg import errors as pg
from psycopg import sql
from psycopg.rows import dict_row

from efo_assets.errors import DatabaseUnavailable, WarehouseError
from efo_assets.settings import DatabaseTarget, Settings
from efo_assets.warehouse import preflight, serving, session
from efo_assets.warehouse.embedded import is_made
from efo_assets.warehouse.ledger import WATCHER_PATIENCE_S
from efo_assets.warehouse.schema import Schema
from efo_assets.warehouse.session import Connection
from efo_assets.warehouse.statements import compose, statement
from efo_assets.warehouse.warehouse import Warehouse

TIMEOUT_S = 10
"""Of one statement."""
MOST_CONNECTIONS = 4

Row = dict[str, Any]
_DOING = "asking the published tables"
_TOLD = (pg.NoDataFound, pg.InvalidParameterValue, pg.CardinalityViolation)
"""What functions of the schema raise with a sentence of their own."""
_LACKING = (pg.UndefinedColumn, pg.UndefinedFunction, pg.UndefinedTable)


class Snapshot:
    """What stands at one moment."""

    def __init__(self, connection: Connection, schema: Schema, release: Row) -> None:
        self._connection = connection
        self._schema = schema
        self.release = release
        """Ontology, version, number and date of the release that stands."""

    def rows(self, name: str, /, **values: object) -> list[Row]:
        """The answer to a statement of `sql/reader.sql`, by its name."""
        with self._connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(statement(name, **self._schema.parts), values).fetchall()


class Reader:
    """Gives snapshots of one schema, a few at a time."""

    def __init__(self, open_warehouse: Callable[[], Warehouse], role: str | None = None) -> None:
        """`role` is one that connections act as."""
        self._open = open_warehouse
        self._warehouse: Warehouse | None = None
        self._role = role
        self._opening = threading.Lock()
        self._free = threading.BoundedSemaphore(MOST_CONNECTIONS)

    @classmethod
    @contextmanager
    def opened(cls, settings: Settings) -> Iterator[Self]:
        """Of the configured PostgreSQL, or of the embedded one, as its role that reads.

        It is opened with the first snapshot, so that what is in the way is told where one is asked
        for.
        """
        role = serving.ROLE if settings.database is None else None
        with ExitStack() as stack:
            yield cls(lambda: stack.enter_context(_opened(settings)), role)

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """What stands now.

        Raises:
            WarehouseError: PostgreSQL can't be reached or refuses, nothing is published, an earlier
                version of this project did it, or a statement took too long.
        """
        with self._opening:
            warehouse = self._warehouse = self._warehouse or self._open()
        with self._free, ExitStack() as stack:
            try:
                connection = self._connected(warehouse.target)
            except DatabaseUnavailable:
                if self._role is None:
                    raise
                # Somebody stopped the embedded server, which opening starts again.
                with self._opening:
                    warehouse = self._warehouse = self._open()
                connection = self._connected(warehouse.target)
            stack.enter_context(session.translated(warehouse.target, _DOING))
            stack.enter_context(connection)
            try:
                with connection.transaction():
                    schema = preflight.named(
                        connection, warehouse.schema_name, warehouse.ontology, warehouse.ancestors
                    )
                    yield Snapshot(connection, schema, _release(connection, schema, warehouse))
            except _TOLD as error:
                raise WarehouseError(error.diag.message_primary) from error
            except _LACKING as error:
                raise WarehouseError(
                    f"What stands in schema {warehouse.schema_name} was published by an earlier "
                    "version of efo_assets and lacks what is asked for: the next load adds it."
                ) from error
            except pg.QueryCanceled as error:
                raise WarehouseError(
                    f"The answer took longer than {TIMEOUT_S} s and was given up: ask for less, or "
                    "again when PostgreSQL has less to do."
                ) from error

    def _connected(self, target: DatabaseTarget) -> Connection:
        connection = session.connect(target, patience_s=WATCHER_PATIENCE_S)
        limits = statement("reader_settings", timeout_ms=sql.Literal(TIMEOUT_S * 1000))
        if self._role is not None:
            limits += compose(";\nset local role {}", self._role)
        connection.settings += sql.SQL(";\n") + limits
        return connection


@contextmanager
def _opened(settings: Settings) -> Iterator[Warehouse]:
    if settings.database is None and not is_made(settings.data_dir):
        raise DatabaseUnavailable(
            f"EFO_DATABASE_URL is not set, and {settings.data_dir} holds no embedded PostgreSQL "
            "yet: load a release first, or set one of EFO_DATABASE_URL and EFO_DATA_DIR."
        )
    with Warehouse.opened(settings) as warehouse:
        if settings.database is None:
            with session.connect(warehouse.target) as connection:
                serving.make_role(connection)
        yield warehouse


def _release(connection: Connection, schema: Schema, warehouse: Warehouse) -> Row:
    if connection.has_table(schema.quoted("release")):
        for release in Snapshot(connection, schema, {}).rows("told_release"):
            return release
    raise WarehouseError(warehouse.nothing_published)
