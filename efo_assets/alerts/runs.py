"""What Dagster's records say about a run: why it failed, where, and with which release in hand."""

from collections.abc import Sequence
from typing import NamedTuple

import dagster as dg

RELEASE_METADATA = "release"
NOTHING_SAID = "It failed, and nothing says why."


class Cause(NamedTuple):
    """Why a run failed."""

    sentence: str
    step: str | None
    """None: no step failed; the run's process is gone, or was ended from outside."""


def cause_of(instance: dg.DagsterInstance, run_id: str) -> Cause:
    """The first failure of a step, or else what the failure of the run says."""
    for event in events(instance, run_id, dg.DagsterEventType.STEP_FAILURE):
        data = event.step_failure_data
        # A run that ran too long is ended from outside: what its step says is only the echo.
        if data.error_source.name != "INTERRUPT":
            return Cause(_sentence(event), event.step_key)
    for event in events(instance, run_id, dg.DagsterEventType.RUN_FAILURE):
        # Run monitoring reports a failure without data.
        error = event.job_failure_data.error if event.event_specific_data else None
        return Cause((error and error.message) or event.message or NOTHING_SAID, None)
    return Cause(NOTHING_SAID, None)


def _sentence(event: dg.DagsterEvent) -> str:
    data = event.step_failure_data
    if data.user_failure_data is not None and data.user_failure_data.description:
        return data.user_failure_data.description
    # Dagster's own error only names the step; what it wraps is the cause.
    error = data.error and (data.error.cause or data.error)
    return error.message if error else NOTHING_SAID


def assets_of(instance: dg.DagsterInstance, run_id: str, step: str) -> list[str]:
    """The assets that a step was to make."""
    planned = events(instance, run_id, dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED)
    return [
        event.asset_key.to_user_string()
        for event in planned
        if event.step_key == step and event.asset_key is not None
    ]


def release_of(instance: dg.DagsterInstance, run_id: str) -> str | None:
    """The ontology's release that this run has materialized something of, as far as is known."""
    for event in reversed(events(instance, run_id, dg.DagsterEventType.ASSET_MATERIALIZATION)):
        noted = event.step_materialization_data.materialization.metadata.get(RELEASE_METADATA)
        if noted is not None:
            return str(noted.value)
    return None


def has_hook(instance: dg.DagsterInstance, run_id: str, step: str) -> bool:
    """Whether a hook of the failed step was at work in the run's own process."""
    kinds = (dg.DagsterEventType.HOOK_COMPLETED, dg.DagsterEventType.HOOK_ERRORED)
    return any(event.step_key == step for kind in kinds for event in events(instance, run_id, kind))


def events(
    instance: dg.DagsterInstance, run_id: str, kind: dg.DagsterEventType
) -> Sequence[dg.DagsterEvent]:
    """All events of one kind, oldest first."""
    records = instance.get_records_for_run(run_id, of_type=kind).records
    entries = (record.event_log_entry for record in records)
    return [entry.dagster_event for entry in entries if entry.dagster_event is not None]
