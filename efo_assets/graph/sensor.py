"""The sensor that loads a new release.

It asks Dagster, OLS and the ledger; what follows from their answers is decided in `due`. It is off
unless EFO_AUTOMATION is on (or someone turns it on in the UI), so that a developer's instance
never asks EBI unasked.
"""

import asyncio
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

import dagster as dg
from dagster import DagsterRunStatus as Status

from efo_assets.errors import EfoError, IncompleteDownload, OlsUnreachable, PageRejected
from efo_assets.graph.descriptions import DATA_VERSION_TAG
from efo_assets.graph.due import (
    OUTAGE_S,
    Sighting,
    Situation,
    Tries,
    decide,
    key_of,
    sighted,
    unanswered,
)
from efo_assets.graph.failures import OneSentence
from efo_assets.graph.ols import LIMIT_S, observed, served
from efo_assets.graph.ontology import Names, Ontology
from efo_assets.graph.resources import Loader
from efo_assets.privacy.disclosure import no_secret_shown, shown
from efo_assets.privacy.logs import scrubbing
from efo_assets.warehouse.tables import TABLES

INTERVAL = 1.1
"""From one evaluation to the next, in times of what a sighting takes to be confirmed."""
TICK_LIMIT_S = 45.0
"""Dagster ends an evaluation after 60 s without a word about the cause."""
OUTAGES = (OlsUnreachable, PageRejected, IncompleteDownload)
"""OLS is away or in the midst of a data release, which passes as a rule; no setting is wrong."""

UNDER_WAY = [Status.QUEUED, Status.STARTING, Status.STARTED, Status.CANCELING]
"""Without NOT_STARTED: a daemon that dies before the launch leaves such a run behind, and launches
it only when its run key is requested again."""
ENDED = [Status.SUCCESS, Status.FAILURE, Status.CANCELED]

T = TypeVar("T")


class TickFailed(OneSentence):
    """An expected failure of a sensor's evaluation."""


def release_sensor(
    ontology: Ontology,
    *,
    clock: Callable[[], float] = time.time,
    ols_limit_s: float = LIMIT_S,
    tick_limit_s: float = TICK_LIMIT_S,
) -> dg.SensorDefinition:
    """Make the sensor of one graph; `clock` gives seconds since the epoch."""
    names, automation = ontology.names, ontology.when_to_look()
    every_s = math.ceil(automation.release_confirm_s * INTERVAL)

    @dg.sensor(
        name=names.sensor,
        job_name=names.job,
        required_resource_keys=ontology.resources,
        minimum_interval_seconds=every_s,
        default_status=(
            dg.DefaultSensorStatus.RUNNING if automation.is_on else dg.DefaultSensorStatus.STOPPED
        ),
        description=(
            "Loads the release that OLS serves, when it isn't the published one and was the same "
            f"on two evaluations at least {automation.release_confirm_s} s apart. After a failed "
            "run it asks again, with growing pauses."
        ),
    )
    def looks_for_a_release(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        now_s = clock()
        log = scrubbing(context.log)
        # Before the ledger: a run that ends between the two questions isn't taken for a failed one.
        under_way = _under_way(context.instance, names)
        try:
            with no_secret_shown(), Loader(ontology, resources=context.resources) as loader:
                settings = loader.settings
                published, release = in_time(
                    lambda: (
                        loader.warehouse.current_release(),
                        asyncio.run(served(settings, loader.warehouse, ols_limit_s)),
                    ),
                    tick_limit_s,
                )
        except EfoError as error:
            if isinstance(error, OUTAGES):
                outage = unanswered(Sighting.read(context.cursor), now_s)
                lasted_s = now_s - (outage.unanswered_since_s or now_s)
                if lasted_s < OUTAGE_S:
                    return dg.SensorResult(
                        skip_reason=f"{shown(error)} For {lasted_s / 60:.0f} minutes so far; it is "
                        f"an error after {OUTAGE_S / 60:.0f}. It asks again within "
                        f"{math.ceil(every_s / 60)} minutes.",
                        cursor=outage.written(),
                    )
            raise TickFailed(
                f"{shown(error)} No run was requested, and what the sensor has seen before stays; "
                f"it asks again within {math.ceil(every_s / 60)} minutes."
            ) from None
        key = key_of(release)
        sighting = sighted(Sighting.read(context.cursor), key, now_s)
        tries = tries_of(context.instance, names, key)
        decision = decide(
            release,
            published=published,
            sighting=sighting,
            under_way=under_way,
            tries=tries,
            limit=settings.limit,
            confirm_s=settings.release_confirm_s,
            now_s=now_s,
        )
        seen = dg.AssetObservation(
            names.ols,
            metadata=observed(release, settings.ols_url),
            tags={DATA_VERSION_TAG: key},
        )
        if decision.situation is not Situation.DUE:
            return dg.SensorResult(
                skip_reason=shown(decision.sentence), cursor=sighting.written(), asset_events=[seen]
            )
        log.info("%s", decision.sentence)
        request = dg.RunRequest(run_key=tries.run_key(key), tags={names.release_tag: key})
        return dg.SensorResult(
            run_requests=[request], cursor=sighting.written(), asset_events=[seen]
        )

    return looks_for_a_release


def in_time(work: Callable[[], T], limit_s: float) -> T:
    """Do `work` in a thread, and leave the thread behind when it takes too long.

    A name service or a database that accepts and never answers can't be interrupted.
    """
    result: Future[T] = Future()

    def run() -> None:
        try:
            result.set_result(work())
        except BaseException as error:  # noqa: BLE001  # raised where the result is wanted
            result.set_exception(error)

    threading.Thread(target=run, name="efo-sensor", daemon=True).start()
    try:
        return result.result(timeout=limit_s)
    except TimeoutError:
        raise EfoError(
            f"PostgreSQL and OLS together did not answer within {limit_s:g} s: look at the "
            "addresses of both and at the network."
        ) from None


def _under_way(instance: dg.DagsterInstance, names: Names) -> str | None:
    """The id of a run that loads now or is in the queue, requested by the sensor or not."""
    loaded = {names.raw, names.release, *map(names.staged, TABLES), *map(names.published, TABLES)}
    runs = instance.get_runs(dg.RunsFilter(statuses=UNDER_WAY))
    for run in runs:
        if run.job_name == names.job or not loaded.isdisjoint(run.asset_selection or ()):
            return run.run_id
    return None


def tries_of(instance: dg.DagsterInstance, names: Names, key: str) -> Tries:
    """The runs for a release that have ended."""
    ended = dg.RunsFilter(tags={names.release_tag: key}, statuses=ENDED)
    newest = instance.get_run_records(ended, limit=1)
    if not newest:
        return Tries()
    (record,) = newest
    ended_at_s = record.end_time or record.update_timestamp.timestamp()
    return Tries(instance.get_runs_count(ended), record.dagster_run.run_id, ended_at_s)
