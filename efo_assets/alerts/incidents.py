"""Incidents, derived from the run records of Dagster's instance: nothing is kept in memory.

An incident of a job begins with its first failed run after a success, or ever, and ends with its
next success; whatever fails in between, and why, belongs to it. How far each receiver knows of it
is a tag on the run that began the incident, so that it survives restarts. A run that was canceled
on purpose counts for nothing.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import takewhile
from typing import Literal, TypeAlias

import dagster as dg

from efo_assets.alerts.runs import events

State: TypeAlias = Literal["telling", "told", "missed", "over"]
"""`telling`: being delivered, or interrupted at it. `missed`: it did not arrive."""

TAG_PREFIX = "efo_assets/alert_"
WILL_RETRY_TAG = "dagster/will_retry"
"""Set by Dagster on a failed run that its daemon starts again (`run_retries`)."""
PAGE_RUNS = 50

_ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


@dataclass(frozen=True, slots=True)
class Incident:
    """The failed runs of one job between two successes, up to a given run."""

    first: dg.DagsterRun
    began: datetime
    failures: int

    @property
    def run_id(self) -> str:
        """The id of the run that began it, which is the incident's own."""
        return self.first.run_id


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
    if any(each.succeeded for each in later):
        return None
    return _incident([*own, *_failures(earlier)])


def ended_by(instance: dg.DagsterInstance, run: dg.DagsterRun) -> Incident | None:
    """The incident that a successful run ends, or None if there was none."""
    _, _, earlier = _around(instance, run)
    return _incident(list(_failures(earlier)))


def is_retried(run: dg.DagsterRun) -> bool:
    """Whether Dagster starts a failed run again by itself."""
    return run.tags.get(WILL_RETRY_TAG) == "true"


@dataclass(frozen=True, slots=True)
class _Ended:
    run: dg.DagsterRun
    at_s: float
    storage_id: int
    succeeded: bool


def _failures(ended: Iterable[_Ended]) -> Iterator[_Ended]:
    return takewhile(lambda each: not each.succeeded, ended)


def _incident(failed: list[_Ended]) -> Incident | None:
    if not failed:
        return None
    first = failed[-1]
    return Incident(first.run, datetime.fromtimestamp(first.at_s, UTC), len(failed))


def _around(
    instance: dg.DagsterInstance, run: dg.DagsterRun
) -> tuple[list[_Ended], list[_Ended], list[_Ended]]:
    """Runs of the job that ended after `run`, itself, and those before; the last one first."""
    ended: list[_Ended] = []
    own = 0
    for page in _pages(instance, run.job_name):
        ended += [each for each in page if _location(each.run) == _location(run)]
        ended.sort(key=lambda each: (each.at_s, each.storage_id), reverse=True)
        own = next((i for i, each in enumerate(ended) if each.run.run_id == run.run_id), len(ended))
        # The incident is whole as soon as a success before the run is known.
        if any(each.succeeded for each in ended[own + 1 :]):
            break
    return ended[:own], ended[own : own + 1], ended[own + 1 :]


def _pages(instance: dg.DagsterInstance, job: str) -> Iterator[list[_Ended]]:
    wanted = dg.RunsFilter(job_name=job, statuses=_ENDED)
    cursor: str | None = None
    while records := instance.get_run_records(wanted, limit=PAGE_RUNS, cursor=cursor):
        yield [_ended(each) for each in records if _counts(instance, each.dagster_run)]
        cursor = records[-1].dagster_run.run_id


def _ended(record: dg.RunRecord) -> _Ended:
    at_s = record.end_time or record.update_timestamp.timestamp()
    succeeded = record.dagster_run.status is dg.DagsterRunStatus.SUCCESS
    return _Ended(record.dagster_run, at_s, record.storage_id, succeeded)


def _counts(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether a run succeeded or failed.

    Run monitoring reports a run that ran too long as failed; the run's own process, which ends a
    little later, makes a canceled one of it.
    """
    if run.status is not dg.DagsterRunStatus.CANCELED:
        return True
    return bool(events(instance, run.run_id, dg.DagsterEventType.RUN_FAILURE))


def _location(run: dg.DagsterRun) -> str | None:
    """The code location, or None for a run that a command executed by itself."""
    return run.remote_job_origin.location_name if run.remote_job_origin else None
