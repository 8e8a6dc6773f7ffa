"""A loaded sample ontology with its Dagster instance, to be scraped."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest
from psycopg.conninfo import make_conninfo

from efo_assets.definitions import build_defs
from efo_assets.monitoring.exporter import opened_sources
from efo_assets.sample.server import Sample, running_sample
from efo_assets.settings import DatabaseTarget, Settings
from efo_assets_tests.commands import ROOT
from efo_assets_tests.databases import own_database
from efo_assets_tests.graph.materializing import Graph
from efo_assets_tests.monitoring.processes import Endpoint, served

CLASSES = 300
SEED = 5
LATENCY_MS = 20.0


class House:
    """The graph over a sample server, a database, and a Dagster instance of its own."""

    def __init__(self, graph: Graph, sample: Sample, folder: Path) -> None:
        self.graph = graph
        self.sample = sample
        self.folder = folder
        self.home = folder / "home"
        self.home.mkdir()
        shutil.copy(ROOT / "dagster.yaml", self.home)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "DAGSTER_HOME": str(self.home),
            "EFO_DATABASE_URL": make_conninfo(**self.graph.database.parameters),
            "EFO_DATA_DIR": str(self.graph.data_dir),
        }

    def instance(self) -> dg.DagsterInstance:
        return dg.DagsterInstance.from_config(str(self.home))

    def load(self, **variables: str) -> bool:
        """Run the job that sensor and schedule launch."""
        with self.instance() as instance, pytest.MonkeyPatch.context() as monkeypatch:
            # A house outlives a test, and each test begins without our variables.
            for name, value in {
                "EFO_OLS_URL": self.sample.url,
                **self.environment,
                **variables,
            }.items():
                monkeypatch.setenv(name, value)
            job = build_defs().resolve_job_def("refresh_efo")
            return job.execute_in_process(raise_on_error=False, instance=instance).success

    def refuse_the_next_release(self) -> None:
        """Serve another release, which the audit finds much smaller than what is published."""
        self.graph.ask(
            "update efo_meta.releases set counts = jsonb_set(counts, '{terms}', '1000000')"
            " returning 1"
        )
        self.sample.publish(2)
        assert not self.load()
        refused = self.graph.ask("select check_name from efo_meta.verdicts where not passed")
        assert ("terms_did_not_shrink",) in refused


@contextmanager
def a_house(server: DatabaseTarget, folder: Path) -> Iterator[House]:
    """Nothing is loaded yet."""
    with (
        running_sample(classes=CLASSES, seed=SEED, base_latency_ms=LATENCY_MS) as sample,
        own_database(server) as database,
        pytest.MonkeyPatch.context() as monkeypatch,
    ):
        yield House(Graph(monkeypatch, database, folder / "data", sample.url), sample, folder)


@pytest.fixture
def house(server: DatabaseTarget, tmp_path: Path) -> Iterator[House]:
    """A house of the test's own, with nothing in it."""
    with a_house(server, tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def loaded(server: DatabaseTarget, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house for tests that only look: two releases were loaded, then the second once more."""
    with a_house(server, tmp_path_factory.mktemp("loaded")) as made:
        assert made.load()
        made.sample.publish(2)
        assert made.load()
        made.sample.reset()
        assert made.load()
        yield made


@contextmanager
def endpoint_of(house: House, **variables: str) -> Iterator[Endpoint]:
    """The endpoint over the house's environment with these variables, served from this process."""
    environment = house.environment | variables
    settings = Settings.from_environment(environment)
    home = Path(environment["DAGSTER_HOME"]) if environment["DAGSTER_HOME"] else None
    with opened_sources(settings, home) as sources, served(sources, settings.data_dir) as endpoint:
        yield endpoint
