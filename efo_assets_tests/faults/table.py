"""The fault table: every id that docs/faults.md explains, with the tests that cover it.

`pytest --fault-table` prints it, after a run or for what was collected (`--collect-only`), with the
reason where no test covers a fault. After a run, a fault counts as covered only if each of its
tests passed.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from efo_assets_tests.faults.uncovered import UNCOVERED

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"
_ROW = re.compile(r"^\| ([A-Z]\d\d) \| (.+) \|$", re.MULTILINE)


class Covering(NamedTuple):
    """One test that is marked with a fault."""

    fault: str
    nodeid: str
    is_campaign: bool
    """Run by a make target of its own, not by `make test`."""


def explanations() -> list[tuple[str, str]]:
    """Id and sentence of each fault, in the order of the page."""
    return _ROW.findall(PAGE.read_text())


def coverings(items: Iterable[pytest.Item]) -> Iterator[Covering]:
    """One for each mark of each collected test."""
    for item in items:
        is_campaign = item.get_closest_marker("campaign") is not None
        for mark in item.iter_markers("fault"):
            yield Covering(mark.args[0], item.nodeid, is_campaign)


def table(marked: Iterable[Covering], unsound: Mapping[str, str]) -> Iterator[str]:
    """Lines of the table; `unsound` is the outcome of each test that did not pass, by node id."""
    by_fault: defaultdict[str, list[Covering]] = defaultdict(list)
    for covering in marked:
        by_fault[covering.fault].append(covering)
    faults = sorted({*(fault for fault, _ in explanations()), *by_fault, *UNCOVERED})
    covered = 0
    for fault in faults:
        tests = [each for each in by_fault[fault] if not each.is_campaign]
        covered += bool(tests) and not any(each.nodeid in unsound for each in tests)
        yield f"{fault}  {_cell(fault, by_fault[fault], unsound)}"
    yield f"{covered} of {len(faults)} covered"


def _cell(fault: str, tests: list[Covering], unsound: Mapping[str, str]) -> str:
    if not tests:
        return f"not covered: {UNCOVERED.get(fault, 'no test and no reason yet')}"
    return " ".join(dict.fromkeys(_name(each, unsound) for each in tests))


def _name(test: Covering, unsound: Mapping[str, str]) -> str:
    notes = ["campaign"] * test.is_campaign
    notes += [unsound[test.nodeid]] if test.nodeid in unsound else []
    return test.nodeid.partition("[")[0] + (f" ({', '.join(notes)})" if notes else "")
