"""Connections: opening one, saying clearly why not, and what must hold before any work.

Every connection of the project is made by `connect`. `prepared` checks privileges, encoding,
server version and the columns of our tables, and makes or migrates `efo_meta`, before anything is
downloaded.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any, TypeAlias

import psycopg
import stamina
from psycopg import errors as pg
from psycopg import sql
from psycopg.rows import TupleRow

from efo_assets.errors import (
    ConnectionLost,
    DatabaseFull,
    DatabaseRefused,
    DatabaseUnavailable,
    LoadInProgress,
    SchemaDrift,
    WarehouseError,
)
from efo_assets.privacy.logs import logger
from efo_assets.settings import DatabaseTarget
from efo_assets.warehouse import migrations
from efo_assets.warehouse.connection import Session, unique_name
from efo_assets.warehouse.statements import key_constraints, statement
from efo_assets.warehouse.tables import TABLES, TERM_ID, Column, Table

Connection: TypeAlias = Session

CONNECT_TIMEOUT_S = 10
CONNECT_PATIENCE_S = 60.0
"""A server that is down, starting up or out of connections is waited for this long."""
LOCK_TIMEOUT_MS = 5_000
IDLE_TIMEOUT_MS = 600_000
SERVER_KEEPALIVE = {
    "keepalive_idle_s": 30,
    "keepalive_interval_s": 10,
    "keepalive_count": 3,
    "user_timeout_ms": 60_000,
}
"""When the server gives a client up whose machine vanished: within two minutes."""
OLDEST_SERVER = 140_000
"""hash_record_extended came with PostgreSQL 14."""
_HAS_TRANSACTION_TIMEOUT = 170_000
_FIRST_REPETITION = 2
NOTHING_LOST = "nothing was lost: downloaded pages and the published release stay as they are"

_log = logger(__name__)

# The default hook prints what libpq said on every attempt; the last attempt's text is enough.
stamina.instrumentation.set_on_retry_hooks([])

_SESSION_OPTIONS = {
    "application_name": "efo_assets",
    "client_encoding": "UTF8",
    "connect_timeout": CONNECT_TIMEOUT_S,
    # A peer that vanished without a FIN is noticed within a minute.
    "keepalives_idle": 20,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
_PASSING = re.compile(
    "refused|starting up|shutting down|in recovery|not yet accepting connections|No such file"
    "|timeout expired|too many (clients|connections)|remaining connection slots"
    "|closed the connection unexpectedly|Temporary failure|reset by peer|timed out|unreachable"
    # What PgBouncer says of the server behind it.
    "|no more connections allowed|cannot connect to server|server login has been failing"
    "|server_login_retry|query_wait_timeout"
)
_REFUSALS = (
    (re.compile(r"password authentication failed|no password supplied|SASL"), "the password"),
    (re.compile(r'role "[^"]*" (does not exist|is not permitted)'), "the role"),
    (re.compile(r'database "[^"]*" does not exist'), "the database name"),
    (re.compile(r"no pg_hba.conf entry|Peer authentication failed"), "this client (pg_hba.conf)"),
    (re.compile(r"SSL|certificate"), "the encryption of the link"),
    (re.compile(r"could not translate host name|resolve host"), "the host name"),
    (re.compile(r"permission denied"), "the privilege to connect"),
)


def connect(target: DatabaseTarget, *, patience_s: float | None = None) -> Connection:
    """Open a connection in autocommit, with time limits and a search path of our own.

    `patience_s` is in seconds, `CONNECT_PATIENCE_S` where none is given.

    Raises:
        DatabaseRefused: PostgreSQL answered no; asking again would not help.
        DatabaseUnavailable: no answer within the patience.
    """
    options = {**_SESSION_OPTIONS, **target.parameters}
    with _connection_failures(target):
        for attempt in stamina.retry_context(
            on=_is_passing,
            attempts=None,
            timeout=CONNECT_PATIENCE_S if patience_s is None else patience_s,
            wait_initial=0.1,
            wait_max=2.0,
        ):
            with attempt:
                if attempt.num == _FIRST_REPETITION:
                    _log.warning("waiting for PostgreSQL at %s", target.place)
                connection = Session.connect(**options, autocommit=True)  # type: ignore[arg-type]
    # Behind a pooler in transaction mode the next execution may meet another server session.
    connection.prepare_threshold = None
    connection.name = unique_name()
    connection.settings = _transaction_settings(connection)
    return connection


def _transaction_settings(connection: Connection) -> sql.Composed:
    values = {
        "session_name": connection.name,
        "lock_timeout_ms": LOCK_TIMEOUT_MS,
        "idle_timeout_ms": IDLE_TIMEOUT_MS,
        **SERVER_KEEPALIVE,
    }
    literals = {key: sql.Literal(value) for key, value in values.items()}
    settings = statement("transaction_settings", **literals)
    if connection.info.server_version >= _HAS_TRANSACTION_TIMEOUT:
        settings += sql.SQL(";\nset local transaction_timeout = 0")
    return settings


def is_lost(error: psycopg.Error) -> bool:
    """Whether the connection is gone, whatever had been sent over it."""
    if isinstance(error, psycopg.OperationalError):
        # 08: connection exceptions; 57P01-57P05: the server, or somebody, ended the session.
        return error.sqlstate is None or error.sqlstate.startswith(("08", "57P"))
    return isinstance(error, (psycopg.InterfaceError, pg.IdleInTransactionSessionTimeout))


def end_left_behind(connect_again: Callable[[], Connection], lost: Connection) -> None:
    """End the server session of a connection that was lost, and wait until it has ended.

    Where the link is cut without a word the server goes on for a while: it keeps its locks, and
    what it commits then is not in the ledger yet.
    """
    with connect_again() as connection:
        connection.execute(statement("left_behind_end"), [lost.name])


def _is_passing(error: Exception) -> bool:
    return isinstance(error, psycopg.OperationalError) and bool(_PASSING.search(str(error)))


@contextmanager
def _connection_failures(target: DatabaseTarget) -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        reason = _first_line(error, target.parameters)
        for pattern, what in _REFUSALS:
            if pattern.search(str(error)):
                raise DatabaseRefused(
                    f"PostgreSQL at {target.place} does not accept {what} ({reason}): "
                    f"{NOTHING_LOST}; correct EFO_DATABASE_URL and run again."
                ) from None
        raise DatabaseUnavailable(
            f"PostgreSQL at {target.place} cannot be reached ({reason}): {NOTHING_LOST}; "
            f"start it or correct EFO_DATABASE_URL, then run again."
        ) from None


def _first_line(error: psycopg.Error, parameters: Mapping[str, str]) -> str:
    """The gist of libpq's message, without the password should it ever hold one."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    gist = re.split(r"FATAL:|failed:", lines[0])[-1].strip() if lines else type(error).__name__
    return gist.replace(parameters.get("password") or "\0", "***")[:300]


