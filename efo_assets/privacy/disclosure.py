"""What this process tells of itself: sentences, tracebacks and log lines, all without secrets.

Dagster keeps every exception and every log line in its event log and shows them in its UI. So the
text of each goes through `scrub`, which knows the secrets, on its way out: sentences of expected
failures, texts of defects (which keep their frames), and records of any logger.
"""

import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, TypeAlias

from efo_assets.errors import EfoError
from efo_assets.privacy.printable import escaped
from efo_assets.privacy.scrub import scrubbed

Above: TypeAlias = frozenset[int]
"""Ids of the errors that an error is shown below."""
ExcInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType | None]

_OURS = "efo_assets"
_OF_A_RUN = "dagster"
"""The logger behind `context.log`, and Dagster's own."""


def sentence(error: EfoError) -> str:
    """The sentence of an expected failure, as it may be shown."""
    return escaped(scrubbed(str(error)))


class Scrubbed(Exception):
    """Stands in for a defect whose text held a secret: the same name and frames, another text."""


@contextmanager
def no_secret_shown() -> Iterator[None]:
    """Let a defect out with its frames and without secrets; expected failures have sentences."""
    try:
        yield
    except EfoError:
        raise
    except Exception as error:
        shown = without_secrets(error)
        if shown is error:
            raise
        # Named as the cause, since Python would otherwise show the original as the context.
        raise shown from (shown.__cause__ or shown.__context__)


def without_secrets(error: BaseException) -> BaseException:
    """The error itself where nothing that is shown of it holds a secret, else its stand-in."""
    is_harmless = all(_safe(text) == text for text in map(_text, _shown_with(error)))
    return error if is_harmless else _stand_in(error)


def _shown_with(error: BaseException, above: Above = frozenset()) -> Iterator[BaseException]:
    """The error, and those that a traceback of it shows."""
    yield error
    above |= {id(error)}
    for each in (*_origin(error, above), *_members(error)):
        yield from _shown_with(each, above)


def _origin(error: BaseException, above: Above) -> tuple[BaseException, ...]:
    """What it came from, if that is shown; a chain may bite its tail."""
    origin = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return () if origin is None or id(origin) in above else (origin,)


def _members(error: BaseException) -> tuple[BaseException, ...]:
    return error.exceptions if isinstance(error, BaseExceptionGroup) else ()


def _text(error: BaseException) -> str:
    """What a traceback shows after the name of the type: the text, and notes."""
    return "".join(traceback.format_exception_only(error)).partition(": ")[2].rstrip("\n")


def _safe(text: str) -> str:
    return "\n".join(map(escaped, scrubbed(text).split("\n")))


def _stand_in(error: BaseException, above: Above = frozenset()) -> BaseException:
    above |= {id(error)}
    made = _renamed(error, above)
    for origin in _origin(error, above):
        made.__context__ = _stand_in(origin, above)
        if error.__cause__ is not None:
            made.__cause__ = made.__context__
    return made.with_traceback(error.__traceback__)


def _renamed(error: BaseException, above: Above) -> BaseException:
    if isinstance(error, BaseExceptionGroup):
        members = [_stand_in(each, above) for each in error.exceptions]
        return BaseExceptionGroup(_safe(error.message), members)
    kind = type(error)
    names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
    stand_in: type[Scrubbed] = type(kind.__name__, (Scrubbed,), names)
    return stand_in(_safe(_text(error)))


def guard_log_lines() -> None:
    """Make every record of this process safe from now on; once is enough."""
    made_by = logging.getLogRecordFactory()
    if not isinstance(made_by, _SafeRecords):
        logging.setLogRecordFactory(_SafeRecords(made_by))


class _SafeRecords:
    """Makes log records without secrets; those of ours are one line each.

    A filter would not do: those of a logger don't see the records of its children, and handlers
    are made by Dagster.
    """

    def __init__(self, make: Callable[..., logging.LogRecord]) -> None:
        self._make = make

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record = self._make(*args, **kwargs)
        text = _rendered(record)
        safe = scrubbed(text)
        if _is_filled_with_data(record):
            safe = escaped(safe)
        if safe != text:
            record.msg, record.args = safe, ()
        if record.exc_info and record.exc_info[1] is not None:
            record.exc_info = _exc_info(without_secrets(record.exc_info[1]))
        return record


def _rendered(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError, KeyError):
        # Handlers would print the arguments as they are.
        record.msg, record.args = f"{record.msg} {record.args}", ()
        return str(record.msg)


def _is_filled_with_data(record: logging.LogRecord) -> bool:
    """Formats are code and may have several lines; what is filled in may come from OLS."""
    # logging.makeLogRecord gives no name.
    name = record.name or ""
    is_ours = name == _OURS or name.startswith(f"{_OURS}.")
    return is_ours or (name == _OF_A_RUN and bool(record.args))


def _exc_info(error: BaseException) -> ExcInfo:
    return type(error), error, error.__traceback__
