"""Metrics from Dagster's instance: runs, assets, the last download, daemons, sensors, schedules.

Read from its storage alone, so no code location is loaded and whatever jobs, sensors and schedules
there are show up by their names.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import takewhile
from typing import Any

import dagster as dg
from prometheus_client.metrics_core import Metric

from efo_assets.graph.ontology import Names, Ontology
from efo_assets.graph.raw import LATENCY_QUANTILES, latency_key
from efo_assets.graph.resources import PARTITION
from efo_assets.graph.run_tags import GRAPH, is_of_catalogue, ontology_of
from efo_assets.monitoring import catalogue
from efo_assets.privacy.logs import logger

RECENT_RUNS = 100
"""Runs looked at for jobs that are none of ours."""
RECENT_OF_PARTITIONS = 500
"""Ended runs looked at of those ontologies of a catalogue whose newest run did not succeed."""
RECENT_TICKS = 25
MOST_ASSETS = 1_000
"""A graph has 27."""
MOST_INSTIGATORS = 200
RAW = Ontology().names.raw.path[-1]
RELEASE = "release"
"""Metadata of every materialization of ours: ontology and version."""
ENDED_RUN = [
    dg.DagsterRunStatus.SUCCESS,
    dg.DagsterRunStatus.FAILURE,
    dg.DagsterRunStatus.CANCELED,
]
ENDED_TICK = ("SUCCESS", "SKIPPED", "FAILURE")

# MANAGED is a status of runs that no launcher of today makes.
_STATUSES = [each for each in dg.DagsterRunStatus if each.value != "MANAGED"]
_Figures = dict[catalogue.LabelValues, float]
Metadata = Mapping[str, dg.MetadataValue[Any]]

_log = logger(__name__)


def read_instance(instance: dg.DagsterInstance) -> list[Metric]:
    """Every metric of Dagster; those of what never ran are empty."""
    readers = (_of_runs, _of_assets, _of_daemons, _of_instigators)
    return [metric for read in readers for metric in read(instance)]


def _of_runs(instance: dg.DagsterInstance) -> Iterator[Metric]:
    counts: _Figures = {}
    ends: _Figures = {}
    failures: _Figures = {}
    for job in _jobs(instance):
        (newest,) = instance.get_run_records(dg.RunsFilter(job_name=job), limit=1) or (None,)
        if newest is None:
            continue
        tags = newest.dagster_run.tags
        ontology = "" if is_of_catalogue(tags) else ontology_of(tags) or ""
        for status in _STATUSES:
            those = dg.RunsFilter(job_name=job, statuses=[status])
            counts[job, ontology, status.value] = instance.get_runs_count(those)
        series = (
            _of_partitions(instance, job)
            if is_of_catalogue(tags)
            else {ontology: _of_job(instance, job)}
        )
        for each, (its_ends, its_failures) in series.items():
            ends |= {(job, each, status): end_s for status, end_s in its_ends.items()}
            failures[job, each] = its_failures
    yield catalogue.RUNS.of(counts)
    yield catalogue.RUN_ENDED.of(ends)
    yield catalogue.FAILED_IN_A_ROW.of(failures)


def _jobs(instance: dg.DagsterInstance) -> list[str]:
    """The jobs of recent runs, and those of graphs whenever they last ran.

    A backfill of all ontologies is 270 recent runs of one job.
    """
    recent = {each.dagster_run.job_name for each in instance.get_run_records(limit=RECENT_RUNS)}
    graphs = dict(instance.get_run_tags([GRAPH])).get(GRAPH, set())
    return sorted(recent | {Names([graph], None).job for graph in graphs})


def _of_job(instance: dg.DagsterInstance, job: str) -> tuple[dict[str, float], int]:
    """When its last run with each outcome ended, and how many failed since the last success."""
    ends = {}
    since = None
    for status in ENDED_RUN:
        for record in instance.get_run_records(
            dg.RunsFilter(job_name=job, statuses=[status]), limit=1
        ):
            ends[status.value] = _end_s(record)
            if status is dg.DagsterRunStatus.SUCCESS:
                since = record.create_timestamp
    failed = dg.RunsFilter(
        job_name=job, statuses=[dg.DagsterRunStatus.FAILURE], created_after=since
    )
    return ends, instance.get_runs_count(failed)


def _of_partitions(
    instance: dg.DagsterInstance, job: str
) -> dict[str, tuple[dict[str, float], int]]:
    """The same by ontology of a catalogue; of one that last succeeded, the success alone."""
    series: dict[str, tuple[dict[str, float], int]] = {}
    others = []
    # The newest run of each partition, in one query.
    for newest in instance.get_run_partition_data(dg.RunsFilter(job_name=job)):
        if newest.status is dg.DagsterRunStatus.SUCCESS and newest.end_time is not None:
            series[newest.partition] = ({newest.status.value: newest.end_time}, 0)
        else:
            others.append(newest.partition)
    ended = dg.RunsFilter(job_name=job, tags={PARTITION: others}, statuses=ENDED_RUN)
    records = instance.get_run_records(ended, limit=RECENT_OF_PARTITIONS) if others else []
    by_partition: dict[str, list[dg.RunRecord]] = {each: [] for each in others}
    for record in records:
        by_partition[record.dagster_run.tags[PARTITION]].append(record)
    for partition, its in by_partition.items():
        statuses = [each.dagster_run.status.value for each in its]
        # The newest is written last.
        ends = {each.dagster_run.status.value: _end_s(each) for each in reversed(its)}
        since_success = list(takewhile(lambda status: status != "SUCCESS", statuses))
        series[partition] = (ends, since_success.count("FAILURE"))
    return series


def _end_s(record: dg.RunRecord) -> float:
    return record.end_time or record.update_timestamp.timestamp()


def _of_assets(instance: dg.DagsterInstance) -> Iterator[Metric]:
    keys = instance.get_asset_keys(limit=MOST_ASSETS)
    if len(keys) == MOST_ASSETS:
        _tell_of_the_limit()
    entries = [record.asset_entry for record in instance.get_asset_records(keys)]
    events = {
        entry.asset_key: entry.last_materialization
        for entry in entries
        if entry.last_materialization is not None
    }
    labels = {key: (key.to_user_string(), _ontology_of(event)) for key, event in events.items()}
    yield catalogue.ASSET_SUCCESS.of({labels[key]: each.timestamp for key, each in events.items()})
    seconds = _durations(instance, events)
    yield catalogue.ASSET_DURATION.of({labels[key]: each for key, each in seconds.items()})
    raw = [(key, event) for key, event in events.items() if key.path[-1] == RAW]
    yield from _of_downloads(
        {
            ontology: metadata
            for key, event in raw
            for ontology, metadata in _downloads(instance, key, event).items()
        }
    )


@cache
def _tell_of_the_limit() -> None:
    """Once, since Prometheus asks every few seconds."""
    _log.warning("of Dagster's assets the first %d have metrics", MOST_ASSETS)


def _ontology_of(event: dg.EventLogEntry) -> str:
    """The ontology whose release an event of ours names; of a catalogue's asset none."""
    made = event.asset_materialization
    if made is None or made.partition is not None or RELEASE not in made.metadata:
        return ""
    # Other people's assets may have a `release`, too.
    ontology, space, _ = str(made.metadata[RELEASE].value).partition(" ")
    return ontology if space else ""


