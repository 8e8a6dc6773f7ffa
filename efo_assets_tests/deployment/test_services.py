"""The deployment's services as processes of this machine: releases are loaded by nobody's hand.

The first test is part of every run. The others kill one thing after the other in the middle of a
load and wait for what the deployment makes of it: `make deployed`.
"""

import asyncio
import json
import os
import re
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from shutil import rmtree
from typing import Any
from urllib.request import Request, urlopen

import psutil
import psycopg
import pytest
from aiohttp import web

from efo_assets.graph.due import BACKOFF_BASE_S
from efo_assets.sample.ontology import release
from efo_assets.sample.server import Sample, running_sample
from efo_assets.settings import DatabaseTarget
from efo_assets.warehouse.embedded import remove
from efo_assets_tests.commands import free_port
from efo_assets_tests.deployment.processes import (
    PATIENCE_S,
    Deployment,
    Service,
    database_server,
    patiently,
)
from efo_assets_tests.oracle.rows import expected_rows

CLASSES = 300
SEED = 5
PASSWORD = "p@ss/w:rd %41'"  # noqa: S105  # of a server that the test makes
RELEASE_CONFIRM_S = "4"
MAX_RUNTIME_S = 25
GOING_AGAIN_S = 30.0
"""From a killed worker to the next one at work, as the list of faults wants it."""


STANDSTILL_S = 45.0
"""Beyond every heartbeat of Dagster's servers, which want one within 30 s."""


class Hold:
    """Holds back every page while it is closed, so that a load is in its middle."""

    def __init__(self) -> None:
        self.is_open = threading.Event()
        self.is_open.set()
        self.asked = threading.Event()

    async def intercept(self, request: web.Request) -> web.StreamResponse | None:
        if request.query.get("page") == "1" and not self.is_open.is_set():
            self.asked.set()
            await asyncio.to_thread(self.is_open.wait)
        return None

    def close(self) -> None:
        self.asked.clear()
        self.is_open.clear()


