"""The hook that reports a failed step to Sentry from the run's own process.

There the exception is at hand with its stack, that of an expected failure behind the one sentence
that Dagster shows, and a failed blocking check, too, which no code of ours raises. Dagster calls
it once for a step that failed, and not for one that was interrupted. It is attached only where
SENTRY_DSN is set, since Dagster writes an event for every step that has one.
"""

from collections.abc import Sequence
from typing import TypeVar

import dagster as dg

from efo_assets.alerts.runs import assets_of, release_of
from efo_assets.alerts.sentry import Report, Sentry
from efo_assets.errors import EfoError, SettingsError
from efo_assets.settings import AlertSettings

Watched = TypeVar("Watched", dg.AssetsDefinition, dg.AssetChecksDefinition)


def watched(definitions: Sequence[Watched]) -> list[Watched]:
    """The same assets or checks; where SENTRY_DSN is set, with the hook."""
    try:
        is_on = AlertSettings.from_environment().sentry_dsn is not None
    except SettingsError:
        # The sensors' ticks say what is wrong.
        is_on = False
    if not is_on:
        return list(definitions)
    return [each.with_hooks({report_to_sentry}) for each in definitions]  # type: ignore[misc]


@dg.failure_hook(name="efo_report_to_sentry")
def report_to_sentry(context: dg.HookContext) -> None:
    """Report the exception of the step; where that fails, say so and let the run end as it does."""
    error = context.op_exception
    if error is None:
        return
    try:
        settings = AlertSettings.from_environment()
        if settings.sentry_dsn is not None:
            Sentry(settings.sentry_dsn).exception(_original(error), _report(context, settings))
    except EfoError as problem:
        context.log.warning("%s", problem)


def _original(error: BaseException) -> BaseException:
    """What was raised first, where one sentence of it was made for Dagster."""
    first = error.__context__
    return first if isinstance(error, dg.Failure) and isinstance(first, EfoError) else error


def _report(context: dg.HookContext, settings: AlertSettings) -> Report:
    run_id, step = context.run_id, context.step_key
    tags = {
        "run_id": run_id,
        "job": context.job_name,
        "step": step,
        "asset": ", ".join(assets_of(context.instance, run_id, step)),
        "ontology": settings.ontology,
        "ols_release": release_of(context.instance, run_id) or "",
        "run_url": f"{settings.ui_url}/runs/{run_id}" if settings.ui_url else "",
    }
    return Report(
        step=step,
        tags={name: value for name, value in tags.items() if value},
        cause=_failed_checks(context.op_exception),
    )


def _failed_checks(error: BaseException | None) -> tuple[str, ...]:
    """The lines `asset: check, check` of Dagster's error for failed blocking checks."""
    if type(error).__name__ != "DagsterAssetCheckFailedError":
        return ()
    return tuple(sorted(str(error).splitlines()[1:]))
