"""README and docs say what the code says."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from efo_assets.settings import DatabaseTarget
from efo_assets.warehouse.warehouse import Warehouse
from efo_assets_tests.databases import own_database
from tools import queries
from tools.readme import DOCS, README, ROOT, pages

PAGES = [*ROOT.glob("*.md"), *DOCS.rglob("*.md")]
MAKEFILE = (ROOT / "Makefile").read_text()


@pytest.fixture(scope="module")
def answering(server: DatabaseTarget) -> Iterator[Warehouse]:
    """A database of two releases of the sample."""
    with own_database(server) as database, Warehouse(database) as warehouse:
        queries.publish_sample(warehouse)
        yield warehouse


def test_what_is_generated_is_in_step_with_code_sample_and_measurements(
    answering: Warehouse,
) -> None:
    stale = [
        path.name
        for path, text in pages(answering).items()
        if queries.without_plans(path.read_text()) != queries.without_plans(text)
    ]
    assert stale == [], "run: python -m tools.readme"


def test_every_question_has_an_answer(answering: Warehouse) -> None:
    answers = queries.answers(answering)
    assert list(answers) == list(range(1, 22))
    assert all(answer.rows for answer in answers.values())


def test_psql_prints_each_question_before_its_answer(answering: Warehouse) -> None:
    url = psycopg.conninfo.make_conninfo(**answering.target.parameters)
    done = subprocess.run(
        [sys.executable, "-m", "efo_assets", "psql", "-f", str(queries.QUERIES)],
        env={**os.environ, "EFO_DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    printed = re.findall(r"^\d+\. .+", done.stdout, re.MULTILINE)
    assert printed == [f"{each.number}. {each.question}" for each in queries.queries()]


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
    source = (ROOT / "efo_assets" / "settings.py").read_text()
    names = set(re.findall(r"(?:EFO|SENTRY)_[A-Z_]+", source))
    assert {"EFO_OLS_URL", "EFO_ALERT_SMTP_URL", "SENTRY_DSN"} <= names
    text = (DOCS / "settings.md").read_text()
    assert [name for name in sorted(names) if f"`{name}`" not in text] == []


def test_the_readmes_settings_are_rows_of_the_page_of_all_settings() -> None:
    names = r"^\| `([A-Z_]+)` \| (.+?) \|"
    shown = re.findall(names, README.read_text(), re.MULTILINE)
    assert len(shown) > 5
    documented = re.findall(names, (DOCS / "settings.md").read_text(), re.MULTILINE)
    assert set(shown) <= set(documented)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_file_or_heading_leads_there(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text())
    links += re.findall(r'(?:href|src)="(?!https?:)([^"]+)"', page.read_text())
    broken = []
    for link in links:
        name, _, heading = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (heading and heading not in _headings(target)):
            broken.append(link)
    assert broken == []


def test_every_file_and_test_that_is_named_is_there() -> None:
    text = "".join(page.read_text() for page in PAGES)
    rooms = "efo_assets|efo_assets_tests|tools|deploy|benchmarks"
    files = set(re.findall(rf"(?<![\w/])((?:{rooms})/[\w/.-]+\.\w+)", text))
    files |= {f"efo_assets_tests/{name}.py" for name in re.findall(r"`((?:\w+/)+test_\w+)`", text)}
    assert len(files) > 20
    assert [name for name in sorted(files) if not (ROOT / name).exists()] == []
    modules = {path.stem for path in (ROOT / "efo_assets_tests").rglob("test_*.py")}
    model = (ROOT / "THREAT_MODEL.md").read_text()
    assert set(re.findall(r"`(test_\w+)`", model)) - modules == set()


def _headings(page: Path) -> set[str]:
    """Anchors of the page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("target", re.findall(r"^([a-z-]+):.*##", MAKEFILE, re.MULTILINE))
def test_every_make_target_is_explained(target: str) -> None:
    text = "".join(page.read_text() for page in PAGES)
    assert re.search(rf"make {target}\b", text)


@pytest.mark.parametrize("locale", ["C", "C.UTF-8", "et_EE.UTF-8"])  # Estonian has z before t
def test_the_help_of_make_is_the_same_in_every_locale(locale: str) -> None:
    done = subprocess.run(
        ["make", "--no-print-directory", "help"],
        cwd=ROOT,
        env=os.environ | {"LC_ALL": locale},
        capture_output=True,
        text=True,
        check=True,
    )
    targets = re.findall(r"^([a-z-]+):.*## (.*)$", MAKEFILE, re.MULTILINE)
    assert done.stdout.splitlines() == [f"  make {name:13}  {what}" for name, what in targets]


def test_every_make_target_that_is_named_is_there() -> None:
    text = "".join(page.read_text() for page in PAGES)
    named = set(re.findall(r"`make ([a-z-]+)", text)) | set(
        re.findall(r"^\$ make ([a-z-]+)", text, re.MULTILINE)
    )
    assert named - set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE)) == set()


def test_every_command_that_is_named_is_there() -> None:
    text = "".join(page.read_text() for page in PAGES)
    named = set(re.findall(r"efo-assets ([a-z][a-z-]+)", text))
    assert {"load", "status", "psql"} <= named
    for command in sorted(named):
        words = [sys.executable, "-m", "efo_assets", command, "--help"]
        assert subprocess.run(words, capture_output=True, check=False).returncode == 0, command
