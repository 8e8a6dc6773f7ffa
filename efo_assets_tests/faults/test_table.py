"""The fault table tells the truth: marks, reasons and docs/faults.md name the same faults."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from efo_assets_tests.faults import table as fault_table
from efo_assets_tests.faults.table import Covering, explanations, table
from efo_assets_tests.faults.uncovered import UNCOVERED


@pytest.fixture(scope="module")
def marked(pytestconfig: pytest.Config) -> set[str]:
    """The ids of all marks, as a collection of everything prints them."""
    command = [sys.executable, "-m", "pytest", "-n", "0", "--collect-only", "-q", "--fault-table"]
    done = subprocess.run(
        command, cwd=pytestconfig.rootpath, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return set(_covered(done.stdout))


def _covered(output: str) -> Iterator[str]:
    for line in output.splitlines():
        fault, _, tests = line.partition("  ")
        if len(fault) == 3 and tests.startswith("efo_assets_tests/"):
            yield fault


def test_every_mark_names_a_fault_that_is_explained(marked: set[str]) -> None:
    assert sorted(marked - {fault for fault, _ in explanations()}) == []


def test_every_explained_fault_is_covered_or_has_a_reason_why_not(marked: set[str]) -> None:
    explained = [fault for fault, _ in explanations()]
    assert len(explained) == len(set(explained)) > 140
    assert sorted({*explained} - marked) == sorted(UNCOVERED)


def test_explanations_are_single_sentences() -> None:
    odd = [fault for fault, text in explanations() if text.count(". ") or not text.endswith(".")]
    assert odd == []


def test_reasons_are_sentences_in_order() -> None:
    assert list(UNCOVERED) == sorted(UNCOVERED)
    assert all(reason.endswith(".") and "\n" not in reason for reason in UNCOVERED.values())


def test_a_fault_counts_as_covered_by_tests_that_pass_and_are_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ids = ["A01", "A02", "A03", "A04", "A05"]
    monkeypatch.setattr(fault_table, "explanations", lambda: [(fault, "…") for fault in ids])
    monkeypatch.setattr(fault_table, "UNCOVERED", {"A05": "It needs two machines."})
    tests = [
        Covering("A01", "t.py::one[x]", is_campaign=False),
        Covering("A01", "t.py::one[y]", is_campaign=False),
        Covering("A02", "t.py::two", is_campaign=False),
        Covering("A03", "t.py::three", is_campaign=True),
    ]
    assert list(table(tests, {"t.py::two": "skipped"})) == [
        "A01  t.py::one",
        "A02  t.py::two (skipped)",
        "A03  t.py::three (campaign)",
        "A04  not covered: no test and no reason yet",
        "A05  not covered: It needs two machines.",
        "1 of 5 covered",
    ]
