"""From stored pages to a staged load: the one place where `ols` and `warehouse` meet.

Plain Python, without Dagster: assets and benchmarks call the same functions.
"""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from efo_assets.ols.stored_pages import PageSet
from efo_assets.pipeline.decoding import decode
from efo_assets.warehouse.copy_files import CopyFile, CopyFiles
from efo_assets.warehouse.load import Load, Source
from efo_assets.warehouse.tables import COPIED, Table
from efo_assets.warehouse.warehouse import Warehouse

_log = logging.getLogger(__name__)

_NO_TERM = "owl_thing"
"""OLS lists owl:Thing as a class of a few ontologies; it is no term of ours."""


@dataclass(frozen=True, slots=True)
class StagedRows:
    """The rows of one table on their way into a load: a COPY file, or None if they are there."""

    load: Load
    table: Table
    file: CopyFile | None


@dataclass(slots=True)
class Staging:
    """A load while its tables are being filled."""

    warehouse: Warehouse
    load: Load
    findings: dict[str, Any]
    files: CopyFiles | None
    """None where an equal load is staged already and is used again."""
    decode_s: float = 0.0

    @property
    def is_reused(self) -> bool:
        """Whether nothing has to be copied."""
        return self.files is None

    def rows(self, table: Table) -> StagedRows:
        """What the IO manager takes for one table."""
        return StagedRows(self.load, table, self.files.file(table) if self.files else None)

    def seal(self) -> Load:
        """Declare the load staged, once all tables are full."""
        if not self.is_reused:
            sys.audit("efo_assets.tables_filled")
            self.load = self.warehouse.seal(self.load, self.findings)
        return self.load


def source_of(pages: PageSet, url: str) -> Source:
    """What a load made from these pages is made from."""
    release = pages.release
    return Source(
        ontology=release.ontology,
        version=release.version,
        version_iri=release.version_iri,
        loaded=release.loaded,
        fingerprint=release.fingerprint,
        url=url,
        limit=pages.limit,
        totals=msgspec.to_builtins(release.totals),
    )


@contextmanager
def staging(
    warehouse: Warehouse, pages: PageSet, *, url: str, work_dir: Path, run_id: str | None = None
) -> Iterator[Staging]:
    """Decode pages into COPY files, ready to be copied into a new load; or find an equal load.

    Raises:
        RecordRejected: a value can't be a key in PostgreSQL.
        PageStoreError: pages can't be read, or COPY files can't be written.
    """
    source = source_of(pages, url)
    warehouse.prepare()
    found = warehouse.reusable(source)
    if found is not None:
        _log.info("load %s of %s is staged already", found.load_id, source.name)
        yield Staging(warehouse, found, dict(found.findings), files=None)
        return
    sys.audit("efo_assets.staging_began")
    began = time.monotonic()
    files, findings = decode(pages, work_dir)
    try:
        load = warehouse.begin(
            source, expected_terms=pages.rows - findings.counts[_NO_TERM], run_id=run_id
        )
        elapsed_s = time.monotonic() - began
        yield Staging(warehouse, load, findings.as_facts(), files, elapsed_s)
    finally:
        files.close()


def copy_all(staged: Staging) -> Load:
    """Copy every table and seal the load, for callers without an IO manager."""
    copy(staged)
    return staged.seal()


def copy(staged: Staging) -> None:
    """Copy every table that isn't there yet."""
    for table in COPIED:
        rows = staged.rows(table)
        if rows.file is not None:
            staged.warehouse.copy_into(rows.load, table, rows.file)
