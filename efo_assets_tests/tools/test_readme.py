"""The README says what the code says."""

import re
from collections.abc import Iterator

import pytest

from efo_assets.settings import DatabaseTarget, Settings
from efo_assets.warehouse.warehouse import Warehouse
from efo_assets_tests.conftest import empty_database
from tools import queries
from tools.readme import IN_README, QUESTIONS, README, ROOT, rewritten, sections


def test_the_sections_made_from_code_and_measurements_are_in_step() -> None:
    text = README.read_text()
    assert rewritten(text, sections()) == text, "run: python -m tools.readme"


@pytest.fixture(scope="module")
def answering(server: DatabaseTarget) -> Iterator[Warehouse]:
    """A database of two releases of the sample."""
    for database in empty_database(server):
        with Warehouse(database) as warehouse:
            queries.publish_demo(warehouse)
            yield warehouse


def test_the_queries_answer_what_is_written_down(answering: Warehouse) -> None:
    answers = queries.answers(answering)
    assert list(answers) == list(range(1, 21))
    assert all(rows for _, rows in answers.values())
    text, stale = README.read_text(), "run: python -m tools.readme"
    shown = {"queries": queries.section(answering, IN_README)}
    assert rewritten(text, shown) == text, stale
    page = queries.without_plans(queries.page(answering))
    assert queries.without_plans(QUESTIONS.read_text()) == page, stale


def test_no_question_reads_a_table_from_end_to_end(answering: Warehouse) -> None:
    plans = queries.plans(answering)
    read = {
        number: set(re.findall(r"Seq Scan on (efo_\w+)", plan)) for number, plan in plans.items()
    }
    # A hundred pages and one: PostgreSQL reads so small a table faster than its index.
    small = {"efo_changes", "efo_replacements"}
    assert {number: tables for number, tables in read.items() if tables - small} == {}
    assert any("Index Scan" in plan for plan in plans.values())


def test_every_setting_is_documented() -> None:
    pages = [README, *(ROOT / "docs" / "operations").glob("*.md")]
    text = "".join(page.read_text() for page in pages)
    source = (ROOT / "efo_assets" / "settings.py").read_text()
    names = set(re.findall(r"(?:EFO|SENTRY)_[A-Z_]+", source))
    assert len(names) >= len(Settings.__dataclass_fields__)
    assert [name for name in sorted(names) if f"`{name}`" not in text] == []


def test_every_file_that_the_readme_links_is_there() -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)]+)\)", README.read_text())
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.parametrize("target", ["demo", "test", "dev", "run", "bench", "lint", "clean"])
def test_every_make_target_is_explained(target: str) -> None:
    assert f"make {target}" in README.read_text()
    assert re.search(rf"^{target}:.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)
