"""Metrics from the ledger and the verdicts in PostgreSQL, as the warehouse reads them."""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client.metrics_core import Metric

from efo_assets.errors import DatabaseUnavailable
from efo_assets.monitoring import catalogue
from efo_assets.settings import Settings
from efo_assets.warehouse.embedded import is_made
from efo_assets.warehouse.ledger import Finding, PublishedRelease
from efo_assets.warehouse.warehouse import Warehouse


@contextmanager
def opened_warehouse(settings: Settings) -> Iterator[Warehouse]:
    """The configured database; else the embedded one, used as every other process uses it.

    An embedded server that nothing was ever loaded into isn't created by a scrape.

    Raises:
        DatabaseUnavailable: there is none yet.
    """
    if settings.database is None and not is_made(settings.data_dir):
        raise DatabaseUnavailable(
            f"EFO_DATABASE_URL is not set, and {settings.data_dir} holds no embedded PostgreSQL "
            "yet: load a release first, or set one of EFO_DATABASE_URL and EFO_DATA_DIR."
        )
    with Warehouse.opened(settings) as warehouse:
        yield warehouse


def read_warehouse(warehouse: Warehouse) -> list[Metric]:
    """Every metric of the database; those of a release are empty before the first one."""
    standing = warehouse.standing()
    return [*_of_release(standing.release), *_of_audit(standing.findings)]


def _of_release(release: PublishedRelease | None) -> Iterator[Metric]:
    if release is None:
        return
    partial = str(release.is_partial).lower()
    labels = (release.ontology, release.version or "", release.version_iri or "", partial)
    yield catalogue.RELEASE_INFO.of({labels: 1})
    yield catalogue.RELEASE_ID.of({(): release.release_id})
    yield catalogue.RELEASE_PUBLISHED.of({(): release.published_at_s})
    yield catalogue.TABLE_ROWS.of({(table,): rows for table, rows in release.rows.items()})
    yield catalogue.ROW_CHANGES.of(
        {
            (table, change): getattr(changes, change)
            for table, changes in release.changes.items()
            for change in ("inserted", "changed", "removed")
        }
    )


def _of_audit(findings: tuple[Finding, ...]) -> Iterator[Metric]:
    if not findings:
        return
    by_labels = {(each.check_name, str(each.is_blocking).lower()): each for each in findings}
    yield catalogue.CHECK_PASSED.of({key: each.passed for key, each in by_labels.items()})
    yield catalogue.CHECK_OFFENDERS.of({key: each.offenders for key, each in by_labels.items()})
    yield catalogue.AUDIT_TIMESTAMP.of({(): max(each.checked_at_s for each in findings)})
