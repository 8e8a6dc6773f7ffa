"""Sentry: what is told of a failure, and how failures are grouped.

How an event travels is `sentry_client`'s part, which alone imports `sentry_sdk`: at the first event
and so never without a DSN. Dagster is not known here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from efo_assets.alerts.message import LINE_CHARACTERS, one_line
from efo_assets.errors import EfoError

DEEPEST_CAUSE = 10


@dataclass(frozen=True, slots=True)
class Report:
    """What Sentry is told beside the exception."""

    step: str
    tags: Mapping[str, str]
    cause: tuple[str, ...] = ()
    """Tells one cause from another where the class of the exception doesn't."""


class Sentry:
    """One project; an event is with Sentry when a method returns."""

    name = "sentry"

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    def exception(self, error: BaseException, report: Report) -> None:
        """Report a failure with its stack.

        Raises:
            NotDelivered: Sentry did not take it; one sentence.
        """
        from efo_assets.alerts.sentry_client import capturing  # noqa: PLC0415  # 0.2 s

        with capturing(self._dsn, report.tags, fingerprint(error, report)) as scope:
            scope.capture_exception(error)

    def note(self, text: str, report: Report, *, is_failure: bool = True) -> None:
        """Report something that left no exception.

        Raises:
            NotDelivered: as above.
        """
        from efo_assets.alerts.sentry_client import capturing  # noqa: PLC0415  # as above

        with capturing(self._dsn, report.tags, [report.step, *report.cause]) as scope:
            level = "error" if is_failure else "info"
            scope.capture_message(one_line(text, LINE_CHARACTERS), level=level)  # type: ignore[arg-type]


def fingerprint(error: BaseException, report: Report) -> list[str]:
    """What groups failures: class, step and class of the status, never the run.

    A failure that isn't expected is a defect: there Sentry's own grouping, by stack, goes first.
    """
    if isinstance(error, EfoError) or report.cause:
        return [type(error).__name__, report.step, *status_class(error), *report.cause]
    return ["{{ default }}", report.step]


def status_class(error: BaseException) -> list[str]:
    """`HTTP 5xx` or `SQLSTATE 53`, where the error came from such an answer; else nothing."""
    for each in _causes(error):
        status = getattr(getattr(each, "setback", each), "status", None)
        if isinstance(status, int):
            return [f"HTTP {status // 100}xx"]
        sqlstate = getattr(each, "sqlstate", None)
        if isinstance(sqlstate, str):
            return [f"SQLSTATE {sqlstate[:2]}"]
    return []


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it came from, outermost first, however it was raised."""
    each: BaseException | None = error
    for _ in range(DEEPEST_CAUSE):
        if each is None:
            return
        yield each
        each = each.__cause__ or each.__context__
