"""One load without Dagster: what the assets do, as one call. Pauses take no time here."""

import asyncio
from pathlib import Path

from efo_assets.ols.client import OlsClient
from efo_assets.ols.download import Download, download
from efo_assets.ols.page_store import PageStore
from efo_assets.pipeline.interruption import run_to_its_end
from efo_assets.pipeline.staging import copy_all, staging
from efo_assets.settings import DatabaseTarget, Settings
from efo_assets.warehouse.ledger import Publication
from efo_assets.warehouse.load import Load
from efo_assets.warehouse.warehouse import Warehouse

PAGE_SIZE = 20


def settings_for(url: str, database: DatabaseTarget, data_dir: Path, **others: object) -> Settings:
    """Settings of a small load."""
    options: dict[str, object] = {"page_size": PAGE_SIZE, "max_in_flight": 4, **others}
    return Settings(ols_url=url, database=database, data_dir=data_dir, **options)  # type: ignore[arg-type]


def load_once(settings: Settings) -> Publication:
    """Fetch, stage, audit and publish what OLS serves now.

    Raises:
        EfoError: an expected failure, as the assets would show it.
        KeyboardInterrupt: a signal came.
    """
    with Warehouse.opened(settings) as warehouse:
        warehouse.prepare()
        download = run_to_its_end(_download(settings))
        load = staged(settings, warehouse, download)
        warehouse.audit(load)
        return warehouse.publish(load)


def staged(settings: Settings, warehouse: Warehouse, download: Download) -> Load:
    """Stage a download, or find it staged."""
    pages, folder = download.page_set, settings.data_dir / "copy"
    with staging(warehouse, pages, url=settings.ols_url, work_dir=folder) as begun:
        return copy_all(begun)


async def _download(settings: Settings) -> Download:
    store = PageStore(settings.data_dir / "pages")
    client = OlsClient(settings.ols_url, max_in_flight=settings.max_in_flight, pause=_no_time)
    async with client:
        return await download(
            client,
            store,
            settings.ontology,
            page_size=settings.page_size,
            limit=settings.limit,
        )


async def _no_time(_: float) -> None:
    await asyncio.sleep(0)
