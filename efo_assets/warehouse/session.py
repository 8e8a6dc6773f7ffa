"""Connections to PostgreSQL: opening one, and saying in one sentence what went wrong over it.

Every connection of the project is made by `connect`. A pooler in transaction mode gives each
transaction a server session of its own, and hands ours to others afterwards. So nothing here
outlives a transaction: no setting, no prepared statement, no lock, no temporary table.
"""

import ctypes
import os
import re
import secrets
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, NamedTuple, Self

import psycopg
from psycopg import errors as pg
from psycopg import pq, sql
from psycopg.abc import PQGenConn
from psycopg.pq import PollingStatus, TransactionStatus
from psycopg.rows import TupleRow
from psycopg.waiting import Wait

from efo_assets import errors
from efo_assets.privacy.logs import logger
from efo_assets.settings import DatabaseTarget
from efo_assets.warehouse.statements import compose, statement

CONNECT_TIMEOUT_S = 10
FIRST_CONNECT_TIMEOUT_S = 3
"""A server that gives no answer at all is told of when the first try ends."""
CONNECT_PATIENCE_S = 60.0
"""How long to wait for a server that is down, starting up or out of connections."""
LOCK_TIMEOUT_MS = 5_000
IDLE_TIMEOUT_MS = 600_000
SERVER_KEEPALIVE = {
    "keepalive_idle_s": 30,
    "keepalive_interval_s": 10,
    "keepalive_count": 3,
    "user_timeout_ms": 60_000,
}
"""When the server gives a client up whose machine vanished: within two minutes."""
NAME_LIMIT_BYTES = 63
"""PostgreSQL cuts a longer application_name."""
NOTHING_LOST = "nothing was lost: downloaded pages and the published release stay as they are"

_LANGUAGE = "PL/"
"""How PL/pgSQL, PL/Perl and PL/Python name themselves in a context, whatever `lc_messages` is."""
_HAS_TRANSACTION_TIMEOUT = 170_000
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 2.0

_log = logger(__name__)