def _downloads(
    instance: dg.DagsterInstance, key: dg.AssetKey, newest: dg.EventLogEntry
) -> dict[str, Metadata]:
    """What a raw asset noted of the last download, of a catalogue that of each ontology."""
    events = [newest]
    if newest.asset_materialization is not None and newest.asset_materialization.partition:
        kind = dg.DagsterEventType.ASSET_MATERIALIZATION
        # No public API tells the newest of each partition: one by one it would be 270 queries.
        ids = instance.event_log_storage.get_latest_storage_id_by_partition(key, kind)
        those = dg.AssetRecordsFilter(key, storage_ids=list(ids.values()))
        records = instance.fetch_materializations(those, limit=len(ids)).records
        events = [record.event_log_entry for record in records]
    made = [each.asset_materialization for each in events]
    return {
        each.partition or _ontology_of(newest): each.metadata for each in made if each is not None
    }


def _durations(
    instance: dg.DagsterInstance, events: Mapping[dg.AssetKey, dg.EventLogEntry]
) -> dict[dg.AssetKey, float]:
    """Seconds by asset, of steps that have ended; one query per run."""
    steps: dict[str, set[str]] = {}
    for event in events.values():
        if event.step_key is not None:
            steps.setdefault(event.run_id, set()).add(event.step_key)
    seconds = {
        (run_id, stats.step_key): stats.end_time - stats.start_time
        for run_id, step_keys in steps.items()
        for stats in instance.get_run_step_stats(run_id, sorted(step_keys))
        if stats.start_time is not None and stats.end_time is not None
    }
    return {
        key: seconds[event.run_id, event.step_key]
        for key, event in events.items()
        if event.step_key is not None and (event.run_id, event.step_key) in seconds
    }


