"""Metrics from Dagster's instance: runs, assets, the last download, daemons, sensors, schedules.

Read from its storage alone, so no code location is loaded and whatever jobs, sensors and schedules
there are show up by their names.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Any

import dagster as dg
from prometheus_client.metrics_core import Metric

from efo_assets.graph.ontology import Ontology
from efo_assets.graph.raw import LATENCY_QUANTILES, latency_key
from efo_assets.monitoring import catalogue

RECENT_RUNS = 100
"""Runs looked at for the jobs that there are, their last ends and their failures in a row."""
RECENT_TICKS = 25
MOST_ASSETS = 200
MOST_INSTIGATORS = 50
ENDED_RUN = ("SUCCESS", "FAILURE", "CANCELED")
ENDED_TICK = ("SUCCESS", "SKIPPED", "FAILURE")

# MANAGED is a status of runs that no launcher of today makes.
_STATUSES = [each for each in dg.DagsterRunStatus if each.value != "MANAGED"]
_Figures = dict[catalogue.LabelValues, float]


def read_instance(instance: dg.DagsterInstance) -> list[Metric]:
    """Every metric of Dagster; those of what never ran are empty."""
    readers = (_of_runs, _of_assets, _of_daemons, _of_instigators)
    return [metric for read in readers for metric in read(instance)]


def _of_runs(instance: dg.DagsterInstance) -> Iterator[Metric]:
    newest_first = instance.get_run_records(limit=RECENT_RUNS)
    jobs = sorted({record.dagster_run.job_name for record in newest_first})
    yield catalogue.RUNS.of(
        {
            (job, status.value): instance.get_runs_count(
                dg.RunsFilter(job_name=job, statuses=[status])
            )
            for job in jobs
            for status in _STATUSES
        }
    )
    ends: _Figures = {}
    statuses: dict[str, list[str]] = {job: [] for job in jobs}
    for record in newest_first:
        job, status = record.dagster_run.job_name, record.dagster_run.status.value
        statuses[job].append(status)
        if status in ENDED_RUN and record.end_time is not None:
            ends[job, status] = max(record.end_time, ends.get((job, status), 0.0))
    yield catalogue.RUN_ENDED.of(ends)
    yield catalogue.FAILED_IN_A_ROW.of(
        {
            (job,): list(takewhile(lambda each: each != "SUCCESS", its)).count("FAILURE")
            for job, its in statuses.items()
        }
    )


def _of_assets(instance: dg.DagsterInstance) -> Iterator[Metric]:
    keys = instance.get_asset_keys(limit=MOST_ASSETS)
    entries = [record.asset_entry for record in instance.get_asset_records(keys)]
    events = {
        entry.asset_key: entry.last_materialization
        for entry in entries
        if entry.last_materialization is not None
    }
    yield catalogue.ASSET_SUCCESS.of(
        {(key.to_user_string(),): event.timestamp for key, event in events.items()}
    )
    yield catalogue.ASSET_DURATION.of(_durations(instance, events))
    download = events.get(Ontology().names.raw)
    if download is not None and download.asset_materialization is not None:
        yield from _of_download(download.asset_materialization.metadata)


def _durations(
    instance: dg.DagsterInstance, events: Mapping[dg.AssetKey, dg.EventLogEntry]
) -> _Figures:
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
        (key.to_user_string(),): seconds[event.run_id, event.step_key]
        for key, event in events.items()
        if event.step_key is not None and (event.run_id, event.step_key) in seconds
    }


def _of_download(metadata: Mapping[str, dg.MetadataValue[Any]]) -> Iterator[Metric]:
    """What the raw asset noted of its last download; an older one may have noted less."""
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
            {labels: float(metadata[key].value) for labels, key in keys.items() if key in metadata}
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