_SESSION_OPTIONS = {
    "application_name": "efo_assets",
    "client_encoding": "UTF8",
    # A peer that vanished without a FIN is noticed within a minute.
    "keepalives_idle": 20,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
_VERBOSE, _DEFAULT = 2, 1
"""libpq's PGVerbosity."""
_CODED = re.compile(r":  ([0-9A-Z]{5}): (.*)")
"""SQLSTATE and text in libpq's verbose messages; only the word before them is translated."""
_STARTING = ("is starting up or shutting down", "wait until it is up")
_BUSY = {
    "53300": ("has no connection left", "end other sessions, or raise the limit"),
    "57P01": _STARTING,
    "57P02": _STARTING,
    "57P03": _STARTING,
}
"""SQLSTATEs of what passes, with what it is and what helps."""
_REFUSED = {
    "28P01": "the password",
    "28000": "the role or this client (pg_hba.conf)",
    "3D000": "the database name",
    "42501": "the privilege to connect",
}
# The words decide only without such a code: libpq's own (a process in Python keeps them English),
# and PgBouncer's, whose code is 08P01 for nearly everything.
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


class _Failure(NamedTuple):
    kinds: tuple[type[psycopg.Error], ...]
    raised: type[errors.WarehouseError]
    sentence: str
    is_of_users: bool = False
    """Whether it is such a failure only where a function of a user's ran."""


_FAILURES = (
    _Failure(
        (pg.DiskFull, pg.OutOfMemory),
        errors.DatabaseFull,
        "PostgreSQL at {place} has no space left while {doing} ({reason}): {nothing_lost}; free "
        "some and run again.",
    ),
    _Failure(
        (pg.LockNotAvailable,),
        errors.LoadInProgress,
        "Another session holds a lock in {place} that {doing} needs, for longer than "
        "{lock_timeout_s} s: {nothing_lost}; end that session or run again later.",
    ),
    _Failure(
        (pg.QueryCanceled,),
        errors.WarehouseError,
        "PostgreSQL at {place} was told to stop while {doing} (57014: {reason}): {nothing_lost}; "
        "run again.",
    ),
    _Failure(
        (psycopg.Error,),
        errors.WarehouseError,
        "A trigger in {place} refuses {doing} ({reason}; {context}): {nothing_lost}; remove it or "
        "let this role pass, and run again.",
        is_of_users=True,
    ),
    _Failure(
        (pg.InsufficientPrivilege, pg.ReadOnlySqlTransaction),
        errors.DatabaseRefused,
        "PostgreSQL at {place} does not allow {doing} ({reason}): {nothing_lost}; grant what is "
        "missing and run again.",
    ),
    _Failure(
        (pg.UndefinedTable, pg.InvalidSchemaName),
        errors.WarehouseError,
        "A table was dropped in {place} while {doing} ({reason}): {nothing_lost}; run again.",
    ),
    _Failure(
        (
            pg.DuplicateTable,
            pg.DuplicateObject,
            pg.DuplicateFunction,
            pg.WrongObjectType,
            pg.InvalidFunctionDefinition,
        ),
        errors.WarehouseError,
        "A name in {place} that {doing} needs is taken ({reason}{hint}): {nothing_lost}; rename "
        "what has it, or load into another schema (EFO_SCHEMA, `schema` of a component), and run "
        "again.",
    ),
    _Failure(
        (psycopg.IntegrityError,),
        errors.WarehouseError,
        "A constraint in {place}, {constraint} on {table}, refuses a row while {doing} ({reason}): "
        "{nothing_lost}; remove it, if it isn't of efo_assets, and run again.",
    ),
)
_LOST = (
    "The connection to PostgreSQL at {place} was lost while {doing} ({first_line}): "
    "{nothing_lost}; run again."
)
_FAILED = "PostgreSQL failed while {doing}: {reason}."


class Connection(psycopg.Connection[TupleRow]):
    """A connection that sets its options per transaction, so that it works behind a pooler.

    It is in autocommit: a statement outside a transaction gets one of its own.
    """

    name: str = ""
    """The application_name of its transactions; no other connection has it."""
    settings: sql.Composed = sql.Composed([])
    """The statements that every transaction begins with."""

    @classmethod
    def _connect_gen(cls, conninfo: str = "") -> PQGenConn[Self]:
        """Connect as psycopg does, with the SQLSTATE in the message of a refusal.

        No public API: psycopg drops it (its issue 1188), and the text may be in any language.
        """
        pgconn = pq.PGconn.connect_start(conninfo.encode())
        _set_verbosity(pgconn, _VERBOSE)
        while (status := pgconn.connect_poll()) != PollingStatus.OK:
            if status == PollingStatus.FAILED:
                message = pgconn.error_message.decode(errors="replace")
                pgconn.finish()
                raise psycopg.OperationalError(message)
            wait = Wait.R if status == PollingStatus.READING else Wait.W
            while not (yield pgconn.socket, wait):
                pass
        _set_verbosity(pgconn, _DEFAULT)
        pgconn.nonblocking = 1
        return cls(pgconn)

    @contextmanager
    def transaction(
        self,
        savepoint_name: str | None = None,
        force_rollback: bool = False,  # noqa: FBT001, FBT002  # psycopg's signature
    ) -> Iterator[psycopg.Transaction]:
        """Begin a transaction with our settings, or a savepoint within one."""
        is_outermost = self.info.transaction_status == TransactionStatus.IDLE
        with super().transaction(savepoint_name, force_rollback) as transaction:
            if is_outermost:
                super().execute(self.settings)
            yield transaction

    def execute(
        self, query: Any, params: Any = None, *, prepare: bool | None = None, binary: bool = False
    ) -> psycopg.Cursor[TupleRow]:
        """Run one statement, in a transaction of its own where there is none."""
        if self.info.transaction_status != TransactionStatus.IDLE:
            return super().execute(query, params, prepare=prepare, binary=binary)
        with self.transaction():
            return super().execute(query, params, prepare=prepare, binary=binary)

    def execute_alone(self, query: sql.Composed) -> None:
        """Run a statement that PostgreSQL refuses within a transaction, without our settings."""
        super().execute(query)

    def row(self, query: Any, params: Any = None) -> TupleRow:
        """The one row of a query that always gives one, such as an aggregate.

        Raises:
            WarehouseError: it gave none.
        """
        row = self.execute(query, params).fetchone()
        if row is None:
            raise errors.WarehouseError("PostgreSQL gave no answer.")
        return row

    def has_table(self, name: str) -> bool:
        """Whether the table of this qualified name exists, as of now."""
        # `to_regclass` alone believes a cache that may be older than a lock just waited for; to
        # read from a table, PostgreSQL brings the cache up to date.
        query = "select exists (select from pg_class where oid = to_regclass(%(name)s))"
        return self.row(query, {"name": name}) == (True,)


def connect(target: DatabaseTarget, *, patience_s: float | None = None) -> Connection:
    """Open a connection in autocommit, with time limits and a search path of our own.

    `patience_s` is in seconds; the default is `CONNECT_PATIENCE_S`.

    Raises:
        DatabaseRefused: PostgreSQL answered no; asking again would not help.
        DatabaseUnavailable: no answer within the patience.
    """
    give_up_at_s = time.monotonic() + (CONNECT_PATIENCE_S if patience_s is None else patience_s)
    connection, pause_s, timeout_s = None, _FIRST_PAUSE_S, FIRST_CONNECT_TIMEOUT_S
    while connection is None:
        try:
            parameters = {"connect_timeout": timeout_s, **_SESSION_OPTIONS, **target.parameters}
            connection = Connection.connect(**parameters, autocommit=True)  # type: ignore[arg-type]
        except psycopg.Error as error:
            left_s = give_up_at_s - time.monotonic()
            if not _is_passing(error) or pause_s > left_s:
                raise _not_connected(target, error) from None
            if pause_s == _FIRST_PAUSE_S:
                _log.warning(
                    "waiting for PostgreSQL at %s, up to %.0f s (%s)",
                    target.place,
                    left_s,
                    _first_line(target, error),
                )
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            timeout_s = CONNECT_TIMEOUT_S
    # Behind a pooler in transaction mode the next execution may meet another server session.
    connection.prepare_threshold = None
    connection.name = _unique_name()
    connection.settings = _transaction_settings(connection)
    return connection


def _set_verbosity(pgconn: pq.abc.PGconn, verbosity: int) -> None:
    """Call libpq's PQsetErrorVerbosity, which psycopg doesn't wrap."""
    # A library that is loaded is found again by its file, and libpq as one that it needs. psycopg
    # in pure Python has no such file: its refusals have no SQLSTATE.
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL(sys.modules[type(pgconn).__module__].__file__)
        address: int = pgconn.pgconn_ptr  # type: ignore[attr-defined]  # public, and not typed
        library.PQsetErrorVerbosity(ctypes.c_void_p(address), verbosity)


def _unique_name() -> str:
    """`efo_assets 4711@host 1f2e3d4c`: whose transaction it is, for people and for ourselves."""
    token = secrets.token_hex(4)
    host = socket.gethostname().encode("ascii", "replace").decode()
    return f"{f'efo_assets {os.getpid()}@{host}'[: NAME_LIMIT_BYTES - 1 - len(token)]} {token}"


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


def in_function(error: psycopg.Error) -> bool:
    """Whether it came out of a trigger's function, whatever SQLSTATE that gave it."""
    return _LANGUAGE in (error.diag.context or "") and not is_lost(error)


@contextmanager
def beside(
    connect: Callable[[], Connection],
    work: Callable[[Connection], None],
    shared: Connection | None = None,
) -> Iterator[None]:
    """Call `work` with a second connection while the block runs.

    With `shared`, which is in a transaction that is repeatable read, both see one snapshot. Whether
    there is a second connection is not sure: none may be left, and a pooler without a free session
    answers much later.
    """
    snapshot = shared and shared.row("select pg_catalog.pg_export_snapshot()")[0]
    opened: list[Connection] = []
    has_begun, is_over = threading.Event(), threading.Event()

    def work_beside() -> None:
        with connect() as other, ExitStack() as begun:
            opened.append(other)
            if is_over.is_set():
                return
            if snapshot is not None:
                begun.enter_context(other.transaction())
                other.execute("set transaction isolation level repeatable read")
                other.execute(compose("set transaction snapshot {}", sql.Literal(snapshot)))
            has_begun.set()
            work(other)

    with ThreadPoolExecutor(1) as threads:
        working = threads.submit(work_beside)
        try:
            yield
            if has_begun.is_set():
                working.result()
        finally:
            is_over.set()
            for other in opened if not working.done() else []:
                _cut_off(other)


def _cut_off(connection: Connection) -> None:
    """Make what another thread does over a connection fail at once."""
    with suppress(psycopg.Error):
        connection.cancel_safe(timeout=FIRST_CONNECT_TIMEOUT_S)
    with (
        suppress(psycopg.Error, OSError),
        socket.socket(fileno=os.dup(connection.fileno())) as link,
    ):
        link.shutdown(socket.SHUT_RDWR)


def end_left_behind(connect_again: Callable[[], Connection], lost: Connection) -> None:
    """End the server session of a connection that was lost, and wait until it has ended.

    Where the link is cut without a word the server goes on for a while: it keeps its locks, and
    what it commits then is not in the ledger yet.
    """
    with connect_again() as connection:
        connection.execute(statement("left_behind_end"), {"name": lost.name})


def _codes(error: psycopg.Error) -> list[str]:
    """The SQLSTATEs that servers refused a connection with; several hosts may have been asked."""
    return [code for code, _ in _CODED.findall(str(error))]


def _is_passing(error: psycopg.Error) -> bool:
    codes = _codes(error)
    if any(code in _BUSY for code in codes):
        return True
    is_known = any(code in _REFUSED for code in codes)
    return not is_known and _PASSING.search(str(error)) is not None


def _not_connected(target: DatabaseTarget, error: psycopg.Error) -> errors.WarehouseError:
    codes, text = _codes(error), str(error)
    place, reason = f"PostgreSQL at {target.place}", _first_line(target, error)
    correct = f"correct {target.named_by}"
    if target.named_by is None:
        place, correct = f"The embedded {place}", "mend that"
    if busy := [_BUSY[code] for code in codes if code in _BUSY]:
        what, remedy = busy[0]
        return errors.DatabaseUnavailable(
            f"{place} {what} ({reason}): {NOTHING_LOST}; {remedy}, and run again."
        )
    refused = [_REFUSED[code] for code in codes if code in _REFUSED]
    refused = refused or [what for pattern, what in _REFUSALS if pattern.search(text)]
    if codes and not refused and not _PASSING.search(text):
        refused = ["the connection"]
    if refused:
        return errors.DatabaseRefused(
            f"{place} does not accept {refused[0]} ({reason}): {NOTHING_LOST}; {correct} and run "
            "again."
        )
    remedy = f"start it or {correct}, then run again"
    if target.named_by is None:
        remedy = "run again, or any command such as `efo-assets status`, which starts it"
    return errors.DatabaseUnavailable(
        f"{place} cannot be reached ({reason}): {NOTHING_LOST}; {remedy}."
    )


def _first_line(target: DatabaseTarget, error: psycopg.Error) -> str:
    """The gist of libpq's message, without the password should it ever hold one."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    gist = lines[0] if lines else type(error).__name__
    coded = _CODED.search(gist)
    gist = ": ".join(coded.groups()) if coded else re.split("FATAL:|failed:", gist)[-1].strip()
    return gist.replace(target.parameters.get("password") or "\0", "***")[:300]


@contextmanager
def translated(target: DatabaseTarget, doing: str) -> Iterator[None]:
    """Raise what PostgreSQL raises while `doing` something as one sentence.

    Errors that only a defect can cause stay as they are.
    """
    try:
        yield
    except psycopg.Error as error:
        for failure in _FAILURES:
            if isinstance(error, failure.kinds) and (not failure.is_of_users or in_function(error)):
                said = _filled(failure.sentence, target, doing, error)
                raise failure.raised(said) from error
        if is_lost(error):
            raise errors.ConnectionLost(_filled(_LOST, target, doing, error)) from error
        if isinstance(error, psycopg.OperationalError):
            raise errors.WarehouseError(_filled(_FAILED, target, doing, error)) from error
        raise


def _filled(sentence: str, target: DatabaseTarget, doing: str, error: psycopg.Error) -> str:
    context = (error.diag.context or "").splitlines()
    return sentence.format(
        place=target.place,
        doing=doing,
        reason=(error.diag.message_primary or str(error)).strip()[:300],
        first_line=_first_line(target, error),
        constraint=error.diag.constraint_name or "without a name",
        table=error.diag.table_name,
        hint="; " + error.diag.message_hint if error.diag.message_hint else "",
        context=next((each for each in context if _LANGUAGE in each), "")[:300],
        lock_timeout_s=f"{LOCK_TIMEOUT_MS / 1000:.0f}",
        nothing_lost=NOTHING_LOST,
    )