class Deployed:
    """What stands: the services, the server that they load from, and the database."""

    def __init__(
        self, deployment: Deployment, sample: Sample, hold: Hold, superuser: DatabaseTarget
    ) -> None:
        self.deployment = deployment
        self.sample = sample
        self.hold = hold
        self.superuser = superuser
        self.services: dict[str, Service] = {}

    def ask(self, query: str, **parameters: str) -> list[Any]:
        place: dict[str, Any] = {**self.superuser.parameters, "dbname": "efo", **parameters}
        with psycopg.connect(**place, autocommit=True) as connection:
            return connection.execute(query).fetchall()

    def published(self) -> int:
        """The number of the published release, or 0."""
        if self.ask("select to_regclass('efo_meta.releases')") == [(None,)]:
            return 0
        found = self.ask("select version from efo_meta.releases order by release_id desc limit 1")
        return int(found[0][0].split(".")[1]) - 900 if found else 0

    def assert_published(self, number: int, patience_s: float = PATIENCE_S) -> None:
        """Wait until a release is published, and look whether it is the whole of it."""
        claim = f"release {number} is published"
        patiently(lambda: self.published() == number, claim, patience_s)
        rows = self.ask("select iri from efo_terms where removed_in is null")
        assert {iri for (iri,) in rows} == {
            row.iri for row in expected_rows(release(CLASSES, SEED, number)).terms
        }

    def graphql(self, query: str) -> Any:
        port = self.deployment.ports["3000"]
        request = Request(
            f"http://127.0.0.1:{port}/graphql",
            data=json.dumps({"query": query}).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urlopen(request) as answer:
            return json.load(answer)["data"]

    def in_the_middle_of_a_load(self, number: int) -> None:
        """Serve another release and wait until its second page is asked for, which doesn't come."""
        self.hold.close()
        self.sample.publish(number)
        patiently(self.hold.asked.is_set, f"release {number} is being loaded")

    def loader(self) -> psutil.Process:
        """The process that holds a connection to OLS."""
        port = int(self.sample.url.rpartition(":")[2])
        (found,) = [
            child
            for child in psutil.Process(self.services["code"].pid).children(recursive=True)
            if any(each.raddr and each.raddr.port == port for each in child.net_connections())
        ]
        return found


@pytest.fixture(scope="module")
def deployed() -> Iterator[Deployed]:
    folder = Path(tempfile.mkdtemp(prefix="efo-d-"))
    folder.chmod(0o755)
    hold, port = Hold(), free_port()
    try:
        with ExitStack() as stack:
            sample = stack.enter_context(
                running_sample(classes=CLASSES, seed=SEED, intercept=hold.intercept)
            )
            stack.callback(hold.is_open.set)
            superuser = stack.enter_context(database_server(folder / "pg", port, PASSWORD))
            deployment = Deployment(
                folder,
                port,
                {
                    "EFO_PASSWORD": PASSWORD,
                    "EFO_OLS_URL": sample.url,
                    "EFO_PAGE_SIZE": "50",
                    "EFO_RELEASE_CONFIRM_S": RELEASE_CONFIRM_S,
                },
            )
            # Only root removes a folder that it may not write to.
            stack.callback(deployment.home.chmod, 0o755)
            _shorten_runs(deployment.home / "dagster.yaml")
            made = Deployed(deployment, sample, hold, superuser)
            for name in ("code", "webserver", "daemon"):
                made.services[name] = stack.enter_context(Service(deployment, name))
            yield made
    finally:
        remove(folder / "pg")
        rmtree(folder)


def _shorten_runs(path: Path) -> None:
    """An hour is right for OLS and too long for a test."""
    text, count = re.subn(
        r"max_runtime_seconds: \d+", f"max_runtime_seconds: {MAX_RUNTIME_S}", path.read_text()
    )
    assert count == 1
    path.chmod(0o644)
    path.write_text(text)


def test_a_new_release_is_loaded_with_nobodys_help_and_the_ui_shows_it(deployed: Deployed) -> None:
    deployed.assert_published(1)
    deployed.sample.publish(2)
    deployed.assert_published(2)
    nodes = deployed.graphql(
        "{assetNodes {assetKey {path} assetMaterializations(limit: 1) {runId}}}"
    )["assetNodes"]
    materialized = {node["assetKey"]["path"][-1] for node in nodes if node["assetMaterializations"]}
    assert {"raw_ols_pages", "terms", "efo_terms", "efo_xrefs"} <= materialized
    owners = deployed.ask("select distinct tableowner from pg_tables where tablename ~ '^efo_'")
    assert owners == [("efo",)]
    assert deployed.ask("select rolsuper from pg_roles where rolname = 'efo'") == [(False,)]


def test_the_roles_get_in_with_their_password_alone(deployed: Deployed) -> None:
    place = {"host": "127.0.0.1", "user": "efo"}
    assert deployed.ask("select current_user", **place, password=PASSWORD) == [("efo",)]
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        deployed.ask("select 1", **place, password=f"not {PASSWORD}")
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        deployed.ask("select 1", **place, password=PASSWORD, dbname="dagster")


@pytest.mark.campaign
@pytest.mark.fault("O08")
def test_a_killed_worker_goes_again_within_half_a_minute(deployed: Deployed) -> None:
    deployed.in_the_middle_of_a_load(3)
    victim = deployed.loader()
    victim.send_signal(signal.SIGKILL)
    killed_at_s = time.monotonic()
    deployed.hold.close()
    patiently(deployed.hold.asked.is_set, "another worker asks for the page")
    assert time.monotonic() - killed_at_s <= GOING_AGAIN_S
    deployed.hold.is_open.set()
    deployed.assert_published(3)


@pytest.mark.campaign
@pytest.mark.fault("X10")
@pytest.mark.fault("O07")
def test_a_code_server_that_dies_with_its_worker_is_got_over(deployed: Deployed) -> None:
    deployed.in_the_middle_of_a_load(4)
    os.killpg(deployed.services["code"].pid, signal.SIGKILL)
    deployed.hold.is_open.set()
    deployed.assert_published(4)


@pytest.mark.campaign
def test_a_daemon_that_dies_loses_nothing(deployed: Deployed) -> None:
    deployed.in_the_middle_of_a_load(5)
    os.killpg(deployed.services["daemon"].pid, signal.SIGKILL)
    deployed.hold.is_open.set()
    deployed.assert_published(5)
    deployed.sample.publish(6)
    deployed.assert_published(6)


@pytest.mark.campaign
@pytest.mark.fault("O06")
def test_a_reload_of_the_code_leaves_a_running_load_alone(deployed: Deployed) -> None:
    deployed.in_the_middle_of_a_load(7)
    loader = deployed.loader()
    reloaded = deployed.graphql(
        'mutation {reloadRepositoryLocation(repositoryLocationName: "efo_assets") {__typename}}'
    )
    assert reloaded["reloadRepositoryLocation"]["__typename"] == "WorkspaceLocationEntry"
    assert loader.is_running()
    deployed.hold.is_open.set()
    deployed.assert_published(7)
    newest = "{runsOrError(limit: 1) {... on Runs {results {status}}}}"
    patiently(
        lambda: deployed.graphql(newest)["runsOrError"]["results"] == [{"status": "SUCCESS"}],
        "the run under way when the code was reloaded ends well",
    )


@pytest.mark.campaign
@pytest.mark.fault("O15")
def test_a_postgresql_that_crashes_under_all_of_it_is_got_over(deployed: Deployed) -> None:
    deployed.in_the_middle_of_a_load(8)
    (pid,) = [
        int(line) for line in (_cluster(deployed) / "postmaster.pid").read_text().splitlines()[:1]
    ]
    _crash(pid)
    with database_server(
        deployed.deployment.folder / "pg", deployed.deployment.database_port, PASSWORD, anew=False
    ):
        deployed.hold.is_open.set()
        # A run that failed with a sentence is asked for again by the sensor, after five minutes.
        deployed.assert_published(8, PATIENCE_S + BACKOFF_BASE_S)


@pytest.mark.campaign
@pytest.mark.fault("O28")
def test_services_that_stood_still_go_on(deployed: Deployed) -> None:
    """As where containers are paused, or a machine is starved."""
    processes = [
        process
        for service in deployed.services.values()
        for parent in [psutil.Process(service.pid)]
        for process in [parent, *parent.children(recursive=True)]
    ]
    for process in processes:
        process.suspend()
    deployed.sample.publish(9)
    threading.Event().wait(STANDSTILL_S)
    for process in processes:
        process.resume()
    deployed.assert_published(9)


def _cluster(deployed: Deployed) -> Path:
    return Path(deployed.superuser.parameters["host"])


def _crash(postmaster: int) -> None:
    """As `pg_ctl stop -m immediate`: nothing is written out."""
    process = psutil.Process(postmaster)
    process.send_signal(signal.SIGQUIT)
    process.wait(60)
