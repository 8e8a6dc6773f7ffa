"""Metrics from the ledger and the verdicts in PostgreSQL, as the warehouse reads them.

They are those of every schema that the ledger knows. Of the one that is configured all there is to
tell; of others, of which a catalogue has hundreds, what is not zero.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from prometheus_client.metrics_core import Metric

from efo_assets.errors import DatabaseUnavailable
from efo_assets.monitoring import catalogue
from efo_assets.settings import Settings
from efo_assets.warehouse.embedded import is_made
from efo_assets.warehouse.ledger import Finding, PublishedRelease, Standing
from efo_assets.warehouse.warehouse import Warehouse

_Sample = tuple[catalogue.Gauge, catalogue.LabelValues, float]


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
    samples: dict[catalogue.Gauge, dict[catalogue.LabelValues, float]] = {}
    for schema, standing in warehouse.standings().items():
        is_whole = schema == warehouse.schema_name
        for gauge, labels, figure in _of_schema(standing, is_whole=is_whole):
            samples.setdefault(gauge, {})[standing.ontology, schema, *labels] = figure
    return [gauge.of(figures) for gauge, figures in samples.items()]


def _of_schema(standing: Standing, *, is_whole: bool) -> Iterator[_Sample]:
    if standing.interval_s is not None:
        yield catalogue.RELEASE_INTERVAL, (), standing.interval_s
    if standing.release is not None:
        yield from _of_release(standing.release, is_whole=is_whole)
    if standing.findings:
        yield from _of_audit(standing.findings, is_whole=is_whole)


def _of_release(release: PublishedRelease, *, is_whole: bool) -> Iterator[_Sample]:
    partial = str(release.is_partial).lower()
    labels = (release.version or "", release.version_iri or "", partial)
    yield catalogue.RELEASE_INFO, labels, 1
    yield catalogue.RELEASE_ID, (), release.release_id
    yield catalogue.RELEASE_PUBLISHED, (), release.published_at_s
    for table, rows in release.rows.items():
        yield catalogue.TABLE_ROWS, (table,), rows
    for table, changes in release.changes.items():
        for change in ("inserted", "changed", "removed"):
            if (rows := getattr(changes, change)) or is_whole:
                yield catalogue.ROW_CHANGES, (table, change), rows


def _of_audit(findings: Sequence[Finding], *, is_whole: bool) -> Iterator[_Sample]:
    outcomes = dict.fromkeys(("passed", "warned", "refused"), 0)
    for each in findings:
        outcome = "passed" if each.passed else "refused" if each.is_blocking else "warned"
        outcomes[outcome] += 1
        if is_whole or each.offenders or not each.passed:
            labels = (each.check_name, str(each.is_blocking).lower())
            yield catalogue.CHECK_PASSED, labels, each.passed
            yield catalogue.CHECK_OFFENDERS, labels, each.offenders
    for outcome, checks in outcomes.items():
        yield catalogue.CHECKS, (outcome,), checks
    yield catalogue.AUDIT_TIMESTAMP, (), max(each.checked_at_s for each in findings)
