"""The engine: the release that OLS serves now, loaded by named steps, without Dagster.

`load` runs all of them, for the command line, tests and benchmarks; the assets run one each. What
happens in a step is written in `ols.download`, `staging` and the modules of `warehouse`.
"""

import asyncio
import shutil
from collections.abc import Callable
from contextlib import nullcontext

from efo_assets.errors import LOAD_COMMAND, PageStoreError
from efo_assets.ols.download import Download, OnProgress, download
from efo_assets.ols.pace import Pause
from efo_assets.ols.page_store import PageStore
from efo_assets.ols.release import Release
from efo_assets.ols.stored_pages import PageSet
from efo_assets.pipeline.budget import ols_client
from efo_assets.pipeline.interruption import run_to_its_end
from efo_assets.pipeline.one_pass import OnePass
from efo_assets.pipeline.progress import progress_shown, timed
from efo_assets.pipeline.staging import begun, source_of, staging
from efo_assets.privacy.logs import logger
from efo_assets.settings import Settings
from efo_assets.warehouse.ledger import Publication
from efo_assets.warehouse.load import Load
from efo_assets.warehouse.warehouse import Warehouse

BYTES_PER_CLASS, BYTES_PER_CLASS_EMBEDDED = 1_000, 13_000
"""In the data directory, measured on 94,000 generated classes: pages; with tables, a staged load
and the write-ahead log of the embedded server."""

_log = logger(__name__)


def load(
    settings: Settings, *, log: Callable[..., None] | None = None, pause: Pause = asyncio.sleep
) -> Publication:
    """Load the release that OLS serves now: fetch, stage, audit and publish it.

    `log` is told of the download every few seconds, like `logging.Logger.info`; `pause` waits
    before a request is tried again. An unchanged release writes no row.

    Raises:
        EfoError: an expected failure; its sentence says what is kept and what to do.
        KeyboardInterrupt: SIGINT or SIGTERM; what was downloaded is kept, and so is the published
            release.
    """
    with Warehouse.opened(settings) as warehouse, warehouse.attempt():
        pages = fetch(settings, warehouse, fills=True, log=log, pause=pause).page_set
        staged = stage(settings, warehouse, pages)
        with timed("audit"):
            warehouse.audit(staged)
        with timed("publish"):
            publication = warehouse.publish(staged)
    for note in publication.notes:
        _log.warning("%s", note)
    return publication


def fetch(
    settings: Settings,
    warehouse: Warehouse,
    *,
    fills: bool,
    run_id: str | None = None,
    on_release: Callable[[Release], None] = lambda _: None,
    log: Callable[..., None] | None = None,
    pause: Pause = asyncio.sleep,
) -> Download:
    """Download the pages that aren't kept yet of the release that OLS serves now.

    With `fills`, rows of the pages that come fill a load, which `stage` then finds; where it finds
    one that another machine left, staged or published, no page is asked for. `on_release` is called
    before that, in a thread.

    Raises:
        WarehouseError: PostgreSQL, or the release that stands, would refuse the load in the end.
        OlsError: see `ols.download.download`.
        PageStoreError: the store can't be written, or another download holds it.
        WorkerEnded: a process that reads pages was killed.
        KeyboardInterrupt: a signal came; accepted pages are kept.
    """
    # What would be refused in the end is better known before the download.
    with timed("prepare"):
        warehouse.prepare()
    with timed("fetch"), progress_shown(log) if log else nullcontext() as report:
        return run_to_its_end(
            _download(
                settings,
                warehouse,
                fills=fills,
                run_id=run_id,
                on_release=on_release,
                report=report,
                pause=pause,
            )
        )


async def _download(
    settings: Settings,
    warehouse: Warehouse,
    *,
    fills: bool,
    run_id: str | None,
    on_release: Callable[[Release], None],
    report: OnProgress | None,
    pause: Pause,
) -> Download:
    def is_standing(release: Release) -> bool:
        source = source_of(settings, release, settings.limit)
        return not (warehouse.reusable(source) is None and warehouse.filled(source) is None)

    def begin_load(pages: PageSet) -> Load | None:
        """An empty load, unless its rows are there, or pages alone are wanted."""
        if not fills or is_standing(pages.plan.release):
            return None
        return begun(settings, warehouse, pages, run_id=run_id)

    def accept(release: Release) -> None:
        on_release(release)
        warehouse.refuse_unfit(source_of(settings, release, settings.limit))
        _warn_of_little_space(settings, release)

    async with OnePass(warehouse, begin_load) as reader:
        async with ols_client(
            settings, warehouse, max_in_flight=settings.max_in_flight, pause=pause
        ) as client:
            done = await download(
                client,
                page_store(settings),
                reader,
                settings.ontology,
                page_size=settings.page_size,
                limit=settings.limit,
                accept_release=accept,
                is_standing=is_standing if fills else lambda _: False,
                on_progress=report,
            )
        await reader.finish()
        return done


def _warn_of_little_space(settings: Settings, release: Release) -> None:
    """No refusal: what is kept of the release already takes no room again."""
    classes = settings.limit or release.totals.all
    needed = classes * (BYTES_PER_CLASS if settings.database else BYTES_PER_CLASS_EMBEDDED)
    free = shutil.disk_usage(settings.data_dir).free
    if free < needed:
        _log.warning(
            "%s has %s MB free, and a load of %s classes takes about %s MB there",
            settings.data_dir,
            f"{free / 1_000_000:,.1f}",
            f"{classes:,}",
            f"{needed / 1_000_000:,.1f}",
        )


def page_store(settings: Settings) -> PageStore:
    """The page store of the data directory."""
    return PageStore(settings.data_dir / "pages")


def newest_pages(settings: Settings) -> PageSet:
    """The newest complete download that is kept.

    Raises:
        PageStoreError: there is none.
    """
    store = page_store(settings)
    pages = store.latest(settings.ontology)
    if pages is None:
        raise PageStoreError(
            f"No complete download of {settings.ontology} is kept in {store.root}, so there is "
            f"nothing to stage: run `{LOAD_COMMAND}`, which downloads first."
        )
    return pages


def stage(settings: Settings, warehouse: Warehouse, pages: PageSet) -> Load:
    """Seal the load that was filled while pages came, or find an equal one, or fill one from them.

    Raises:
        PublicationRefused: the release may not follow the one that stands.
        RecordRejected: a value can't be a key in PostgreSQL.
        PageStoreError: pages can't be read.
        WarehouseError: PostgreSQL is lost, full or refuses.
    """
    return staging(settings, warehouse, pages).seal()
