"""Incidents, derived from the run records of Dagster's instance: nothing is kept in memory.

An incident of a job begins with its first failed run after a success, or ever, and ends with its
next success; whatever fails in between, and why, belongs to it, but no run that was canceled on
purpose. Each ontology of a catalogue's job has incidents of its own. How far each receiver knows of
one is a tag on the run that began it: it survives restarts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import takewhile
from typing import Literal, TypeAlias

import dagster as dg

from efo_assets.alerts.runs import events
from efo_assets.graph.resources import PARTITION
from efo_assets.graph.run_tags import partition_of

State: TypeAlias = Literal["telling", "told", "missed", "over"]
"""`telling`: being delivered, or interrupted at it. `missed`: it did not arrive."""

TAG_PREFIX = "efo_assets/alert_"
WILL_RETRY_TAG = "dagster/will_retry"
"""Set by Dagster on a failed run that its daemon starts again (`run_retries`)."""
PAGE_RUNS = 50

_ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


@dataclass(frozen=True, slots=True)
class Incident:
    """The failed runs of one job and ontology between two successes, up to a given run."""

    first: dg.DagsterRun
    """The run that began it; its id is the incident's own."""
    began: datetime
    failures: int


def state(run: dg.DagsterRun, receiver: str) -> State | None:
    """How far a receiver knows of the incident that a run began."""
    noted, _, run_id = run.tags.get(f"{TAG_PREFIX}{receiver}", "").partition(" ")
    # A run that is started again inherits tags; these speak of another one.
    if run_id != run.run_id:
        return None
    return noted  # type: ignore[return-value]  # written by `note` alone


def note(instance: dg.DagsterInstance, run: dg.DagsterRun, states: Mapping[str, State]) -> None:
    """Note on a run, by the receivers' names, how far each knows of the incident."""
    tags = {f"{TAG_PREFIX}{name}": f"{known} {run.run_id}" for name, known in states.items()}
    if tags:
        instance.add_run_tags(run.run_id, tags)


def of_failure(instance: dg.DagsterInstance, run: dg.DagsterRun) -> Incident | None:
    """The incident that a failed run belongs to, or None if a success has ended it since."""
    later, own, earlier = _around(instance, run)
    return _incident([*own, *takewhile(_failed, earlier)]) if all(map(_failed, later)) else None


def ended_by(instance: dg.DagsterInstance, run: dg.DagsterRun) -> Incident | None:
    """The incident that a successful run ends, or None if there was none."""
    _, _, earlier = _around(instance, run)
    return _incident(list(takewhile(_failed, earlier)))


def _incident(failed: Sequence[dg.RunRecord]) -> Incident | None:
    if not failed:
        return None
    first = failed[-1]
    return Incident(first.dagster_run, datetime.fromtimestamp(_end_s(first), UTC), len(failed))


def _around(
    instance: dg.DagsterInstance, run: dg.DagsterRun
) -> tuple[list[dg.RunRecord], list[dg.RunRecord], list[dg.RunRecord]]:
    """Its like that ended after `run`, itself, and those before; the last one first."""
    partition = partition_of(run.tags)
    # A catalogue's job has runs of 270 ontologies: the database leaves out the others.
    tags = {PARTITION: partition} if partition else None
    same_job = dg.RunsFilter(job_name=run.job_name, statuses=_ENDED, tags=tags)
    ended: list[dg.RunRecord] = []
    own = 0
    cursor: str | None = None
    while page := instance.get_run_records(same_job, limit=PAGE_RUNS, cursor=cursor):
        cursor = page[-1].dagster_run.run_id
        here = [each for each in page if _series(each.dagster_run) == _series(run)]
        ended += [each for each in here if _counts(instance, each.dagster_run)]
        ended.sort(key=lambda each: (_end_s(each), each.storage_id), reverse=True)
        ids = [each.dagster_run.run_id for each in ended]
        own = ids.index(run.run_id) if run.run_id in ids else len(ids)
        # The incident is whole as soon as a success before the run is known.
        if not all(map(_failed, ended[own + 1 :])):
            break
    return ended[:own], ended[own : own + 1], ended[own + 1 :]


def _failed(record: dg.RunRecord) -> bool:
    return record.dagster_run.status is not dg.DagsterRunStatus.SUCCESS


def _end_s(record: dg.RunRecord) -> float:
    return record.end_time or record.update_timestamp.timestamp()


def _counts(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether a run succeeded or failed.

    Run monitoring reports a run that ran too long as failed; the run's own process, which ends a
    little later, makes a canceled one of it.
    """
    if run.status is not dg.DagsterRunStatus.CANCELED:
        return True
    return bool(events(instance, run.run_id, dg.DagsterEventType.RUN_FAILURE))


def _series(run: dg.DagsterRun) -> tuple[str | None, str | None]:
    """What runs of one job share that follow each other: code location, and ontology.

    The location is None for a run that a command executed by itself.
    """
    origin = run.remote_job_origin
    return (origin.location_name if origin else None, partition_of(run.tags))