@contextmanager
def translated(target: DatabaseTarget, doing: str) -> Iterator[None]:
    """Turn what PostgreSQL raises while `doing` something into one sentence of ours."""
    try:
        yield
    except (pg.DiskFull, pg.OutOfMemory) as error:
        raise DatabaseFull(
            f"PostgreSQL at {target.place} has no space left while {doing} ({_gist(error)}): "
            f"{NOTHING_LOST}; free some and run again."
        ) from error
    except pg.LockNotAvailable as error:
        raise LoadInProgress(
            f"Another session holds a lock in {target.place} that {doing} needs, for longer than "
            f"{LOCK_TIMEOUT_MS / 1000:.0f} s: {NOTHING_LOST}; end that session or run again later."
        ) from error
    except pg.QueryCanceled as error:
        raise WarehouseError(
            f"PostgreSQL at {target.place} was told to stop while {doing} (57014: "
            f"{_gist(error)}): {NOTHING_LOST}; run again."
        ) from error
    except (pg.InsufficientPrivilege, pg.ReadOnlySqlTransaction) as error:
        raise DatabaseRefused(
            f"PostgreSQL at {target.place} does not allow {doing} ({_gist(error)}): "
            f"{NOTHING_LOST}; grant what is missing and run again."
        ) from error
    except (pg.UndefinedTable, pg.InvalidSchemaName) as error:
        raise WarehouseError(
            f"A table was dropped in {target.place} while {doing} ({_gist(error)}): "
            f"{NOTHING_LOST}; run again."
        ) from error
    except psycopg.IntegrityError as error:
        raise WarehouseError(
            f"A constraint in {target.place}, {error.diag.constraint_name or 'without a name'} on "
            f"{error.diag.table_name}, refuses a row while {doing} ({_gist(error)}): "
            f"{NOTHING_LOST}; remove it, if it isn't of efo_assets, and run again."
        ) from error
    except psycopg.Error as error:
        if is_lost(error):
            raise _lost(target, doing, error) from error
        if isinstance(error, psycopg.OperationalError):
            raise WarehouseError(f"PostgreSQL failed while {doing}: {_gist(error)}.") from error
        raise


def _lost(target: DatabaseTarget, doing: str, error: psycopg.Error) -> ConnectionLost:
    return ConnectionLost(
        f"The connection to PostgreSQL at {target.place} was lost while {doing} "
        f"({_first_line(error, target.parameters)}): {NOTHING_LOST}; run again."
    )


def _gist(error: psycopg.Error) -> str:
    return (error.diag.message_primary or str(error)).strip()[:300]


