"""A small load without Dagster, whose pauses take no time."""

import asyncio
from pathlib import Path

from efo_assets.pipeline.load import load
from efo_assets.settings import DatabaseTarget, Settings
from efo_assets.warehouse.ledger import Publication

PAGE_SIZE = 20


def settings_for(url: str, database: DatabaseTarget, data_dir: Path, **others: object) -> Settings:
    """Settings of a small load."""
    options: dict[str, object] = {"page_size": PAGE_SIZE, "max_in_flight": 4, **others}
    return Settings(ols_url=url, database=database, data_dir=data_dir, **options)  # type: ignore[arg-type]


def load_once(settings: Settings) -> Publication:
    """Load what OLS serves now; see `pipeline.load.load` for what it raises."""
    return load(settings, pause=_no_time)


async def _no_time(_: float) -> None:
    await asyncio.sleep(0)
