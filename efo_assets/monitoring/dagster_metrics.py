"""Metrics from Dagster's instance: runs, assets, the last download, daemons, sensors, schedules.

Read from its storage alone, so no code location is loaded and whatever jobs, sensors and schedules
there are show up by their names.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import dagster as dg
from prometheus_client.metrics_core import Metric

from efo_assets.graph.raw import LATENCY_QUANTILES, latency_key, raw_ols_pages
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
_Figures = dict[tuple[str, ...], float]


def read_instance(instance: dg.DagsterInstance) -> list[Metric]:
    """Every metric of Dagster; those of what never ran are empty."""
    return [
        *_of_runs(instance),
        *_of_assets(instance),
        *_of_daemons(instance),
        *_of_instigators(instance),
    ]


def _of_runs(instance: dg.DagsterInstance) -> Iterator[Metric]:
    recent = instance.get_run_records(limit=RECENT_RUNS)
    jobs = sorted({record.dagster_run.job_name for record in recent})
    yield catalogue.RUNS.of(
        {
            (job, status.value): instance.get_runs_count(
                dg.RunsFilter(job_name=job, statuses=[status])
            )
            for job in jobs
            for status in _STATUSES
        }
    )
    yield catalogue.RUN_ENDED.of(_last_ends(recent))
    yield catalogue.FAILED_IN_A_ROW.of({(job,): _failed_in_a_row(recent, job) for job in jobs})


def _last_ends(newest_first: Sequence[dg.RunRecord]) -> _Figures:
    ends: _Figures = {}
    for record in newest_first:
        run = record.dagster_run
        if run.status.value in ENDED_RUN and record.end_time is not None:
            key = (run.job_name, run.status.value)
            ends[key] = max(record.end_time, ends.get(key, 0.0))
    return ends


def _failed_in_a_row(newest_first: Sequence[dg.RunRecord], job: str) -> int:
    failed = 0
    for record in newest_first:
        if record.dagster_run.job_name == job:
            if record.dagster_run.status is dg.DagsterRunStatus.SUCCESS:
                break
            failed += record.dagster_run.status is dg.DagsterRunStatus.FAILURE
    return failed


def _of_assets(instance: dg.DagsterInstance) -> Iterator[Metric]:
    keys = instance.get_asset_keys(limit=MOST_ASSETS)
    events = {
        record.asset_entry.asset_key: record.asset_entry.last_materialization
        for record in instance.get_asset_records(keys)
    }
    made = {key: event for key, event in events.items() if event is not None}
    yield catalogue.ASSET_SUCCESS.of(
        {(key.to_user_string(),): event.timestamp for key, event in made.items()}
    )
    yield catalogue.ASSET_DURATION.of(_durations(instance, made))
    downloaded = made.get(raw_ols_pages.key)
    if downloaded is not None and downloaded.asset_materialization is not None:
        yield from _of_download(downloaded.asset_materialization.metadata)


def _durations(
    instance: dg.DagsterInstance, made: Mapping[dg.AssetKey, dg.EventLogEntry]
) -> _Figures:
    """Seconds by asset, of steps that have ended; one query per run."""
    steps: dict[str, set[str]] = {}
    for event in made.values():
        if event.step_key is not None:
            steps.setdefault(event.run_id, set()).add(event.step_key)
    took = {
        (run_id, stats.step_key): stats.end_time - stats.start_time
        for run_id, step_keys in steps.items()
        for stats in instance.get_run_step_stats(run_id, sorted(step_keys))
        if stats.start_time is not None and stats.end_time is not None
    }
    return {
        (key.to_user_string(),): took[event.run_id, event.step_key]
        for key, event in made.items()
        if event.step_key is not None and (event.run_id, event.step_key) in took
    }


def _of_download(metadata: Mapping[str, dg.MetadataValue[Any]]) -> Iterator[Metric]:
    """What the raw asset says of its last download; an older one may say less."""

    def given(figures: Mapping[tuple[str, ...], str]) -> _Figures:
        return {
            labels: float(metadata[key].value) for labels, key in figures.items() if key in metadata
        }

    yield catalogue.OLS_LATENCY.of(
        given({(f"{quantile:g}",): latency_key(quantile) for quantile in LATENCY_QUANTILES})
    )
    yield catalogue.OLS_REQUESTS.of(given({(): "requests"}))
    yield catalogue.OLS_RETRIES.of(given({(): "retries"}))
    yield catalogue.OLS_RECEIVED.of(given({(): "bytes_received"}))
    yield catalogue.OLS_SECONDS.of(given({(): "seconds"}))
    yield catalogue.OLS_PAGES.of(given({("fetched",): "fetched", ("kept",): "reused"}))


def _of_daemons(instance: dg.DagsterInstance) -> Iterator[Metric]:
    beats = {
        daemon: status.last_heartbeat for daemon, status in instance.get_daemon_statuses().items()
    }
    yield catalogue.DAEMON_HEARTBEAT.of(
        {(daemon,): beat.timestamp if beat else 0.0 for daemon, beat in beats.items()}
    )
    yield catalogue.DAEMON_ERRORS.of(
        {(daemon,): len(beat.errors or ()) if beat else 0 for daemon, beat in beats.items()}
    )


def _of_instigators(instance: dg.DagsterInstance) -> Iterator[Metric]:
    running: _Figures = {}
    intervals: _Figures = {}
    ticked: _Figures = {}
    outcomes: _Figures = {}
    failures: _Figures = {}
    for key, (state, ticks) in _instigators(instance).items():
        running[key] = state.is_running
        interval_s = getattr(state.instigator_data, "min_interval", None)
        if interval_s is not None:
            intervals[key] = interval_s
        if ticks:
            ticked[key] = ticks[0].timestamp
        ended = [tick.status.value for tick in ticks if tick.status.value in ENDED_TICK]
        for status in ENDED_TICK if ended else ():
            outcomes[*key, status] = status == ended[0]
        failures[key] = _leading(ended, "FAILURE")
    yield catalogue.INSTIGATOR_RUNNING.of(running)
    yield catalogue.INSTIGATOR_INTERVAL.of(intervals)
    yield catalogue.TICK_TIMESTAMP.of(ticked)
    yield catalogue.TICK_STATUS.of(outcomes)
    yield catalogue.TICKS_FAILED_IN_A_ROW.of(failures)


def _instigators(instance: dg.DagsterInstance) -> dict[tuple[str, str], tuple[Any, Sequence[Any]]]:
    """State and newest ticks by name and kind.

    A name may stand there twice, from a code location of before: the one that ticked last counts.
    """
    found: dict[tuple[str, str], tuple[Any, Sequence[Any]]] = {}
    for state in instance.all_instigator_state()[:MOST_INSTIGATORS]:
        ticks = instance.get_ticks(
            state.instigator_origin_id, state.selector_id, limit=RECENT_TICKS
        )
        key = (state.name, state.instigator_type.value.lower())
        if key not in found or _last_tick_s(ticks) > _last_tick_s(found[key][1]):
            found[key] = (state, ticks)
    return found


def _last_tick_s(ticks: Sequence[Any]) -> float:
    return float(ticks[0].timestamp) if ticks else 0.0


def _leading(values: Sequence[str], wanted: str) -> int:
    """How many of the first values in a row are `wanted`."""
    return next((n for n, value in enumerate(values) if value != wanted), len(values))
