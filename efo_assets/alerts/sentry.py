"""Sentry: one event per failure, made by a client of its own and delivered before anything goes on.

This package runs beside other people's code, whose Sentry is theirs: nothing is initialized,
patched or registered for the process, no scope is shared, and no thread is started that could be
lost with a process that ends.

The hook reports a failed step from the run's own process, where the exception is at hand with its
stack. Dagster calls it once for a step that failed, and not for one that was interrupted.
"""

import gzip
import urllib.request
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException
from importlib.metadata import version
from typing import Any
from urllib.error import HTTPError

import dagster as dg

from efo_assets.alerts.message import LINE_CHARACTERS
from efo_assets.alerts.runs import assets_of, release_of
from efo_assets.errors import AuditNotPassed, EfoError, NotDelivered, SettingsError
from efo_assets.graph.run_tags import ontology_of, partition_of
from efo_assets.privacy.disclosure import no_secret_shown, one_line, shown
from efo_assets.privacy.scrub import scrubbed_whole
from efo_assets.settings import AlertSettings

SENTRY = "sentry"
"""Its name beside those of the receivers."""
TIMEOUT_S = 5.0
"""A run waits no longer for Sentry."""
DEEPEST_CAUSE = 10
AGENT = f"efo_assets/{version('efo_assets')}"


@dataclass(frozen=True, slots=True)
class Report:
    """What an event holds beside the failure."""

    step: str
    tags: Mapping[str, str]
    cause: tuple[str, ...] = ()
    """Tells one cause from another where the class of the exception doesn't."""
    ontology: str | None = None
    """Of a run of a catalogue, whose steps are the same for all ontologies."""

    def fingerprint(self, failure: BaseException | str) -> list[str]:
        """What groups failures: class, step and class of the status, never the run.

        An exception that isn't expected is a defect: there Sentry's own grouping goes first, by
        stack.
        """
        ontology = [self.ontology] if self.ontology else []
        if isinstance(failure, str):
            return [self.step, *self.cause, *ontology]
        if isinstance(failure, EfoError) or self.cause:
            status = _status_class(failure)
            return [type(failure).__name__, self.step, *status, *self.cause, *ontology]
        return ["{{ default }}", self.step, *ontology]


def _status_class(error: BaseException | None) -> list[str]:
    """`HTTP 5xx` or `SQLSTATE 53`, where the error came from such an answer; else nothing."""
    for _ in range(DEEPEST_CAUSE):
        status, sqlstate = getattr(error, "status", None), getattr(error, "sqlstate", None)
        if isinstance(status, int):
            return [f"HTTP {status // 100}xx"]
        if isinstance(sqlstate, str):
            return [f"SQLSTATE {sqlstate[:2]}"]
        error = error and (error.__cause__ or error.__context__)
    return []


def send_event(
    dsn: str, failure: BaseException | str, report: Report, level: str = "error"
) -> None:
    """Report an exception with its stack, or a sentence; Sentry has the event on return.

    Raises:
        NotDelivered: Sentry did not take it; one sentence.
    """
    from sentry_sdk import Client  # noqa: PLC0415  # 0.2 s
    from sentry_sdk.transport import Transport  # noqa: PLC0415  # as above
    from sentry_sdk.utils import event_from_exception  # noqa: PLC0415  # as above

    class Outbox(Transport):
        """Keeps the event for `_post`.

        Sentry's own transport sends from a thread, follows redirects with the key, and does not
        tell whether an event was taken.
        """

        body = b""

        def capture_envelope(self, envelope: Any) -> None:
            self.body = envelope.serialize()

    outbox = Outbox({"dsn": dsn})
    client = Client(
        dsn=dsn,
        transport=outbox,
        release=AGENT.replace("/", "@"),
        before_send=lambda event, _: scrubbed_whole(event),
        default_integrations=False,
        auto_enabling_integrations=False,
        include_local_variables=False,
        auto_session_tracking=False,
        send_client_reports=False,
    )
    event: dict[str, Any]
    if isinstance(failure, BaseException):
        event, hint = event_from_exception(failure, client_options=client.options)  # type: ignore[assignment]
    else:
        event, hint = {"message": one_line(failure, LINE_CHARACTERS), "level": level}, {}
    event |= {"tags": dict(report.tags), "fingerprint": report.fingerprint(failure)}
    # Captured without a scope, which would bring along what other code has put into the global one.
    client.capture_event(event, hint)  # type: ignore[arg-type]
    if not outbox.body or outbox.parsed_dsn is None:
        raise NotDelivered("No event for Sentry could be made of the failure.")
    auth = outbox.parsed_dsn.to_auth(AGENT)
    _post(auth.get_api_url(), auth.to_header(), outbox.body)


def _post(url: str, authorization: str, envelope: bytes) -> None:
    request = urllib.request.Request(  # noqa: S310  # settings accept http(s) alone
        url,
        data=gzip.compress(envelope),
        headers={
            "Content-Type": "application/x-sentry-envelope",
            "Content-Encoding": "gzip",
            "User-Agent": AGENT,
            "X-Sentry-Auth": authorization,
        },
    )
    try:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=TIMEOUT_S):
            return
    except HTTPError as error:
        error.close()
        reason = f"status {error.code}"
    except (OSError, HTTPException) as error:
        reason = type(getattr(error, "reason", error)).__name__
    raise NotDelivered(f"Sentry did not take the event ({reason}); look at SENTRY_DSN.")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """Follow nowhere: the key would go along."""


def sentry_hooks() -> AbstractSet[dg.HookDefinition]:
    """The hook for every step, where SENTRY_DSN is set.

    Elsewhere it would cost an event of Dagster's for every step.
    """
    # The sensors' ticks say what is wrong.
    with suppress(SettingsError):
        if AlertSettings.from_environment().sentry_dsn is not None:
            return {report_to_sentry}
    return set()


@dg.failure_hook(name="efo_report_to_sentry")
def report_to_sentry(context: dg.HookContext) -> None:
    """Report the exception of the step; where that fails, say so and let the run end as it does."""
    error = context.op_exception
    if error is None:
        return
    # The expected failure behind the sentence that Dagster shows.
    first = error.__cause__ or error.__context__
    original = first if isinstance(error, dg.Failure) and isinstance(first, EfoError) else error
    try:
        with no_secret_shown():
            settings = AlertSettings.from_environment()
            if settings.sentry_dsn is not None:
                send_event(settings.sentry_dsn, original, _report(context, settings, original))
    except EfoError as problem:
        context.log.warning("%s", shown(problem))


def _report(context: dg.HookContext, settings: AlertSettings, error: BaseException) -> Report:
    run_id, step = context.run_id, context.step_key
    run = context.instance.get_run_by_id(run_id)
    run_tags = run.tags if run else {}
    tags = {
        "run_id": run_id,
        "job": context.job_name,
        "step": step,
        "asset": ", ".join(assets_of(context.instance, run_id, step)),
        "ontology": ontology_of(run_tags) or settings.ontology,
        "ols_release": release_of(context.instance, run_id) or "",
        "run_url": f"{settings.ui_url}/runs/{run_id}" if settings.ui_url else "",
    }
    return Report(
        step=step,
        tags={name: value for name, value in tags.items() if value},
        cause=error.checks if isinstance(error, AuditNotPassed) else (),
        ontology=partition_of(run_tags),
    )
