"""From our errors to Dagster's: an expected failure is shown as its one sentence.

Dagster prints the frames of every exception, its own included, twice. For a failure that is
expected they say nothing, so they are left out until the run ends (`frames_shown_again`); a
failure that isn't expected keeps its traceback. Neither shows a secret (`disclosure`).
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from dagster import DagsterExecutionInterruptedError

from efo_assets.errors import EfoError
from efo_assets.privacy.disclosure import no_secret_shown, sentence

# Python takes any value below one for "no frames".
_NO_FRAMES_IN_THIS_RUN = 0
_NO_FRAMES_TO_THE_END = -1


@contextmanager
def in_one_sentence(
    kept: str = "What was downloaded is kept, and so is the published release",
) -> Iterator[None]:
    """Raise `dg.Failure` with the sentence of an `EfoError`; say what an interruption leaves.

    Raises:
        dg.Failure: never retried by Dagster, since the engine has retried what can be.
        DagsterExecutionInterruptedError: Ctrl-C, or terminated.
    """
    try:
        with no_secret_shown():
            yield
    except EfoError as error:
        sys.tracebacklimit = _NO_FRAMES_IN_THIS_RUN
        raise dg.Failure(
            sentence(error),
            metadata={"error": dg.MetadataValue.text(type(error).__name__)},
            allow_retries=False,
        ) from None
    except (KeyboardInterrupt, DagsterExecutionInterruptedError):
        sys.tracebacklimit = _NO_FRAMES_TO_THE_END
        # Not a failure: a run that is terminated in the UI is to end as canceled.
        raise DagsterExecutionInterruptedError(
            f"Interrupted. {kept}; run the same command again to go on from there."
        ) from None


def frames_shown_again() -> None:
    """Let tracebacks show their frames once a run has ended; an interruption ends the process."""
    if getattr(sys, "tracebacklimit", None) == _NO_FRAMES_IN_THIS_RUN:
        del sys.tracebacklimit
