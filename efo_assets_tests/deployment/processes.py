"""The services of docker-compose.yml as plain processes: its commands, environment and checks.

Where a container would give a host name, a port or a folder, the process gets one of this machine;
nothing else is changed. Environment variables are those of the image and of the service alone.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import psycopg
import yaml
from psycopg import sql

from efo_assets.settings import DatabaseTarget
from efo_assets.warehouse.embedded import _is_open, embedded_server, program
from efo_assets_tests.commands import free_port

ROOT = Path(__file__).parents[2]
PATIENCE_S = 180.0
POLL_S = 0.3
STOP_GRACE_S = 20.0
UID = 10001

_VARIABLE = re.compile(r"\$\{([A-Z_]+)(?::([-?])([^}]*))?\}")


class Deployment:
    """One deployment in a folder of its own, before anything runs."""

    def __init__(self, folder: Path, database_port: int, variables: Mapping[str, str]) -> None:
        self.folder = folder
        self.variables = variables
        self.ports = {name: free_port() for name in ("3000", "4000", "8080", "9464")}
        self._services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
        self._image = _image_environment()
        self.home = folder / "dagster_home"
        self.data = folder / "data"
        self._places = {
            "/opt/dagster_home": str(self.home),
            "/var/lib/efo": str(self.data),
            "/opt/efo/bin": str(Path(sys.executable).parent),
            "0.0.0.0": "127.0.0.1",  # noqa: S104  # of a container
            "postgres:5432": f"127.0.0.1:{database_port}",
            **{name: str(port) for name, port in self.ports.items()},
        }
        # All at once: what one replacement brings must not be replaced by the next.
        self._there = re.compile("|".join(map(re.escape, self._places)))
        self.database_port = database_port
        self.home.mkdir()
        for name in ("dagster.yaml", "workspace.yaml"):
            text = (ROOT / "deploy" / name).read_text().replace("host: code", "host: 127.0.0.1")
            (self.home / name).write_text(self._here(text))
        self.data.mkdir()
        # An environment below root's home is closed to every other account.
        self._as_uid = os.geteuid() == 0 and _is_open(Path(sys.executable)) and _is_open(ROOT)
        if self._as_uid:
            os.chown(self.data, UID, UID)
        self.home.chmod(0o555)

    def _here(self, text: str) -> str:
        """As it is on this machine."""
        return self._there.sub(lambda found: self._places[found[0]], text)

    def _filled(self, text: str) -> str:
        """`${NAME:-default}` and `${NAME:?message}` as compose fills them."""

        def fill(found: re.Match[str]) -> str:
            name, kind, rest = found.groups()
            value = self.variables.get(name, "")
            if not value and kind == "?":
                raise KeyError(rest)
            return value or (rest if kind == "-" else "")

        return _VARIABLE.sub(fill, text)

    def environment(self, service: str) -> dict[str, str]:
        """What the process of a service sees."""
        given = {
            name: self._here(self._filled(str(value)))
            for name, value in self._services[service].get("environment", {}).items()
        }
        image = {name: self._here(value) for name, value in self._image.items()}
        image["PATH"] = image["PATH"].replace("$PATH", os.environ["PATH"])
        image["HOME"] = str(self.data)
        host = {"DAGSTER_POSTGRES_HOST": "127.0.0.1"}
        host["DAGSTER_POSTGRES_PORT"] = str(self.database_port)
        # The image is compiled; a checkout that other tests use is not ours to write to either.
        return {**image, **given, **{k: v for k, v in host.items() if k in given}}

    def command(self, service: str, of: str = "command") -> list[str]:
        """The words of a service's command, or of its health check."""
        found: Any = self._services[service][of]
        words = found["test"][1:] if of == "healthcheck" else found
        if isinstance(words, str):
            words = shlex.split(self._filled(words))
        return [self._here(word) for word in words]

    def start(self, service: str) -> "subprocess.Popen[bytes]":
        """Begin the service's process as the image's account where that is possible."""
        account: dict[str, Any] = (
            {"user": UID, "group": UID, "extra_groups": []} if self._as_uid else {}
        )
        with self.log(service).open("ab") as log:
            return subprocess.Popen(
                self.command(service),
                cwd=self.data,
                env=self.environment(service),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **account,
            )

    def log(self, service: str) -> Path:
        """What a service printed."""
        return self.folder / f"{service}.log"

    def is_healthy(self, service: str) -> bool:
        """Whether the service's own health check passes."""
        done = subprocess.run(
            self.command(service, "healthcheck"),
            env=self.environment(service),
            capture_output=True,
            check=False,
        )
        return done.returncode == 0


