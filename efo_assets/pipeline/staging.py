"""From the pages of a release to a staged load, filled while they came or from what is kept."""

from dataclasses import dataclass
from functools import partial

import msgspec

from efo_assets.errors import ConnectionLost
from efo_assets.ols.release import Release
from efo_assets.ols.stored_pages import PageSet
from efo_assets.pipeline.interruption import run_to_its_end
from efo_assets.pipeline.one_pass import OnePass, replay
from efo_assets.pipeline.progress import timed
from efo_assets.privacy.logs import logger, said_while
from efo_assets.settings import Settings
from efo_assets.warehouse.load import Load, Source
from efo_assets.warehouse.warehouse import Warehouse

_log = logger(__name__)


@dataclass(slots=True)
class Staging:
    """A load whose copied tables are full."""

    warehouse: Warehouse
    load: Load
    is_reused: bool = False
    """Whether an equal load was staged already, and is used again."""

    def seal(self) -> Load:
        """Declare the load staged, with the tables that SQL makes."""
        if not self.is_reused:
            with timed("seal and derive"):
                self.load = self.warehouse.seal(self.load, self.load.findings)
        return self.load


def source_of(settings: Settings, release: Release, limit: int | None) -> Source:
    """What the warehouse is told of a release of OLS, whole or of `limit` classes."""
    return Source(
        ontology=release.ontology,
        version=release.version,
        version_iri=release.version_iri,
        loaded=release.loaded,
        fingerprint=release.fingerprint,
        url=settings.ols_url,
        limit=limit,
        totals=msgspec.to_builtins(release.totals),
        ancestors=settings.ancestors,
    )


def begun(
    settings: Settings, warehouse: Warehouse, pages: PageSet, *, run_id: str | None = None
) -> Load:
    """An empty load for the rows of a download."""
    plan = pages.plan
    source = source_of(settings, plan.release, plan.limit)
    return warehouse.begin(source, expected_terms=plan.rows, run_id=run_id)


def staging(
    settings: Settings, warehouse: Warehouse, pages: PageSet, *, run_id: str | None = None
) -> Staging:
    """Find the load that was filled while the pages came, or an equal one, or fill one from them.

    Raises:
        PublicationRefused: the release may not follow the one that stands.
        RecordRejected: a value can't be a key in PostgreSQL.
        PageStoreError: pages can't be read.
        WarehouseError: PostgreSQL is lost, full or refuses.
    """
    source = source_of(settings, pages.plan.release, pages.plan.limit)
    warehouse.prepare()
    warehouse.refuse_unfit(source)
    if (staged := warehouse.reusable(source)) is not None:
        _log.info("load %s of %s is staged already", staged.load_id, source.name)
        return Staging(warehouse, staged, is_reused=True)
    if (filled := warehouse.filled(source)) is not None:
        _log.info("load %s of %s was filled while it was downloaded", filled.load_id, source.name)
        return Staging(warehouse, filled)

    async def fill() -> Load:
        begin_load = partial(begun, settings, warehouse, run_id=run_id)
        async with OnePass(warehouse, begin_load, is_strict=True) as reader:
            return await replay(reader, pages)

    with timed("replay"), said_while(lambda: "decoding pages", _log.info):
        try:
            load = run_to_its_end(fill())
        except ConnectionLost as error:
            _log.warning("%s This step is done once more.", error)
            load = run_to_its_end(fill())
    return Staging(warehouse, load)
