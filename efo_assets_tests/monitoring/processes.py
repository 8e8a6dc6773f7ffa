"""The exporter and the programs around it, each as a process of its own on the loopback."""

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from efo_assets.monitoring.exporter import bound

PATIENCE_S = 60.0
POLL_S = 0.1

T = TypeVar("T")
Process = subprocess.Popen[str]


class Scrape:
    """One answer of `/metrics`, parsed."""

    def __init__(self, text: str) -> None:
        self.families: dict[str, Metric] = {
            family.name: family for family in text_string_to_metric_families(text)
        }

    def samples(self, name: str) -> dict[tuple[str, ...], float]:
        """Values by label values, in the order of the labels' names."""
        family = self.families.get(name)
        found = [] if family is None else family.samples
        samples = {
            tuple(sample.labels[key] for key in sorted(sample.labels)): sample.value
            for sample in found
        }
        assert len(samples) == len(found), "a label set stands twice"
        return samples

    def value(self, name: str, *labels: str) -> float:
        return self.samples(name)[labels]


class Endpoint:
    """A metrics endpoint that answers at `url`."""

    def __init__(self, url: str) -> None:
        self.url = url

    @property
    def address(self) -> str:
        """`host:port`, as Prometheus wants it."""
        return self.url.removeprefix("http://")

    def get(self, path: str) -> tuple[int, str]:
        with urlopen(self.url + path) as answer:
            return answer.status, answer.read().decode()

    def scrape(self) -> Scrape:
        status, text = self.get("/metrics")
        assert status == 200
        return Scrape(text)


class Exporter(Endpoint):
    """`python -m efo_assets metrics`, running."""

    def __init__(self, process: Process, url: str, log: Path) -> None:
        super().__init__(url)
        self.process = process
        self._log = log

    @property
    def log(self) -> str:
        return self._log.read_text()


@contextmanager
def served(collector: Collector, data_dir: Path = Path("nowhere")) -> Iterator[Endpoint]:
    """The endpoint's own server in a thread of this process."""
    with bound(collector, "127.0.0.1", 0, data_dir) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield Endpoint(f"http://127.0.0.1:{server.server_port}")
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def running_exporter(folder: Path, environment: Mapping[str, str]) -> Iterator[Exporter]:
    """Start it on a free port, with this environment and no variable of ours besides."""
    log = folder / "exporter.log"
    command = [sys.executable, "-m", "efo_assets", "metrics", "--port", "0"]
    with log.open("w") as errors, started(command, environment, stderr=errors) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        assert said.startswith("Metrics at http://127.0.0.1:"), log.read_text()
        yield Exporter(process, said.split()[-1].removesuffix("/metrics"), log)


@contextmanager
def started(
    command: list[str], environment: Mapping[str, str] | None = None, **options: Any
) -> Iterator[Process]:
    """A process that is ended with the block."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("EFO_", "DAGSTER_", "PG"))
    }
    options = {"stdout": subprocess.PIPE, "text": True} | options
    with subprocess.Popen(command, env=clean | dict(environment or {}), **options) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()


def until(process: Process, found: Callable[[], T | None], what: str) -> T:
    """Ask until there is an answer, as long as the process lives."""
    deadline = time.monotonic() + PATIENCE_S
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(URLError, ConnectionError):
            answer = found()
            if answer:
                return answer
        with suppress(subprocess.TimeoutExpired):
            process.wait(POLL_S)
    pytest.fail(f"waited in vain for {what} (exit code {process.poll()})")


def program(*names: str, package: str) -> str:
    """The first of these programs that is installed; a skip that names the package otherwise."""
    for name in names:
        found = shutil.which(name)
        if found:
            return found
    pytest.skip(f"{names[0]} is missing: apt-get install {package}")
