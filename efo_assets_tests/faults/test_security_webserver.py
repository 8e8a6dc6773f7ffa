"""Dagster's webserver, which knows no login: where it listens, what it tells, what it lets in."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import dagster as dg
import psutil
import pytest
from dagster._core.instance.ref import InstanceRef

from efo_assets_tests.commands import ROOT, free_port

PATIENCE_S = 120.0
POLL_S = 0.2
CANARY = "K4NARY-p%40ss"
SECRETS = {
    "EFO_DATABASE_URL": f"postgresql://me:{CANARY}@127.0.0.1:1/efo",
    "EFO_PASSWORD": CANARY,
    "DAGSTER_POSTGRES_PASSWORD": CANARY,
    "PGPASSWORD": CANARY,
}
DELETION = 'mutation {{ deletePipelineRun(runId: "{run_id}") {{ __typename }} }}'
EVERYTHING_CONFIGURED = """
{
  instance { info daemonHealth { allDaemonStatuses { daemonType } } }
  version
  workspaceOrError { ... on Workspace { locationEntries { name
    displayMetadata { key value }
    locationOrLoadError { ... on RepositoryLocation { repositories { name
      displayMetadata { key value }
      allTopLevelResourceDetails { name description resourceType
        configFields { name description configTypeKey isRequired defaultValueAsJson }
        configuredValues { key value type } }
      jobs { name description
        modes { resources { name description configField { defaultValueAsJson } } }
        presets { runConfigYaml } }
    } } } } } }
}
"""


class Webserver:
    """A running one."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int, home: Path) -> None:
        self.process = process
        self.port = port
        self.home = home
        self.url = f"http://127.0.0.1:{port}"

    def ask(self, query: str) -> Any:
        """As the UI asks: by POST."""
        body = json.dumps({"query": query}).encode()
        return self._send(
            Request(f"{self.url}/graphql", body, {"Content-Type": "application/json"})
        )

    def ask_as_a_page_elsewhere(self, query: str) -> Any:
        """As any web page can have a browser ask: by GET, under another host's name."""
        request = Request(f"{self.url}/graphql?{urlencode({'query': query})}")
        request.add_header("Host", "evil.example.org")
        return self._send(request)

    def _send(self, request: Request) -> Any:
        try:
            with urlopen(request) as answer:
                return json.load(answer)
        except HTTPError as error:
            pytest.fail(f"{error}: {error.read().decode()[:2000]}")

    def deleted(self, run_id: str) -> str:
        """The type of the answer to a deletion that a page elsewhere asks for."""
        answer = self.ask_as_a_page_elsewhere(DELETION.format(run_id=run_id))
        return str(answer["data"]["deletePipelineRun"]["__typename"])


@contextmanager
def served(home: Path, port: int, *command: str) -> Iterator[Webserver]:
    log = home / "webserver.log"
    environment = {**os.environ, **SECRETS, "DAGSTER_HOME": str(home)}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        made = Webserver(process, port, home)
        _until_it_answers(made, log)
        yield made
    finally:
        # Ctrl-C reaches all that the terminal started.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        process.wait(PATIENCE_S)


def _until_it_answers(server: Webserver, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while server.process.poll() is None and time.monotonic() < deadline:
        try:
            with urlopen(f"{server.url}/server_info"):
                return
        except URLError:
            with suppress(subprocess.TimeoutExpired):
                server.process.wait(POLL_S)
    pytest.fail(f"the webserver did not come up:\n{log.read_text()[-3000:]}")


def home_with_a_run(folder: Path) -> str:
    """A DAGSTER_HOME as shipped, with a run in it; the run's id."""
    shutil.copy(ROOT / "dagster.yaml", folder)
    with dg.DagsterInstance.local_temp(str(folder)) as instance:
        run = instance.add_run(dg.DagsterRun(job_name="refresh_efo"))
    return run.run_id


def is_there(home: Path, run_id: str) -> bool:
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        return instance.has_run(run_id)


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Webserver]:
    """`make dev`."""
    home, port, venv = tmp_path_factory.mktemp("dev"), free_port(), Path(sys.prefix)
    made = [f"PORT={port}", f"VENV={venv}", f"UI_HOME={home}"]
    with served(home, port, "make", "--old-file", f"{venv}/.installed", "dev", *made) as server:
        yield server


def listening(process: int) -> set[str]:
    """Addresses that a process and all below it listen at."""
    family = psutil.Process(process)
    return {
        connection.laddr.ip
        for each in [family, *family.children(recursive=True)]
        for connection in each.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    }


@pytest.mark.fault("S12")
def test_make_dev_listens_on_the_loopback_alone(dev: Webserver) -> None:
    assert listening(dev.process.pid) == {"127.0.0.1"}


@pytest.mark.fault("S03")
def test_graphql_tells_every_configuration_and_no_secret(dev: Webserver) -> None:
    answer = dev.ask(EVERYTHING_CONFIGURED)
    assert "errors" not in answer, answer
    told = json.dumps(answer)
    for name in ("efo_loader", "efo_postgres_copy", "refresh_efo", "EFO_ALLOW_SHRINK"):
        assert name in told
    assert "K4NARY" not in told
    assert "K4NARY" not in (dev.home / "webserver.log").read_text()


@pytest.mark.fault("S12")
def test_dagster_obeys_a_page_elsewhere_which_is_why_nobody_else_may_reach_it(
    dev: Webserver,
) -> None:
    """Not what we wish, but what Dagster does; docs/operations/security.md says what to do."""
    run_id = home_with_a_run(dev.home)
    assert is_there(dev.home, run_id)
    assert dev.deleted(run_id) == "DeletePipelineRunSuccess"
    assert not is_there(dev.home, run_id)


@pytest.mark.fault("S12")
def test_read_only_it_shows_everything_and_changes_nothing(tmp_path: Path) -> None:
    run_id, port = home_with_a_run(tmp_path), free_port()
    program = str(Path(sys.executable).with_name("dagster-webserver"))
    workspace = tmp_path / "workspace.yaml"
    workspace.write_text("load_from: []\n")
    words = ("--read-only", "--host", "127.0.0.1", "--port", str(port), "-w", str(workspace))
    with served(tmp_path, port, program, *words) as server:
        assert listening(server.process.pid) == {"127.0.0.1"}
        assert server.deleted(run_id) == "UnauthorizedError"
        posted = server.ask(DELETION.format(run_id=run_id))
        assert posted["data"]["deletePipelineRun"]["__typename"] == "UnauthorizedError"
        shown = server.ask("{ runsOrError { ... on Runs { results { runId } } } }")
        assert shown["data"]["runsOrError"]["results"] == [{"runId": run_id}]
        allowed = server.ask("{ permissions { permission value } }")["data"]["permissions"]
        assert allowed
        assert [each["permission"] for each in allowed if each["value"]] == []
    assert is_there(tmp_path, run_id)


@pytest.mark.fault("S03")
def test_the_deployed_configuration_holds_the_names_of_secrets_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_POSTGRES_PASSWORD", "K4NARY")
    shutil.copy(ROOT / "deploy" / "dagster.yaml", tmp_path / "dagster.yaml")
    shown = str(InstanceRef.from_dir(str(tmp_path)).to_dict())
    assert "DAGSTER_POSTGRES_PASSWORD" in shown
    assert "K4NARY" not in shown
