"""Every crash point, killed and asked to end, in every situation: all end right.

The victim loads in a process of its own. What it kept is then refused by the server, so that the
next load can only end well if it asks for none of it.
"""

import itertools
import signal
import time
from typing import NamedTuple

import pytest

from efo_assets.pipeline.load import fetch
from efo_assets.warehouse.warehouse import Warehouse
from efo_assets_tests.faults.crash_points import KEY, WORKER
from efo_assets_tests.faults.engine import load_once
from efo_assets_tests.faults.one_load import FAILED, INTERRUPTED, Nursery
from efo_assets_tests.faults.worlds import World

POINTS = {
    "C1": 1,
    "C2": 3,
    "C3": 7,
    "C4": 7,
    "C5": 1,
    "C6": 2,
    "C7": 1,
    "C8": 1,
    "C9": 1,
    "C10": 2,
    "C11": 1,
    "C12": 1,
    KEY: 5,
    WORKER: 7,
}
"""Crash point to the passing at which it ends the load."""
IN_DOWNLOAD = ("C1", "C2", "C3", "C4", "C5", "C6", WORKER)
BEFORE_A_PAGE_IS_KEPT = ("C1", "C5")
WITH_KEPT_PAGES = ("C5", "C6", "C7", WORKER)
"""Passed where pages are kept, and no load was filled with them."""
PASSED_WITH_NOTHING_NEW = ("C1", "C8", "C10", "C11", "C12")
"""Nothing is fetched, staged or judged again."""
PUBLISHED = ("C11", "C12")
EXIT_CODES = {"KILL": -signal.SIGKILL, "TERM": INTERRUPTED}
MOST_S = 10.0
PATIENCE_S = 30.0
SITUATIONS = ("first load", "new release", "kept pages", "nothing new")


class Case(NamedTuple):
    """One cell of the matrix."""

    situation: str
    point: str
    kind: str

    @property
    def is_passed(self) -> bool:
        """Whether a load in this situation comes by the point at all."""
        if self.point == KEY:
            return self.situation == "first load"
        return self.situation != "nothing new" or self.point in PASSED_WITH_NOTHING_NEW

    @property
    def exit_code(self) -> int:
        """Of the victim."""
        if not self.is_passed:
            return 0
        return FAILED if self.point == WORKER else EXIT_CODES[self.kind]

    @property
    def before(self) -> int | None:
        """The release that stands before."""
        return None if self.situation == "first load" else 1

    @property
    def served(self) -> int:
        """The release that OLS serves."""
        return 2 if self.situation in ("new release", "kept pages") else 1

    @property
    def stands(self) -> int | None:
        """The release that stands after the end of the victim."""
        return self.served if self.point in PUBLISHED or not self.is_passed else self.before


def _marked(case: Case) -> "pytest.ParameterSet":
    if case.point == WORKER:
        fault = "X26"
    elif case.point == KEY:
        fault = "X02"
    elif case.kind == "TERM":
        fault = "X06"
    else:
        number = int(case.point[1:])
        fault = next(
            name
            for last, name in ((4, "X01"), (8, "X02"), (10, "X03"), (11, "X04"), (12, "X05"))
            if number <= last
        )
    return pytest.param(case, id="-".join(case), marks=pytest.mark.fault(fault))


CASES = [
    _marked(case)
    for case in itertools.starmap(Case, itertools.product(SITUATIONS, POINTS, EXIT_CODES))
    if case.situation != "kept pages" or case.point in WITH_KEPT_PAGES
]


@pytest.fixture
def world(request: pytest.FixtureRequest, case: Case) -> World:
    world: World = request.getfixturevalue("fresh" if case.before is None else "loaded")
    world.ols.release = case.served
    if case.situation == "kept pages":
        with Warehouse.opened(world.settings) as warehouse:
            fetch(world.settings, warehouse, fills=False)
        world.ols.log.clear()
    return world


@pytest.mark.parametrize("case", CASES)
def test_whatever_ends_a_load_the_next_one_ends_right(
    world: World, nursery: Nursery, case: Case
) -> None:
    began_s = time.monotonic()
    done = nursery.load(world.settings, f"{case.point}:{POINTS[case.point]}:{case.kind}")
    assert time.monotonic() - began_s < MOST_S
    assert done.returncode == case.exit_code, done.stderr
    _until_gone(world)
    assert world.oracle.assert_well() == case.stands

    asked, kept = set(world.ols.asked), world.kept
    world.ols.refused = kept
    world.ols.log.clear()
    load_once(world.settings)
    assert world.oracle.assert_well() == case.served
    again = world.ols.asked
    assert not set(again) & kept, "a page that is kept was asked for again"
    assert len(again) == len(set(again)), "a page was asked for twice"
    assert len(asked & set(again)) <= world.settings.max_in_flight, "more than those in flight"
    if case.point not in IN_DOWNLOAD or not case.is_passed or case.situation == "kept pages":
        assert not again, "the download was complete"
    elif case.point not in BEFORE_A_PAGE_IS_KEPT:
        assert kept, "the pages before the end are kept"


def _until_gone(world: World) -> None:
    """PostgreSQL notices within moments that its client has ended."""
    deadline_s = time.monotonic() + PATIENCE_S
    while world.oracle.clients():
        assert time.monotonic() < deadline_s, "a connection outlived its process"
