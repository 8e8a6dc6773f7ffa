"""The engine without Dagster: fetch, stage, audit, publish, each part timed.

`python -m benchmarks.engine` loads what `EFO_*` names and prints the seconds of each part as JSON.
"""

import asyncio
import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from efo_assets.ols.client import OlsClient
from efo_assets.ols.download import Download, download
from efo_assets.ols.page_store import PageStore
from efo_assets.pipeline.staging import copy, staging
from efo_assets.settings import Settings
from efo_assets.warehouse import derivation
from efo_assets.warehouse.warehouse import Warehouse


def main() -> None:
    """Load once and print what each part took."""
    parts: dict[str, float] = {}
    settings = Settings.from_environment()
    with _part(parts, "whole"), Warehouse.opened(settings) as warehouse:
        with _part(parts, "prepare"):
            warehouse.prepare()
        with _part(parts, "fetch"):
            download = asyncio.run(_download(settings))
        with _part(parts, "stage"):
            opened = staging(
                warehouse,
                download.page_set,
                url=settings.ols_url,
                work_dir=settings.data_dir / "copy",
            )
            with opened as staged:
                parts["decode"] = round(staged.decode_s, 2)
                with _part(parts, "copy"):
                    copy(staged)
                with _part(parts, "seal and derive"), _derivations(parts):
                    load = staged.seal()
        with _part(parts, "audit"):
            warehouse.audit(load)
        with _part(parts, "publish"):
            warehouse.publish(load)
    json.dump(parts, sys.stdout)


async def _download(settings: Settings) -> Download:
    store = PageStore(settings.data_dir / "pages")
    async with OlsClient(settings.ols_url, max_in_flight=settings.max_in_flight) as client:
        return await download(client, store, settings.ontology, page_size=settings.page_size)


@contextmanager
def _derivations(parts: dict[str, float]) -> Iterator[None]:
    """Take down what each derived table took, as the log tells."""

    class TakeDown(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            _, table, seconds = record.args or ("", "", 0.0)
            parts[f"of it {table}"] = round(seconds, 2)

    log = logging.getLogger(derivation.__name__)
    log.setLevel(logging.INFO)
    log.addHandler(handler := TakeDown())
    yield
    log.removeHandler(handler)


@contextmanager
def _part(parts: dict[str, float], name: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    parts[name] = round(time.monotonic() - began, 2)


if __name__ == "__main__":
    main()
