"""The embedded PostgreSQL kept up for programs that speak TCP: pandas, R, DBeaver.

It listens on the loopback alone. The one role that can log in there reads, and can do nothing else.
Its password is in a file that only its owner reads, so that no command line, log or screen shows
it, and stays the same, so that programs may keep it.
"""

import fcntl
import os
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote, urlsplit

from psycopg import sql

from efo_assets.errors import DatabaseUnavailable
from efo_assets.files import make_folder, write_all
from efo_assets.settings import DatabaseTarget
from efo_assets.warehouse import session
from efo_assets.warehouse.embedded import DATABASE, LOOPBACK, embedded_server
from efo_assets.warehouse.session import Connection
from efo_assets.warehouse.statements import statement

ROLE = "efo_guest"
PASSWORD_FILE = "serve.pgpass"  # noqa: S105  # the name of the file
PASSWORD_BYTES = 24
WATCH_PAUSE_S, PROBE_TIMEOUT_S = 1.0, 5.0
PRIVATE = 0o600
"""libpq reads no password from a file that others can read."""


@contextmanager
def served(data_dir: Path, schema: str, port: int) -> Iterator[str]:
    """Run the server of `data_dir` and let the role in as long as the block does; give its URL.

    Port 0 is any free one.

    Raises:
        DatabaseUnavailable: the port is taken, another process serves it already, or one that uses
            the server started it without a port.
    """
    port = port or _free_port()
    with ExitStack() as stack:
        password, file = stack.enter_context(_password(data_dir.absolute()))
        try:
            target = stack.enter_context(embedded_server(data_dir, tcp_port=port))
        except DatabaseUnavailable as error:
            if _is_taken(port):
                raise DatabaseUnavailable(
                    f"Port {port} of {LOOPBACK} is taken: name another with --port, or 0 for any "
                    "free one."
                ) from error
            raise
        if target.parameters["port"] != str(port):
            raise DatabaseUnavailable(
                f"The embedded PostgreSQL in {data_dir} was started by another process, without "
                f"port {port}: end what uses it, start `efo-assets serve`, and then the rest, "
                "which goes on with the same server."
            )
        stack.callback(_shut_out, target)
        _let_in(target, schema, password)
        place = f"{LOOPBACK}:{port}/{DATABASE}?passfile={quote(str(file), safe='/')}"
        yield f"postgresql://{ROLE}@{place}"


def watch(url: str) -> NoReturn:
    """Wait until nothing listens at a URL that is served any more.

    Raises:
        DatabaseUnavailable: it is so; while PostgreSQL recovers from a crash, it listens.
    """
    port = urlsplit(url).port or 0
    while _is_listening(port):
        time.sleep(WATCH_PAUSE_S)
    raise DatabaseUnavailable(
        f"The embedded PostgreSQL at {LOOPBACK}:{port} was stopped by somebody else: what is "
        "published is kept; start `efo-assets serve` again."
    )


@contextmanager
def _password(data_dir: Path) -> Iterator[tuple[str, Path]]:
    """The role's password, made once, and its file, which this process holds a lock on."""
    path = data_dir / PASSWORD_FILE
    try:
        make_folder(data_dir)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, PRIVATE)
    except OSError as error:
        raise DatabaseUnavailable(
            f"{path}, which is to hold a password, can't be written ({error.strerror}): mend that, "
            "or set EFO_DATA_DIR."
        ) from error
    try:
        os.fchmod(descriptor, PRIVATE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DatabaseUnavailable(
                f"Another `efo-assets serve` serves {data_dir} already: use its URL, or end it."
            ) from None
        # As libpq reads it; the port may be another the next time.
        login = f"{LOOPBACK}:*:{DATABASE}:{ROLE}:"
        line = os.read(descriptor, 1000).decode(errors="replace").strip()
        if not line.startswith(login):
            line = login + secrets.token_urlsafe(PASSWORD_BYTES)
            os.ftruncate(descriptor, 0)
            os.lseek(descriptor, 0, os.SEEK_SET)
            write_all(descriptor, f"{line}\n".encode())
        yield line.removeprefix(login), path
    finally:
        os.close(descriptor)


def make_role(connection: Connection) -> None:
    """Make the role that reads, where it isn't there yet; nobody can log in as it."""
    known = connection.execute("select from pg_roles where rolname = %s", [ROLE]).fetchone()
    if known is None:
        connection.execute(statement("guest_make", role=ROLE))


def _let_in(target: DatabaseTarget, schema: str, password: str) -> None:
    with session.connect(target) as connection:
        # PostgreSQL may log a statement, so it gets no password.
        verifier = connection.pgconn.encrypt_password(
            password.encode(), ROLE.encode(), b"scram-sha-256"
        )
        with connection.transaction():
            make_role(connection)
            login = statement(
                "guest_login",
                role=ROLE,
                verifier=sql.Literal(verifier.decode()),
                database=DATABASE,
                schema=schema,
            )
            connection.execute(login)


def _shut_out(target: DatabaseTarget) -> None:
    """Let nobody in any more, and end who is: a load may need the server for longer."""
    if not _is_listening(int(target.parameters["port"])):
        return
    with session.connect(target) as connection:
        connection.execute(statement("guest_nologin", role=ROLE))
        connection.execute(statement("guest_sessions_end"), {"role": ROLE})


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _is_listening(port: int) -> bool:
    try:
        socket.create_connection((LOOPBACK, port), PROBE_TIMEOUT_S).close()
    except ConnectionRefusedError:
        return False
    except TimeoutError:
        pass
    return True


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return True
    return False
