"""Every metric of the endpoint: name, labels, help. The modules that read a source fill them.

All are gauges that tell how things stand; a moment is a Unix timestamp, so that its age is a
matter of the query. Labels are bounded: ontologies, tables, checks, jobs, assets, daemons, never a
run or a class. `job` and `instance` are Prometheus' own labels, so Dagster's job is `dagster_job`.
What belongs to an ontology has it as a label, and in the database its schema, since two schemas may
hold one ontology; of Dagster's, `ontology` is empty where a job or an asset isn't one ontology's.
"""

from collections.abc import Mapping
from functools import partial

from prometheus_client.metrics_core import GaugeMetricFamily, Metric

LabelValues = tuple[str, ...]

DATABASE = "database"
DAGSTER = "dagster"


class Gauge:
    """One metric; `source` must be up for it to be there. Written `name{label,label}`."""

    def __init__(self, source: str, metric: str, description: str) -> None:
        self.source = source
        self.name, _, labels = metric.rstrip("}").partition("{")
        self.labels = labels.split(",") if labels else []
        self._description = description

    def of(self, samples: Mapping[LabelValues, float]) -> Metric:
        """The metric with one sample per combination of label values."""
        family = GaugeMetricFamily(self.name, self._description, labels=self.labels)
        for values, sample in samples.items():
            family.add_metric(values, float(sample))
        return family


_exporter = partial(Gauge, "")
SOURCE_UP = _exporter(
    "efo_source_up{source}", "Whether the source could be read for this scrape (1) or not (0)."
)
SOURCE_READ_SECONDS = _exporter(
    "efo_source_read_seconds{source}", "How long the source took to be read for this scrape."
)

_database = partial(Gauge, DATABASE)
RELEASE_INFO = _database(
    "efo_release_info{ontology,schema,version,version_iri,partial}",
    "The published release, as labels; partial means that EFO_LIMIT cut it.",
)
RELEASE_ID = _database(
    "efo_release_id{ontology,schema}", "Number of the published release in the ledger."
)
RELEASE_PUBLISHED = _database(
    "efo_release_published_timestamp_seconds{ontology,schema}",
    "When the published release was published, by the database's clock.",
)
RELEASE_INTERVAL = _database(
    "efo_release_interval_seconds{ontology,schema}",
    "The longest time between two of the last six publications; from the third one on.",
)
TABLE_ROWS = _database(
    "efo_table_rows{ontology,schema,table}",
    "Rows of the published release, as the ledger has them; a term that vanished counts no more.",
)
ROW_CHANGES = _database(
    "efo_release_row_changes{ontology,schema,table,change}",
    "Rows that the published release inserted, changed or removed; of other schemas than "
    "EFO_SCHEMA not those of which it is none.",
)
CHECKS = _database(
    "efo_checks{ontology,schema,outcome}",
    "Checks of the last audit by outcome: passed, warned (publication goes on), refused.",
)
CHECK_PASSED = _database(
    "efo_check_passed{ontology,schema,check,blocking}",
    "Whether the check passed (1) or not (0) in the last audit; of other schemas than EFO_SCHEMA "
    "only those that found something.",
)
CHECK_OFFENDERS = _database(
    "efo_check_offenders{ontology,schema,check,blocking}",
    "Rows that the check found wrong in the last audit; likewise.",
)
AUDIT_TIMESTAMP = _database(
    "efo_audit_timestamp_seconds{ontology,schema}",
    "When the last audit was, by the database's clock.",
)

_dagster = partial(Gauge, DAGSTER)
RUNS = _dagster(
    "efo_runs{dagster_job,ontology,status}",
    "Runs that Dagster's history holds, by job and status; of a catalogue those of all ontologies.",
)
RUN_ENDED = _dagster(
    "efo_run_last_end_timestamp_seconds{dagster_job,ontology,status}",
    "When the last run with this outcome ended, of a job, or of an ontology of a catalogue's job.",
)
FAILED_IN_A_ROW = _dagster(
    "efo_runs_failed_in_a_row{dagster_job,ontology}",
    "Failed runs since the last success, of a job, or of an ontology of a catalogue's job.",
)
ASSET_SUCCESS = _dagster(
    "efo_asset_last_success_timestamp_seconds{asset,ontology}",
    "When the asset was last materialized, of a catalogue for any ontology; a release that is "
    "published already counts, too.",
)
ASSET_DURATION = _dagster(
    "efo_asset_last_duration_seconds{asset,ontology}",
    "How long the step took that last materialized the asset; assets may share one.",
)
OLS_LATENCY = _dagster(
    "efo_ols_request_latency_seconds{ontology,quantile}",
    "Latency of requests to OLS in the last download, by quantile.",
)
OLS_REQUESTS = _dagster(
    "efo_ols_requests{ontology}", "Requests to OLS in the last download, retries included."
)
OLS_RETRIES = _dagster(
    "efo_ols_retries{ontology}", "Requests that had to be sent again in the last download."
)
OLS_RECEIVED = _dagster(
    "efo_ols_received_bytes{ontology}", "What OLS sent in the last download, compressed."
)
OLS_SECONDS = _dagster("efo_ols_download_seconds{ontology}", "How long the last download took.")
OLS_PAGES = _dagster(
    "efo_ols_pages{ontology,origin}",
    "Pages of the last download: fetched, or kept from an earlier one.",
)
DAEMON_HEARTBEAT = _dagster(
    "efo_daemon_heartbeat_timestamp_seconds{daemon}",
    "Last heartbeat of a daemon that the instance needs; 0 where it never ran.",
)
DAEMON_ERRORS = _dagster(
    "efo_daemon_errors{daemon}", "Errors that the daemon's last heartbeat reports."
)
INSTIGATOR_RUNNING = _dagster(
    "efo_instigator_running{instigator,kind}",
    "Whether the sensor or schedule is switched on (1) or off (0).",
)
INSTIGATOR_INTERVAL = _dagster(
    "efo_instigator_interval_seconds{instigator,kind}", "How often the sensor is evaluated at most."
)
TICK_TIMESTAMP = _dagster(
    "efo_instigator_last_tick_timestamp_seconds{instigator,kind}",
    "When the sensor or schedule last ticked.",
)
TICK_STATUS = _dagster(
    "efo_instigator_last_tick_status{instigator,kind,status}",
    "1 for the outcome of the last tick that ended, 0 for the others.",
)
TICKS_FAILED_IN_A_ROW = _dagster(
    "efo_instigator_ticks_failed_in_a_row{instigator,kind}",
    "Failed ticks since the last that ended well; at most 25 are looked at.",
)

GAUGES = tuple(each for each in globals().values() if isinstance(each, Gauge))
