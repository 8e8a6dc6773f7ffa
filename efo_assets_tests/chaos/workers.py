"""Runs in a process of a pool: what one needs is made once, and a failure is told, not raised."""

import logging
import signal
import traceback
from types import FrameType

from efo_assets.settings import DatabaseTarget
from efo_assets.warehouse import session
from efo_assets_tests.chaos.run import RunRecord, run
from efo_assets_tests.faults.one_load import Nursery

LOCK_TIMEOUT_MS = 200
"""A lock that somebody holds is waited for in every run that has one."""

_at_hand: dict[str, Nursery] = {}


def begin() -> None:
    """Make this process ready for runs, and leave it to the parent to stop them."""
    for number in (signal.SIGINT, signal.SIGTERM):
        # Not SIG_IGN, which the processes that a run starts would inherit.
        signal.signal(number, _not_now)
    logging.disable(logging.WARNING)
    session.LOCK_TIMEOUT_MS = LOCK_TIMEOUT_MS
    _at_hand["nursery"] = Nursery()


def _not_now(number: int, frame: FrameType | None) -> None:
    """A pool whose worker dies waits for ever for what it had cancelled."""


def one(seed: int, server: DatabaseTarget) -> RunRecord | str:
    """Run one seed; the text of what went wrong if it fails."""
    try:
        return run(seed, server, _at_hand["nursery"])
    except BaseException:  # noqa: BLE001  # an assertion, or a defect: the campaign goes on
        return traceback.format_exc()
