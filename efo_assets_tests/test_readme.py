"""The README says what the code says."""

import re

import pytest

from efo_assets.settings import DatabaseTarget, Settings
from efo_assets.warehouse.warehouse import Warehouse
from efo_assets_tests import queries
from efo_assets_tests.readme import README, ROOT, rewritten, sections


def test_the_sections_made_from_code_and_measurements_are_in_step() -> None:
    text = README.read_text()
    assert rewritten(text, sections()) == text, "run: python -m efo_assets_tests.readme"


def test_the_queries_answer_what_the_readme_shows(database: DatabaseTarget) -> None:
    with Warehouse(database) as warehouse:
        queries.publish_demo(warehouse)
        answers = queries.answers(warehouse)
        section = queries.section(warehouse)
    assert list(answers) == list(range(1, 11))
    assert all(rows for _, rows in answers.values())
    text = README.read_text()
    assert rewritten(text, {"queries": section}) == text, "run: python -m efo_assets_tests.readme"


def test_every_setting_is_documented() -> None:
    pages = [README, *(ROOT / "docs" / "operations").glob("*.md")]
    text = "".join(page.read_text() for page in pages)
    source = (ROOT / "efo_assets" / "settings.py").read_text()
    names = set(re.findall(r"(?:EFO|SENTRY)_[A-Z_]+", source)) - {"EFO_CRASH_POINT"}
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
