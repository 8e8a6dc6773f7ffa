"""A world to break: an OLS that can be told to refuse pages, a database and a data directory.

Each case gets copies of a world in which release 1 is published, made once per module.
"""

import itertools
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web
from psycopg import sql

from efo_assets.sample.ontology import release
from efo_assets.sample.server import Sample, running_sample
from efo_assets.settings import DatabaseTarget, Settings
from efo_assets_tests.databases import connected
from efo_assets_tests.faults.engine import PAGE_SIZE, load_once, settings_for
from efo_assets_tests.faults.invariants import Oracle, kept_pages

CLASSES = 220
SEED = 11
OWNER = "efo_owner"
_numbers = itertools.count()

Page = tuple[str, int]


@dataclass
class RefusingSample:
    """A sample server that answers 500 for the pages that it is told to refuse."""

    sample: Sample = field(init=False)
    refused: set[Page] = field(default_factory=set)

    async def intercept(self, request: web.Request) -> web.StreamResponse | None:
        """Refuse a page."""
        if request.query.get("size") == str(PAGE_SIZE) and page_of(request.query) in self.refused:
            return web.Response(status=500)
        return None

    @property
    def asked(self) -> list[Page]:
        """Pages asked for since the log was cleared, refused ones too."""
        return [
            page_of(each.query)
            for each in self.sample.requests
            if each.query.get("size") == str(PAGE_SIZE)
        ]


def page_of(query: Mapping[str, str]) -> Page:
    """List and number of the page that a query asks for."""
    listing = "obsolete" if query.get("isObsolete") == "true" else "current"
    return listing, int(query["page"])


@contextmanager
def refusing_sample() -> Iterator[RefusingSample]:
    """Serve the generated ontology."""
    made = RefusingSample()
    with running_sample(classes=CLASSES, seed=SEED, intercept=made.intercept) as made.sample:
        yield made


@contextmanager
def database_made(server: DatabaseTarget, template: str = "template1") -> Iterator[DatabaseTarget]:
    """A database of its own, empty or a copy of another, for an owner who is no superuser."""
    name = f"w{os.getpid()}_{next(_numbers)}"
    options = [sql.Identifier(each) for each in (name, OWNER, template)]
    with connected(server, autocommit=True) as admin:
        admin.execute(sql.SQL("create database {} owner {} template {}").format(*options))
        try:
            yield DatabaseTarget({**server.parameters, "dbname": name, "user": OWNER})
        finally:
            admin.execute(sql.SQL("drop database {} with (force)").format(options[0]))


@dataclass(frozen=True)
class World:
    """One case's own database and data directory, and the server of all."""

    ols: RefusingSample
    settings: Settings
    oracle: Oracle

    @property
    def kept(self) -> set[Page]:
        """Pages that the store would use again, of the release that is served now."""
        served = release(CLASSES, SEED, self.ols.sample.state.release)
        return kept_pages(self.settings.data_dir, served)


@contextmanager
def empty_world(server: DatabaseTarget, ols: RefusingSample, folder: Path) -> Iterator[World]:
    """Nothing is there yet."""
    ols.refused = set()
    ols.sample.publish(1)
    ols.sample.requests.clear()
    with database_made(server) as database:
        yield _world(ols, database, folder)


@contextmanager
def loaded_world(
    server: DatabaseTarget, ols: RefusingSample, base: World, folder: Path
) -> Iterator[World]:
    """Release 1 is published, and its pages are kept."""
    ols.refused = set()
    ols.sample.publish(1)
    ols.sample.requests.clear()
    shutil.copytree(base.settings.data_dir, folder, dirs_exist_ok=True)
    template = str(base.oracle.database.parameters["dbname"])
    with database_made(server, template) as database:
        yield _world(ols, database, folder)


@contextmanager
def base_world(server: DatabaseTarget, ols: RefusingSample, folder: Path) -> Iterator[World]:
    """The world that `loaded_world` copies."""
    with empty_world(server, ols, folder) as made:
        load_once(made.settings)
        yield made


def _world(ols: RefusingSample, database: DatabaseTarget, folder: Path) -> World:
    return World(
        ols, settings_for(ols.sample.url, database, folder), Oracle(database, CLASSES, SEED)
    )
