"""What the endpoint serves: Dagster's history and the ledger, put together as one collector."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from efo_assets.monitoring.catalogue import DAGSTER, DATABASE
from efo_assets.monitoring.dagster_metrics import read_instance
from efo_assets.monitoring.history import opened_instance
from efo_assets.monitoring.sources import Source, Sources
from efo_assets.monitoring.warehouse_metrics import opened_warehouse, read_warehouse
from efo_assets.settings import Settings


@contextmanager
def opened_sources(settings: Settings, home: Path | None) -> Iterator[Sources]:
    """Both sources, closed with the block; `home` is Dagster's."""
    history: Source[Any] = Source(DAGSTER, lambda: opened_instance(home), read_instance)
    database: Source[Any] = Source(DATABASE, lambda: opened_warehouse(settings), read_warehouse)
    try:
        yield Sources([history, database])
    finally:
        for source in (history, database):
            source.close()
