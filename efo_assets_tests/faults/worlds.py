"""A world to break: a fake OLS, a database and a data directory.

Each case gets copies of a world in which release 1 is published, made once per module.
"""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from efo_assets.sample.ontology import release
from efo_assets.settings import DatabaseTarget, Settings
from efo_assets_tests.databases import own_database
from efo_assets_tests.faults.engine import load_once, settings_for
from efo_assets_tests.faults.fake_ols import FakeOls, Page
from efo_assets_tests.faults.invariants import Oracle, kept_pages

CLASSES = 220
SEED = 11


def page_of(query: Mapping[str, str]) -> Page:
    """List and number of the page that a query asks for."""
    listing = "obsolete" if query.get("isObsolete") == "true" else "current"
    return listing, int(query["page"])


@dataclass(frozen=True)
class World:
    """One case's own database and data directory, and the server of all."""

    ols: FakeOls
    settings: Settings
    oracle: Oracle

    @property
    def kept(self) -> set[Page]:
        """Pages that the store would use again, of the release that is served now."""
        served = release(CLASSES, SEED, self.ols.release)
        return kept_pages(self.settings.data_dir, served)


@contextmanager
def empty_world(server: DatabaseTarget, ols: FakeOls, folder: Path) -> Iterator[World]:
    """Nothing is there yet."""
    ols.refused = set()
    ols.release = 1
    ols.log.clear()
    with own_database(server) as database:
        yield _world(ols, database, folder)


@contextmanager
def loaded_world(
    server: DatabaseTarget, ols: FakeOls, base: World, folder: Path
) -> Iterator[World]:
    """Release 1 is published, and its pages are kept."""
    ols.refused = set()
    ols.release = 1
    ols.log.clear()
    shutil.copytree(base.settings.data_dir, folder, dirs_exist_ok=True)
    template = str(base.oracle.database.parameters["dbname"])
    with own_database(server, template) as database:
        yield _world(ols, database, folder)


@contextmanager
def base_world(server: DatabaseTarget, ols: FakeOls, folder: Path) -> Iterator[World]:
    """The world that `loaded_world` copies."""
    with empty_world(server, ols, folder) as world:
        load_once(world.settings)
        yield world


def _world(ols: FakeOls, database: DatabaseTarget, folder: Path) -> World:
    return World(ols, settings_for(ols.url, database, folder), Oracle(database, CLASSES, SEED))
