"""From errors of the engine to Dagster's: an expected failure is shown as its one sentence.

A failure that isn't expected keeps its traceback. Neither shows a secret (`disclosure`).
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg

# No public API: Dagster takes what an error of this class carries for the error to store, and
# adds sixty lines of its own frames to any other.
from dagster._core.errors import DagsterUserCodeProcessError
from dagster_shared.error import SerializableErrorInfo

from efo_assets.errors import EfoError
from efo_assets.privacy.disclosure import no_secret_shown, shown
from efo_assets.privacy.logs import scrubbing


class OneSentence(DagsterUserCodeProcessError):
    """An error that Dagster stores and prints as its sentence, without frames."""

    def __init__(self, sentence: str, *details: Any) -> None:
        error = SerializableErrorInfo(sentence, stack=[], cls_name=type(self).__name__)
        super().__init__(  # type: ignore[no-untyped-call]  # Dagster's has no types
            sentence, *details, user_code_process_error_infos=[error]
        )


class ExpectedFailure(OneSentence, dg.Failure):
    """The failure of a step; never retried by Dagster, since the engine has retried what can be."""

    def __init__(self, error: EfoError) -> None:
        metadata = {"error": dg.MetadataValue.text(type(error).__name__)}
        allow_retries = False
        # By place: the classes between this one and `dg.Failure` hand on no names.
        super().__init__(shown(error), metadata, allow_retries)


class Interrupted(OneSentence, dg.DagsterExecutionInterruptedError):
    """Ctrl-C, or terminated: no failure, so that a run terminated in the UI ends as canceled."""


@contextmanager
def guarded(
    log: logging.Logger, kept: str = "What was downloaded is kept, and so is the published release"
) -> Iterator[None]:
    """Stand round all that a step does; `log` is its `context.log`, whose lines are scrubbed.

    Raises:
        ExpectedFailure: in place of an `EfoError`.
        Interrupted: by Ctrl-C or a termination.
    """
    try:
        scrubbing(log)
        with no_secret_shown():
            yield
    except EfoError as error:
        raise ExpectedFailure(error) from None
    except (KeyboardInterrupt, dg.DagsterExecutionInterruptedError):
        raise Interrupted(
            f"Interrupted. {kept}; run the same command again to go on from there."
        ) from None
