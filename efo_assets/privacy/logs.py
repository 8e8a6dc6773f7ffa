"""Loggers whose lines hold no secret; other people's loggers and the record factory stay as is."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from efo_assets.privacy.disclosure import without_secrets
from efo_assets.privacy.printable import escaped
from efo_assets.privacy.scrub import scrubbed

SAID_EVERY_S = 5.0


def logger(name: str) -> logging.Logger:
    """Make the logger of one module of this package; every module calls it with its `__name__`.

    Each module needs its own, since a logger's filters don't see the records of its children.
    """
    return scrubbing(logging.getLogger(name))


def scrubbing(log: logging.Logger) -> logging.Logger:
    """Scrub what is written with a logger from now on, such as a step's `context.log`."""
    log.addFilter(_scrub)
    return log


@contextmanager
def said_while(doing: Callable[[], str], say: Callable[..., None]) -> Iterator[None]:
    """Say every few seconds what the block is `doing`; `say` is like `logging.Logger.info`."""
    ended, began = threading.Event(), time.monotonic()

    def keep_saying() -> None:
        while not ended.wait(SAID_EVERY_S):
            say("%s: %.0f s so far", doing(), time.monotonic() - began)

    # Most of what takes long waits for PostgreSQL, in one statement.
    thread = threading.Thread(target=keep_saying, name="efo-said", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _scrub(record: logging.LogRecord) -> bool:
    """Render a record without secrets, on one line but for Dagster's own; keep every record."""
    try:
        text = record.getMessage()
    except (TypeError, ValueError, KeyError):
        # A format that does not fit: handlers would print the arguments as they are.
        text = f"{record.msg} {record.args}"
    text = scrubbed(text)
    # Dagster's events have several lines and no arguments; what is filled in may come from OLS.
    is_one_line = record.args or record.name.startswith("efo_assets")
    record.msg, record.args = escaped(text) if is_one_line else text, ()
    error = record.exc_info[1] if record.exc_info else None
    if error is not None:
        error = without_secrets(error)
        record.exc_info = type(error), error, error.__traceback__
    return True
