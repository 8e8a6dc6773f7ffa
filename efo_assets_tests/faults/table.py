"""The fault table: every id of faults.md, and the tests that cover it or the reason why none does.

`pytest --fault-table` prints it, after a run or of what was collected (`--collect-only`). After a
run, a fault is covered only if none of its tests failed or was skipped.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from efo_assets_tests.faults.uncovered import UNCOVERED

CATALOGUE = Path(__file__).parents[3] / "shared" / "faults.md"
_ID = re.compile(r"^\| ([A-Z]\d\d) \|", re.MULTILINE)


class Covering(NamedTuple):
    """One test that is marked with a fault."""

    fault: str
    nodeid: str
    is_campaign: bool
    """Run by a make target of its own, not by `make test`."""


def catalogued() -> list[str]:
    """The ids of faults.md, sorted; none where the file isn't there."""
    return sorted(_ID.findall(CATALOGUE.read_text())) if CATALOGUE.exists() else []


def coverings(items: Iterable[pytest.Item]) -> Iterator[Covering]:
    """What the collected tests are marked with."""
    for item in items:
        is_campaign = item.get_closest_marker("campaign") is not None
        for mark in item.iter_markers("fault"):
            yield Covering(mark.args[0], item.nodeid, is_campaign)


def table(found: Iterable[Covering], unsound: Mapping[str, str]) -> Iterator[str]:
    """Give the lines; `unsound` tells what became of tests that didn't pass, by node id."""
    by_fault: defaultdict[str, list[Covering]] = defaultdict(list)
    for each in found:
        by_fault[each.fault].append(each)
    faults = sorted({*catalogued(), *by_fault, *UNCOVERED})
    covered = 0
    for fault in faults:
        in_tests = [each for each in by_fault[fault] if not each.is_campaign]
        covered += bool(in_tests) and not any(each.nodeid in unsound for each in in_tests)
        yield f"{fault}  {_row(fault, by_fault[fault], unsound)}"
    yield f"{covered} of {len(faults)} covered"


def _row(fault: str, found: list[Covering], unsound: Mapping[str, str]) -> str:
    if not found:
        return f"not covered: {UNCOVERED.get(fault, 'no test and no reason yet')}"
    return " ".join(dict.fromkeys(_name(each, unsound) for each in found))


def _name(each: Covering, unsound: Mapping[str, str]) -> str:
    notes = ["campaign"] * each.is_campaign
    notes += [unsound[each.nodeid]] if each.nodeid in unsound else []
    return each.nodeid.partition("[")[0] + (f" ({', '.join(notes)})" if notes else "")
