"""From our errors to Dagster's: an expected failure is shown as its one sentence.

Dagster prints the frames of every exception, its own included, twice. For a failure that is
expected they say nothing, so they are left out until the run ends (`frames_shown_again`); a
failure that isn't expected keeps its traceback.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from dagster import DagsterExecutionInterruptedError

from efo_assets.errors import EfoError


@contextmanager
def in_one_sentence(
    kept: str = "What was downloaded is kept, and so is the published release",
) -> Iterator[None]:
    """Raise `dg.Failure` with the sentence of an `EfoError`; say what an interruption leaves.

    Raises:
        dg.Failure: never retried by Dagster, since the engine has retried what can be.
    """
    try:
        yield
    except EfoError as error:
        sys.tracebacklimit = 0
        raise dg.Failure(
            str(error),
            metadata={"error": dg.MetadataValue.text(type(error).__name__)},
            allow_retries=False,
        ) from None
    except (KeyboardInterrupt, DagsterExecutionInterruptedError):
        sys.tracebacklimit = 0
        raise dg.Failure(
            f"Interrupted. {kept}; run the same command again to go on from there.",
            metadata={"error": dg.MetadataValue.text("Interrupted")},
            allow_retries=False,
        ) from None


def frames_shown_again() -> None:
    """Let tracebacks show their frames, as they do by default."""
    if hasattr(sys, "tracebacklimit"):
        del sys.tracebacklimit
