"""Every metric that the endpoint has: name, help, labels. What fills them lives elsewhere.

All are gauges that tell how things stand; a moment is a Unix timestamp, so that its age is a
matter of the query. Labels are bounded: tables, checks, jobs, assets, daemons, never a run or a
class. `job` and `instance` are Prometheus' own labels, so Dagster's job is `dagster_job`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client.metrics_core import GaugeMetricFamily, Metric

LabelValues = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Gauge:
    """One metric; `source` is what must be up for it to be there."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    source: str = ""

    def of(self, samples: Mapping[LabelValues, float]) -> Metric:
        """The metric with one sample per combination of label values."""
        family = GaugeMetricFamily(self.name, self.help, labels=self.labels)
        for values, sample in samples.items():
            family.add_metric(values, float(sample))
        return family


SOURCE_UP = Gauge(
    "efo_source_up", "Whether the source could be read for this scrape (1) or not (0).", ("source",)
)
SOURCE_READ_SECONDS = Gauge(
    "efo_source_read_seconds",
    "How long the source took to be read for this scrape.",
    ("source",),
)

DATABASE = "database"
RELEASE_INFO = Gauge(
    "efo_release_info",
    "The published release, as labels; partial means that EFO_LIMIT cut it.",
    ("ontology", "version", "version_iri", "partial"),
    DATABASE,
)
RELEASE_ID = Gauge(
    "efo_release_id", "Number of the published release in the ledger.", source=DATABASE
)
RELEASE_PUBLISHED = Gauge(
    "efo_release_published_timestamp_seconds",
    "When the published release was published, by the database's clock.",
    source=DATABASE,
)
TABLE_ROWS = Gauge(
    "efo_table_rows",
    "Rows of the published release, as the ledger has them; a term that vanished counts no more.",
    ("table",),
    DATABASE,
)
ROW_CHANGES = Gauge(
    "efo_release_row_changes",
    "Rows that the published release inserted, changed or removed.",
    ("table", "change"),
    DATABASE,
)
CHECK_PASSED = Gauge(
    "efo_check_passed",
    "Whether the check passed (1) or not (0) in the last audit.",
    ("check", "blocking"),
    DATABASE,
)
CHECK_OFFENDERS = Gauge(
    "efo_check_offenders",
    "Rows that the check found wrong in the last audit.",
    ("check", "blocking"),
    DATABASE,
)
AUDIT_TIMESTAMP = Gauge(
    "efo_audit_timestamp_seconds",
    "When the last audit was, by the database's clock.",
    source=DATABASE,
)

DAGSTER = "dagster"
RUNS = Gauge(
    "efo_runs",
    "Runs that Dagster's history holds, by job and status.",
    ("dagster_job", "status"),
    DAGSTER,
)
RUN_ENDED = Gauge(
    "efo_run_last_end_timestamp_seconds",
    "When the last run of a job with this outcome ended.",
    ("dagster_job", "status"),
    DAGSTER,
)
FAILED_IN_A_ROW = Gauge(
    "efo_runs_failed_in_a_row",
    "Failed runs of a job since its last success.",
    ("dagster_job",),
    DAGSTER,
)
ASSET_SUCCESS = Gauge(
    "efo_asset_last_success_timestamp_seconds",
    "When the asset was last materialized; a release that is published already counts, too.",
    ("asset",),
    DAGSTER,
)
ASSET_DURATION = Gauge(
    "efo_asset_last_duration_seconds",
    "How long the step took that last materialized the asset; assets may share one.",
    ("asset",),
    DAGSTER,
)
OLS_LATENCY = Gauge(
    "efo_ols_request_latency_seconds",
    "Latency of requests to OLS in the last download, by quantile.",
    ("quantile",),
    DAGSTER,
)
OLS_REQUESTS = Gauge(
    "efo_ols_requests", "Requests to OLS in the last download, retries included.", source=DAGSTER
)
OLS_RETRIES = Gauge(
    "efo_ols_retries", "Requests that had to be sent again in the last download.", source=DAGSTER
)
OLS_RECEIVED = Gauge(
    "efo_ols_received_bytes", "What OLS sent in the last download, compressed.", source=DAGSTER
)
OLS_SECONDS = Gauge("efo_ols_download_seconds", "How long the last download took.", source=DAGSTER)
OLS_PAGES = Gauge(
    "efo_ols_pages",
    "Pages of the last download: fetched, or kept from an earlier one.",
    ("origin",),
    DAGSTER,
)
DAEMON_HEARTBEAT = Gauge(
    "efo_daemon_heartbeat_timestamp_seconds",
    "Last heartbeat of a daemon that the instance needs; 0 where it never ran.",
    ("daemon",),
    DAGSTER,
)
DAEMON_ERRORS = Gauge(
    "efo_daemon_errors", "Errors that the daemon's last heartbeat reports.", ("daemon",), DAGSTER
)
INSTIGATOR_RUNNING = Gauge(
    "efo_instigator_running",
    "Whether the sensor or schedule is switched on (1) or off (0).",
    ("instigator", "kind"),
    DAGSTER,
)
INSTIGATOR_INTERVAL = Gauge(
    "efo_instigator_interval_seconds",
    "How often the sensor is evaluated at most.",
    ("instigator", "kind"),
    DAGSTER,
)
TICK_TIMESTAMP = Gauge(
    "efo_instigator_last_tick_timestamp_seconds",
    "When the sensor or schedule last ticked.",
    ("instigator", "kind"),
    DAGSTER,
)
TICK_STATUS = Gauge(
    "efo_instigator_last_tick_status",
    "1 for the outcome of the last tick that ended, 0 for the others.",
    ("instigator", "kind", "status"),
    DAGSTER,
)
TICKS_FAILED_IN_A_ROW = Gauge(
    "efo_instigator_ticks_failed_in_a_row",
    "Failed ticks since the last that ended well; at most 25 are looked at.",
    ("instigator", "kind"),
    DAGSTER,
)

GAUGES: tuple[Gauge, ...] = (
    SOURCE_UP,
    SOURCE_READ_SECONDS,
    RELEASE_INFO,
    RELEASE_ID,
    RELEASE_PUBLISHED,
    TABLE_ROWS,
    ROW_CHANGES,
    CHECK_PASSED,
    CHECK_OFFENDERS,
    AUDIT_TIMESTAMP,
    RUNS,
    RUN_ENDED,
    FAILED_IN_A_ROW,
    ASSET_SUCCESS,
    ASSET_DURATION,
    OLS_LATENCY,
    OLS_REQUESTS,
    OLS_RETRIES,
    OLS_RECEIVED,
    OLS_SECONDS,
    OLS_PAGES,
    DAEMON_HEARTBEAT,
    DAEMON_ERRORS,
    INSTIGATOR_RUNNING,
    INSTIGATOR_INTERVAL,
    TICK_TIMESTAMP,
    TICK_STATUS,
    TICKS_FAILED_IN_A_ROW,
)