def _of_downloads(by_ontology: Mapping[str, Metadata]) -> Iterator[Metric]:
    """The figures of the last download; an older one may have noted less."""
    latencies = {(f"{quantile:g}",): latency_key(quantile) for quantile in LATENCY_QUANTILES}
    for gauge, keys in (
        (catalogue.OLS_LATENCY, latencies),
        (catalogue.OLS_REQUESTS, {(): "requests"}),
        (catalogue.OLS_RETRIES, {(): "retries"}),
        (catalogue.OLS_RECEIVED, {(): "bytes_received"}),
        (catalogue.OLS_SECONDS, {(): "seconds"}),
        (catalogue.OLS_PAGES, {("fetched",): "fetched", ("kept",): "reused"}),
    ):
        yield gauge.of(
            {
                (ontology, *labels): float(metadata[key].value)
                for ontology, metadata in by_ontology.items()
                for labels, key in keys.items()
                if key in metadata
            }
        )


def _of_daemons(instance: dg.DagsterInstance) -> Iterator[Metric]:
    statuses = instance.get_daemon_statuses().items()
    beats = {(daemon,): status.last_heartbeat for daemon, status in statuses}
    yield catalogue.DAEMON_HEARTBEAT.of(
        {daemon: beat.timestamp if beat else 0.0 for daemon, beat in beats.items()}
    )
    yield catalogue.DAEMON_ERRORS.of(
        {daemon: len(beat.errors or ()) if beat else 0 for daemon, beat in beats.items()}
    )


def _of_instigators(instance: dg.DagsterInstance) -> Iterator[Metric]:
    running: _Figures = {}
    intervals: _Figures = {}
    ticked: _Figures = {}
    statuses: _Figures = {}
    failures: _Figures = {}
    for key, (last_tick_s, state, ticks) in _instigators(instance).items():
        running[key] = state.is_running
        interval_s = getattr(state.instigator_data, "min_interval", None)
        if interval_s is not None:
            intervals[key] = interval_s
        if ticks:
            ticked[key] = last_tick_s
        ended = [tick.status.value for tick in ticks if tick.status.value in ENDED_TICK]
        for status in ENDED_TICK if ended else ():
            statuses[*key, status] = status == ended[0]
        failures[key] = len(list(takewhile(lambda status: status == "FAILURE", ended)))
    yield catalogue.INSTIGATOR_RUNNING.of(running)
    yield catalogue.INSTIGATOR_INTERVAL.of(intervals)
    yield catalogue.TICK_TIMESTAMP.of(ticked)
    yield catalogue.TICK_STATUS.of(statuses)
    yield catalogue.TICKS_FAILED_IN_A_ROW.of(failures)


def _instigators(
    instance: dg.DagsterInstance,
) -> dict[tuple[str, str], tuple[float, Any, Sequence[Any]]]:
    """When each sensor and schedule last ticked, its state and newest ticks, by name and kind.

    A name may stand there twice, from a code location of before: the one that ticked last counts.
    """
    newest: dict[tuple[str, str], tuple[float, Any, Sequence[Any]]] = {}
    for state in instance.all_instigator_state()[:MOST_INSTIGATORS]:
        ticks = instance.get_ticks(
            state.instigator_origin_id, state.selector_id, limit=RECENT_TICKS
        )
        key = (state.name, state.instigator_type.value.lower())
        last_tick_s = float(ticks[0].timestamp) if ticks else 0.0
        if key not in newest or last_tick_s > newest[key][0]:
            newest[key] = (last_tick_s, state, ticks)
    return newest