class Service:
    """A service that is started again when it ends, as `restart: unless-stopped` does."""

    def __init__(self, deployment: Deployment, name: str) -> None:
        self._deployment = deployment
        self._name = name
        self._process = deployment.start(name)
        self._is_wanted = True
        self._thread = threading.Thread(target=self._keep, daemon=True)

    @property
    def pid(self) -> int:
        """Of the process that runs now."""
        return self._process.pid

    def _keep(self) -> None:
        while True:
            self._process.wait()
            if not self._is_wanted:
                return
            self._process = self._deployment.start(self._name)

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            patiently(lambda: self._deployment.is_healthy(self._name), f"{self._name} is healthy")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._is_wanted = False
        process = self._process
        process.terminate()
        self._thread.join(STOP_GRACE_S)
        # A container's end is the end of all that ran in it.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        self._thread.join()


_never = threading.Event()


def patiently(is_so: Callable[[], bool], claim: str, patience_s: float = PATIENCE_S) -> None:
    """Wait until something is so; errors of a database that is away count as "not yet"."""
    deadline = time.monotonic() + patience_s
    while True:
        with suppress(psycopg.OperationalError):
            if is_so():
                return
        assert time.monotonic() < deadline, f"it never came to be that {claim}"
        _never.wait(POLL_S)


def _image_environment() -> dict[str, str]:
    """The ENV of the image's last stage."""
    last = (ROOT / "Dockerfile").read_text().rpartition("\nFROM ")[2]
    (block,) = re.findall(r"^ENV ((?:.*\\\n)*.*)$", last, re.MULTILINE)
    return dict(pair.split("=", 1) for pair in block.replace("\\\n", " ").split())


@contextmanager
def database_server(
    folder: Path, port: int, password: str, *, anew: bool = True
) -> Iterator[DatabaseTarget]:
    """PostgreSQL on the loopback with passwords, its databases made by the image's own script.

    With `anew=False`, the server of that folder goes on after a crash.
    """
    with embedded_server(folder, tcp_port=port) as target:
        postgres = DatabaseTarget({**target.parameters, "user": "postgres", "dbname": "postgres"})
        if not anew:
            yield postgres
            return
        _make_superuser(target)
        done = subprocess.run(
            ["/bin/sh", str(ROOT / "deploy" / "init-databases.sh")],
            env={
                "PATH": f"{program('psql').parent}:{os.environ['PATH']}",
                "PGHOST": target.parameters["host"],
                "PGPORT": str(port),
                "EFO_PASSWORD": password,
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        yield postgres


def _make_superuser(target: DatabaseTarget) -> None:
    """The image's superuser is `postgres`; the wheel's is called as the loader's role will be."""
    parameters: dict[str, Any] = dict(target.parameters)
    with psycopg.connect(**parameters, autocommit=True) as connection:
        connection.execute("create role postgres superuser login")
    as_postgres = {**parameters, "user": "postgres", "dbname": "postgres"}
    with psycopg.connect(**as_postgres, autocommit=True) as connection:
        name = sql.Identifier(target.parameters["user"])
        connection.execute(sql.SQL("drop database {}").format(name))
        connection.execute(sql.SQL("alter role {} rename to wheel").format(name))
