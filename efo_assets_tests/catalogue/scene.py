"""All of OLS loaded by real processes: a sample catalogue, PostgreSQL, Dagster's three services.

A `Scene` is a project with an `OlsCatalogComponent` on databases and an instance of its own. Its
services are started again when they end, as compose does it; a run is a process of its own.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import psutil
import psycopg
import yaml

from efo_assets.settings import DatabaseTarget
from efo_assets_tests.commands import free_port
from efo_assets_tests.databases import OWNER, connected
from efo_assets_tests.faults.cluster import Cluster

PATIENCE_S = 300.0
POLL_S = 0.2
LOOK_S = 0.02
"""Between two looks at who waits for the ledger's lock."""
PROJECT = """
[project]
name = "theirs"
version = "0.1"

[tool.dg]
directory_type = "project"

[tool.dg.project]
root_module = "theirs"
"""
DEFINITIONS = """
from pathlib import Path

import dagster as dg
from efo_assets.graph import catalogue, due

# Ten minutes are right for OLS and too long for a campaign.
catalogue.EVERY_S, due.BACKOFF_BASE_S = {every_s}, {backoff_s}


@dg.definitions
def defs():
    return dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
"""
LOCK_WAITS = """
select l.pid, l.waitstart::text, extract(epoch from clock_timestamp() - l.waitstart)::float
from pg_locks as l
where not l.granted and l.relation = to_regclass('efo_meta.releases') and l.waitstart is not null
"""
BACKFILL = """
mutation ($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
  }
}
"""


class Served:
    """The sample server in a process of its own."""

    def __init__(self, folder: Path, ontologies: int, scale: float, latency_ms: float) -> None:
        port_file = folder / "port"
        words = ["--catalogue", ontologies, "--scale", scale, "--bad", "--classes", 200, "--port",
                 0, "--port-file", port_file, "--base-latency-ms", latency_ms]  # fmt: skip
        command = [sys.executable, "-m", "efo_assets", "sample", *map(str, words)]
        self.process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
        patiently(port_file.exists, "the sample server answers")
        self.url = f"http://127.0.0.1:{port_file.read_text()}"

    def counts(self) -> dict[str, int]:
        """Requests and the most in flight since the counts were `reset`."""
        with urlopen(f"{self.url}/_sample/requests") as answer:
            return dict(json.load(answer))

    def reset(self) -> None:
        """Count anew."""
        with urlopen(Request(f"{self.url}/_sample/requests", method="DELETE")):
            pass