def prepared(connection: Connection, schema: str) -> None:
    """Check all that a load needs of this server, and make `efo_meta` and the target schema.

    Raises:
        DatabaseRefused: version, encoding, read-only server, a missing privilege (the message
            names the GRANT), or tables of a later version of this project.
        SchemaDrift: a published table isn't as its specification says; the message lists how.
    """
    checks = (_check_link, _check_server, _check_privileges, _check_version, _check_columns)
    for check in checks:
        check(connection, schema)
    with connection.transaction():
        migrations.apply(connection)
        connection.execute(sql.SQL("create schema if not exists {}").format(sql.Identifier(schema)))


def _check_link(connection: Connection, schema: str) -> None:
    del schema
    if not connection.pgconn.ssl_in_use and not _is_local(connection.info.host):
        _log.warning(
            "the link to PostgreSQL at %s is not encrypted: add sslmode=verify-full to "
            "EFO_DATABASE_URL (and sslrootcert where its certificate is your own)",
            connection.info.host,
        )


def _is_local(host: str) -> bool:
    """Whether a host is this machine: a socket's folder, or a loopback address."""
    if not host or host.startswith(("/", "@")) or host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _check_server(connection: Connection, schema: str) -> None:
    del schema
    found = _one(
        connection,
        "select current_setting('server_version_num')::int, current_setting('server_encoding'),"
        " pg_is_in_recovery() or current_setting('transaction_read_only')::bool",
    )
    version, encoding, read_only = found
    if version < OLDEST_SERVER:
        raise DatabaseRefused(f"PostgreSQL 14 or newer is needed; this server is {version}.")
    if encoding != "UTF8":
        raise DatabaseRefused(
            f"The database's encoding is {encoding}, and EFO's text needs UTF8: create one with "
            "`create database … encoding 'UTF8' template template0`."
        )
    if read_only:
        raise DatabaseRefused(
            "The server is read-only (a standby, or default_transaction_read_only): "
            "point EFO_DATABASE_URL at the primary."
        )


def _check_version(connection: Connection, schema: str) -> None:
    del schema
    migrations.refuse_newer(connection)


def _check_privileges(connection: Connection, schema: str) -> None:
    values = [schema, [table.name for table in TABLES]]
    missing = [
        f"{needed} (ask its owner: {remedy})"
        for needed, remedy, held in _one_set(connection, statement("privileges"), values)
        if not held
    ]
    if missing:
        raise DatabaseRefused(
            f"The role lacks {'; '.join(missing)}. Nothing was downloaded or changed."
        )


def _check_columns(connection: Connection, schema: str) -> None:
    published = published_format(connection, schema)
    differences = [
        difference
        for table in TABLES
        for difference in _drift(connection, schema, table, published)
    ]
    if differences:
        raise SchemaDrift(
            f"The published tables are not as this version expects: {'; '.join(differences)}. "
            "Nothing was downloaded or changed; undo the change, or move the table away."
        )


def published_format(connection: Connection, schema: str) -> int:
    """The format of the staged rows that the standing release was made from; 1 without one."""
    if connection.execute("select to_regclass('efo_meta.releases')").fetchone() == (None,):
        return 1
    row = connection.execute(statement("published_format"), [schema]).fetchone()
    return int(row[0]) if row else 1


def _drift(connection: Connection, schema: str, table: Table, published: int) -> Iterator[str]:
    """How a published table differs from its specification; extra nullable columns are fine.

    So are columns that came after the release that stands: the next publication adds them.
    """
    rows = _one_set(connection, statement("columns"), [schema, table.name])
    found = {name: (kind, required, filled) for name, kind, required, filled in rows}
    if not found:
        return
    for column in table.published_columns:
        if column.since > published and column.name not in found:
            continue
        difference = _difference(column, *found.pop(column.name, (None, False, False)))
        if difference:
            yield f"{table.name}.{column.name} {difference}"
    for name, (_, required, filled) in found.items():
        if required and not filled:
            yield f"{table.name}.{name} is not ours and NOT NULL without a default"
    held = {
        tuple(columns)
        for (columns,) in _one_set(connection, statement("keys"), [schema, table.name])
    }
    for name, kind, columns in key_constraints(table):
        if tuple(sorted(columns)) not in held:
            yield f"{table.name} lacks its {kind} {name} ({', '.join(columns)})"


def _difference(column: Column, kind: str | None, required: object, filled: object) -> str:
    """How a column found in PostgreSQL differs from its specification; empty if it doesn't."""
    if kind is None:
        return "is missing"
    if kind != column.type:
        return f"is {kind} and should be {column.type}"
    if required and column.nullable:
        return "is NOT NULL and should not be"
    if column is TERM_ID and not filled:
        return "is no identity any more"
    return ""


def _one(connection: Connection, query: str) -> TupleRow:
    row = connection.execute(query).fetchone()
    if row is None:  # an aggregate or a SELECT without FROM always gives one
        raise WarehouseError("PostgreSQL gave no answer.")
    return row


def _one_set(connection: Connection, query: sql.Composed, values: list[Any]) -> list[TupleRow]:
    return connection.execute(query, values).fetchall()
