"""A PostgreSQL server of the test's own: on a socket and on TCP, to be stopped and configured."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from efo_assets.settings import DatabaseTarget
from efo_assets.warehouse import embedded
from efo_assets_tests.commands import free_port
from efo_assets_tests.databases import OWNER, connected

SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "16MB",
    "max_connections": "30",
    "listen_addresses": "127.0.0.1",
    "unix_socket_permissions": "0700",
    "log_statement": "none",
}


class Cluster:
    """The server; made by `running_cluster`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)
        self._port = str(free_port())
        self._server = embedded._Server(folder, embedded.NEWEST_MAJOR, is_durable=False)
        self._server._find_place()
        self._server._make()
        self._server._make_socket_dir()
        # The embedded server wants passwords over TCP; these tests are about other things.
        hba = self._server._cluster / "pg_hba.conf"
        hba.write_text(f"host all all 127.0.0.1/32 trust\n{hba.read_text()}")

    @property
    def admin(self) -> DatabaseTarget:
        """As superuser, over the socket."""
        return DatabaseTarget(
            {
                "host": str(self._server._socket_dir),
                "port": self._port,
                "user": embedded.USER,
                "dbname": "postgres",
            }
        )

    @property
    def owner(self) -> DatabaseTarget:
        """As the owner of database `efo`, over the socket."""
        return DatabaseTarget({**self.admin.parameters, "user": OWNER, "dbname": "efo"})

    @property
    def owner_over_tcp(self) -> DatabaseTarget:
        """As the owner of database `efo`, over TCP."""
        return DatabaseTarget({**self.owner.parameters, "host": "127.0.0.1"})

    def start(self, **settings: str) -> None:
        """Start it; it takes connections afterwards."""
        socket_dir = self._server._socket_dir
        wanted = {**SETTINGS, "port": self._port, "unix_socket_directories": str(socket_dir)}
        options = " ".join(f'-c "{name}={value}"' for name, value in (wanted | settings).items())
        done = self._server._ctl("-w", "-l", self._server._log, "-o", options, "start")
        assert done.returncode == 0, self._server._log.read_text()[-2000:]

    def stop(self, mode: str = "fast") -> None:
        """Stop it: `fast` ends sessions and checkpoints, `immediate` is a crash."""
        self._server._stop(mode)

    def restart(self, mode: str) -> None:
        """Stop and start it."""
        self.stop(mode)
        self.start()

    def run(self, *statements: str, dbname: str = "postgres") -> None:
        """Run statements as superuser."""
        with connected(self.admin, dbname=dbname, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    def allow(self, *rules: str) -> None:
        """Let these lines of pg_hba.conf come before those that trust everybody."""
        lines = [*rules, "local all all trust", "host all all 127.0.0.1/32 trust"]
        (self._server._cluster / "pg_hba.conf").write_text("\n".join(lines) + "\n")
        self.run("select pg_reload_conf()")

    @property
    def standby_signal(self) -> Path:
        """The file that makes it a standby at its next start."""
        return self._server._cluster / "standby.signal"

    def remove(self) -> None:
        """Stop it and delete its files."""
        self._server.remove()


@contextmanager
def running_cluster(folder: Path) -> Iterator[Cluster]:
    """A running server with an owner who is no superuser and a database of his."""
    cluster = Cluster(folder)
    try:
        cluster.start()
        cluster.run(f"create role {OWNER} login", f"create database efo owner {OWNER}")
        yield cluster
    finally:
        cluster.remove()