class Scene:
    """A project, an instance and its services, on a cluster's fresh databases."""

    def __init__(
        self,
        folder: Path,
        cluster: Cluster,
        served: Served,
        *,
        at_once: int,
        confirm_s: int,
        every_s: int = 10,
        backoff_s: float = 300.0,
    ) -> None:
        self.folder = folder
        self.cluster = cluster
        self.served = served
        names = [f"{name}_{folder.name}" for name in ("efo", "dagster")]
        for name in names:
            cluster.run(f"create database {name} owner {OWNER}")
        tcp = cluster.owner_over_tcp.parameters
        urls = [f"postgresql://{OWNER}@127.0.0.1:{tcp['port']}/{name}" for name in names]
        self.database = DatabaseTarget({**tcp, "dbname": names[0]})
        self.dagster = DatabaseTarget({**tcp, "dbname": names[1]})
        self.ports = {name: free_port() for name in ("code", "webserver")}
        package, self.home = folder / "src" / "theirs", folder / "home"
        (package / "defs" / "ols").mkdir(parents=True)
        self.home.mkdir()
        (folder / "pyproject.toml").write_text(PROJECT)
        for init in (package / "__init__.py", package / "defs" / "__init__.py"):
            init.touch()
        definitions = DEFINITIONS.format(every_s=every_s, backoff_s=backoff_s)
        (package / "definitions.py").write_text(definitions)
        component = {
            "type": "efo_assets.OlsCatalogComponent",
            "attributes": {
                "database": "{{ env.OLS_DATABASE_URL }}",
                "automation": True,
                "release_confirm_s": confirm_s,
                "runs_per_tick": 1000,
            },
        }
        (package / "defs" / "ols" / "defs.yaml").write_text(yaml.safe_dump(component))
        instance = {
            "telemetry": {"enabled": False},
            "nux": {"enabled": False},
            "storage": {"postgres": {"postgres_url": urls[1]}},
            "concurrency": {
                "runs": {"max_concurrent_runs": at_once},
                "pools": {"default_limit": at_once, "granularity": "run"},
            },
            "run_monitoring": {
                "enabled": True,
                "poll_interval_seconds": 5,
                "max_runtime_seconds": 600,
            },
            "run_retries": {
                "enabled": True,
                "max_retries": 3,
                "retry_on_asset_or_op_failure": False,
            },
        }
        (self.home / "dagster.yaml").write_text(yaml.safe_dump(instance))
        server = {"host": "127.0.0.1", "port": self.ports["code"], "location_name": "theirs"}
        workspace = {"load_from": [{"grpc_server": server}]}
        (folder / "workspace.yaml").write_text(yaml.safe_dump(workspace))
        self.environment = {
            # The Makefile names the project's own definitions.
            **{
                name: each
                for name, each in os.environ.items()
                if not name.startswith(("EFO_", "DAGSTER_"))
            },
            "DAGSTER_HOME": str(self.home),
            "OLS_DATABASE_URL": urls[0],
            "EFO_OLS_URL": served.url,
            "EFO_DATA_DIR": str(folder / "data"),
            "PYTHONPATH": str(folder / "src"),
            "VIRTUAL_ENV": sys.prefix,
        }
        self.waits: dict[tuple[int, str], float] = {}
        self._is_wanted = True
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run the services, each started again when it ends, while the block runs."""
        port, web = self.ports["code"], self.ports["webserver"]
        at = ["--host", "127.0.0.1", "--port"]
        workspace = ["-w", str(self.folder / "workspace.yaml")]
        services = {
            "code": ["dagster", "api", "grpc", *at, str(port), "-m", "theirs.definitions"],
            "webserver": ["dagster-webserver", *at, str(web), *workspace],
            "daemon": ["dagster-daemon", "run", *workspace],
        }
        threads = [threading.Thread(target=self._look_at_locks)]
        try:
            for name, words in services.items():
                self._start(name, words)
                threads.append(threading.Thread(target=self._keep, args=(name, words)))
                threads[-1].start()
                if name == "webserver":
                    patiently(self._answers, "the webserver knows the code location")
            threads[0].start()
            yield
        finally:
            self._is_wanted = False
            for thread in threads:
                if thread.is_alive():
                    thread.join()

    def _start(self, name: str, words: Sequence[str]) -> None:
        program = Path(sys.executable).with_name(words[0])
        with (self.folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [str(program), *words[1:]],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _keep(self, name: str, words: Sequence[str]) -> None:
        while self._is_wanted:
            with suppress(subprocess.TimeoutExpired):
                self._processes[name].wait(POLL_S)
                if self._is_wanted:
                    self._start(name, words)
        process = psutil.Process(self._processes[name].pid)
        with suppress(psutil.NoSuchProcess):
            below = process.children(recursive=True)
            self._processes[name].terminate()
            _, alive = psutil.wait_procs([process, *below], timeout=20)
            for each in alive:
                with suppress(psutil.NoSuchProcess):
                    each.kill()
        self._processes[name].wait()

    def _look_at_locks(self) -> None:
        while self._is_wanted:
            with suppress(psycopg.Error), connected(self.database, autocommit=True) as connection:
                while self._is_wanted:
                    for pid, since, waited_s in connection.execute(LOCK_WAITS).fetchall():
                        self.waits[pid, since] = waited_s
                    time.sleep(LOOK_S)
            time.sleep(POLL_S)

    def kill(self, what: str) -> None:
        """Kill a service, the process of a `run`, or PostgreSQL, which is started again."""
        if what == "PostgreSQL":
            self.cluster.restart("immediate")
            return
        if what != "run":
            self._processes[what].send_signal(signal.SIGKILL)
            return
        port = int(self.served.url.rpartition(":")[2])

        def loader() -> psutil.Process | None:
            with suppress(psutil.Error):
                for child in psutil.Process(self._processes["code"].pid).children(recursive=True):
                    if any(c.raddr and c.raddr.port == port for c in child.net_connections()):
                        return child
            return None

        patiently(lambda: loader() is not None, "a run asks OLS")
        if found := loader():
            found.kill()

    def graphql(self, query: str, **variables: Any) -> Any:
        """The data of a GraphQL answer."""
        request = Request(
            f"http://127.0.0.1:{self.ports['webserver']}/graphql",
            data=json.dumps({"query": query, "variables": variables}).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urlopen(request) as answer:
            return json.load(answer)["data"]

    def _answers(self) -> bool:
        with suppress(URLError, ConnectionError):
            found = self.graphql("{repositoriesOrError {... on RepositoryConnection {nodes {id}}}}")
            return bool(found["repositoriesOrError"].get("nodes"))
        return False

    def backfill(self, partitions: Sequence[str]) -> None:
        """Start a backfill of the job by the webserver, as the UI does."""
        selector = {
            "partitionSetName": "refresh_ols_partition_set",
            "repositorySelector": {
                "repositoryLocationName": "theirs",
                "repositoryName": "__repository__",
            },
        }
        params = {"selector": selector, "partitionNames": list(partitions)}
        done = self.graphql(BACKFILL, params=params)["launchPartitionBackfill"]
        assert done["__typename"] == "LaunchBackfillSuccess", done

    def launch(self, partition: str) -> None:
        """Load one ontology by `dg launch`."""
        words = ["launch", "--assets", "*ols/terms", "--partition", partition]
        program = str(Path(sys.executable).with_name("dg"))
        done = subprocess.run(
            [program, *words],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]

    def runs(self) -> dict[str, int]:
        """How many runs there are, by status."""
        query = "select status, count(*) from runs group by 1"
        with connected(self.dagster) as connection:
            return dict(connection.execute(query).fetchall())

    def partitions(self) -> list[str]:
        """Those that the sensor has added."""
        with connected(self.dagster) as connection:
            rows = connection.execute("select partition from dynamic_partitions").fetchall()
        return sorted(partition for (partition,) in rows)

    def states(self) -> dict[str, tuple[str, str | None]]:
        """State and failure of each ontology, as the database tells them."""
        with connected(self.database) as connection:
            if connection.execute("select to_regclass('efo_meta.failures')").fetchone() == (None,):
                return {}
            query = "select ontology, state, failure from efo_meta.ontologies"
            return {name: (state, why) for name, state, why in connection.execute(query)}

    def last_words(self) -> Iterator[str]:
        """The end of what each service printed."""
        for name in self._processes:
            yield f"{name}: {(self.folder / f'{name}.log').read_text()[-2000:]}"

    def ticks(self) -> int:
        """Evaluations of the sensor that have ended."""
        query = "select count(*) from job_ticks where status <> 'STARTED'"
        with connected(self.dagster) as connection:
            row = connection.execute(query).fetchone()
        return int(row[0]) if row else 0


def patiently(
    is_so: Any, claim: str, patience_s: float = PATIENCE_S, poll_s: float = POLL_S
) -> None:
    """Wait until something is so; PostgreSQL may be away meanwhile."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        with suppress(psycopg.OperationalError):
            if is_so():
                return
        time.sleep(poll_s)
    raise AssertionError(f"within {patience_s:.0f} s it did not come true that {claim}")
