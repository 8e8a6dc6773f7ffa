"""From stored pages to a staged load: the one place where `ols` and `warehouse` meet."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from efo_assets.ols.release import Release
from efo_assets.ols.stored_pages import PageSet
from efo_assets.pipeline.decoding import decode
from efo_assets.pipeline.progress import timed
from efo_assets.privacy.logs import logger, said_while
from efo_assets.settings import Settings
from efo_assets.warehouse.copy_files import CopyFile, CopyFiles
from efo_assets.warehouse.load import Load, Source
from efo_assets.warehouse.tables import Table
from efo_assets.warehouse.warehouse import Warehouse

COPY_FOLDER = "copy"
"""In the data directory."""

_log = logger(__name__)


class StagedRows(NamedTuple):
    """The rows of one table on their way into a load: a COPY file, or None if they are there."""

    load: Load
    table: Table
    file: CopyFile | None

    def copy(self, warehouse: Warehouse) -> int | None:
        """Fill the table; its number of rows, or None where they are there already.

        Raises:
            WarehouseError: PostgreSQL is lost, full or refuses.
        """
        return warehouse.copy_into(self.load, self.table, self.file) if self.file else None


@dataclass(slots=True)
class Staging:
    """A load while its tables are being filled."""

    warehouse: Warehouse
    load: Load
    findings: dict[str, Any]
    files: CopyFiles | None
    """None where an equal load is staged already and is used again."""
    decode_s: float = 0.0

    def rows(self, table: Table) -> StagedRows:
        """The rows of one table, to be copied."""
        return StagedRows(self.load, table, self.files.file(table) if self.files else None)

    def seal(self) -> Load:
        """Declare the load staged, once all tables are full."""
        if self.files is not None:
            sys.audit("efo_assets.tables_filled")
            with timed("seal and derive"):
                self.load = self.warehouse.seal(self.load, self.findings)
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
    )


@contextmanager
def staging(
    settings: Settings, warehouse: Warehouse, pages: PageSet, *, run_id: str | None = None
) -> Iterator[Staging]:
    """Decode pages into COPY files, ready to be copied into a new load; or find an equal load.

    Raises:
        PublicationRefused: the release may not follow the one that stands.
        RecordRejected: a value can't be a key in PostgreSQL.
        PageStoreError: pages can't be read, or COPY files can't be written.
    """
    plan = pages.plan
    source = source_of(settings, plan.release, plan.limit)
    warehouse.prepare()
    warehouse.refuse_unfit(source)
    staged = warehouse.reusable(source)
    if staged is not None:
        _log.info("load %s of %s is staged already", staged.load_id, source.name)
        yield Staging(warehouse, staged, dict(staged.findings), files=None)
        return
    sys.audit("efo_assets.staging_began")
    began = time.monotonic()
    with timed("decode"), said_while(lambda: "decoding pages", _log.info):
        files, findings = decode(pages, settings.data_dir / COPY_FOLDER)
    decode_s = time.monotonic() - began
    try:
        # OLS lists owl:Thing as a class of a few ontologies; it is no term.
        expected_terms = plan.rows - findings.counts["owl_thing"]
        load = warehouse.begin(source, expected_terms=expected_terms, run_id=run_id)
        yield Staging(warehouse, load, findings.as_facts(), files, decode_s)
    finally:
        files.close()
