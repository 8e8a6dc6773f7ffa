r"""The one boundary for text: whatever people are shown of an error passes `shown`.

A run, a check, a sensor's evaluation, the command line, the exporter and an alert all show an
error as `shown(error)`. Where a defect leaves with its traceback, `no_secret_shown` stands round
the code that may raise it. Log lines are scrubbed where they are written (`logs`).

    try:
        with no_secret_shown():
            ...
    except EfoError as error:
        sys.stderr.write(f"{shown(error)}\n")
        return 1
"""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from efo_assets.errors import EfoError
from efo_assets.privacy.printable import escaped
from efo_assets.privacy.scrub import scrubbed


def shown(what: BaseException | str) -> str:
    """An error or a text as one line without secrets or characters that a terminal would obey.

    An expected failure is its sentence; any other error is its type and its text.
    """
    match what:
        case str() | EfoError():
            text = str(what)
        case _:
            text = "".join(traceback.format_exception_only(what)).rstrip("\n")
    return escaped(scrubbed(text))


def one_line(text: str, most_characters: int) -> str:
    """`shown`, with runs of white space as one space, and an ellipsis where it is cut."""
    # Cut last: of a secret that was cut first, the beginning would be left.
    line = escaped(" ".join(scrubbed(text).split()))
    return line if len(line) <= most_characters else f"{line[: most_characters - 1]}…"


class Scrubbed(Exception):
    """Stands in for a defect that holds a secret: its name, scrubbed text and frames.

    Where other errors led to it, the text holds the scrubbed traceback of all.
    """


@contextmanager
def no_secret_shown() -> Iterator[None]:
    """Let defects pass without secrets, and expected failures as they are.

    Raises:
        Scrubbed: instead of a defect whose traceback would show a secret.
    """
    try:
        yield
    except EfoError:
        raise
    except Exception as error:
        harmless = without_secrets(error)
        if harmless is error:
            raise
        raise harmless from None


def without_secrets(error: BaseException) -> BaseException:
    """The error itself where its traceback shows no secret, else a `Scrubbed` in its place."""
    # Lines of source are code, in which a tab or a `password=` is no secret.
    texts = "".join(_texts(traceback.TracebackException.from_exception(error)))
    if _harmless(texts) == texts:
        return error
    origin = error.__cause__ or error.__context__ or isinstance(error, BaseExceptionGroup)
    whole = _harmless("".join(traceback.format_exception(error)))
    stand_in = Scrubbed(f"{shown(error)}\n\n{whole}" if origin else shown(error))
    return stand_in.with_traceback(error.__traceback__)


def _texts(shown_error: traceback.TracebackException) -> Iterator[str]:
    """Type and text of an error, and of all that a traceback shows with it."""
    yield from shown_error.format_exception_only()
    context = None if shown_error.__suppress_context__ else shown_error.__context__
    for other in (shown_error.__cause__, context, *(shown_error.exceptions or ())):
        if other is not None:
            yield from _texts(other)


def _harmless(text: str) -> str:
    return "\n".join(map(escaped, scrubbed(text).split("\n")))
