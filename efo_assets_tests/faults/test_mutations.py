"""A hostile OLS (S24): whatever a page holds, it is accepted as it should be or refused by name."""

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from efo_assets.errors import RecordRejected
from efo_assets.ols.acceptance import accepted
from efo_assets.ols.payload import PayloadError
from efo_assets.ols.plan import PageKey, PageSpec
from efo_assets.ols.records import COLUMNS, Findings, TermKeys, decode_page
from efo_assets.sample.documents import Documents
from efo_assets.sample.ontology import release
from efo_assets_tests.faults import mutations

RECORDED = Path(__file__).parents[3] / "shared" / "ols4" / "recorded" / "v2"
ROWS = 2
WITH_MEANING = (mutations.bits, mutations.structure, mutations.types)
Tables = tuple[list[Any], list[Any], list[Any], list[Any]]


def page_of(classes: list[Any]) -> bytes:
    return json.dumps({"page": 0, "totalElements": len(classes), "elements": classes}).encode()


def generated_pages() -> list[bytes]:
    pages = []
    for generation in ("A", "C"):
        documents = Documents(release(600, 3), generation)
        current = [each for each in documents.release.classes if not each.is_obsolete]
        rendered = [documents.v2_class(each) for each in current[: 20 * ROWS]]
        pages += [page_of(rendered[at : at + ROWS]) for at in range(0, len(rendered), ROWS)]
    return pages


def recorded_pages() -> list[bytes]:
    pages = []
    for path in sorted(RECORDED.glob("*.classes.json"))[:20]:
        current = [each for each in json.loads(path.read_text()) if not each["isObsolete"]]
        if len(current) >= ROWS:
            pages.append(page_of(current[:ROWS]))
    return pages


@pytest.fixture(scope="module")
def pages() -> list[bytes]:
    return generated_pages() + recorded_pages()


def rows_of(body: bytes) -> Tables:
    """What a download and a decoding pass make of a page; only their own errors come out."""
    parsed = accepted(PageSpec(PageKey("current", 0), ROWS, ROWS), memoryview(body))
    tables: Tables = ([], [], [], [])
    sinks = {name: table.append for name, table in zip(COLUMNS, tables, strict=True)}
    decode_page(parsed, sinks, Findings(), TermKeys(b"", b"", 1))
    return tables


def assert_postgresql_takes(tables: Tables) -> None:
    """Every value is of its column's type: UTF-8 text without NUL, a list, a bool or a key."""
    for table in tables:
        for row in table:
            for value in row:
                texts = value if isinstance(value, list) else [value]
                for text in texts:
                    assert text is None or isinstance(text, str | bool | int)
                    assert not isinstance(text, str) or b"\0" not in text.encode()
            assert isinstance(row[0], int)
    assert all(row[1] for row in tables[0]), "every term has an IRI"


def outcome(body: bytes) -> str:
    try:
        tables = rows_of(body)
    except (PayloadError, RecordRejected) as error:
        return type(error).__name__
    assert_postgresql_takes(tables)
    return "accepted"


def mutate(pages: list[bytes], seeds: range) -> Counter[str]:
    outcomes: Counter[str] = Counter()
    for seed in seeds:
        chance = random.Random(seed)
        page = chance.choice(pages)
        kind = chance.choice((*WITH_MEANING, mutations.neutral))
        body = kind(page, chance)
        try:
            found = outcome(body)
            if kind is mutations.neutral:
                assert found == "accepted"
                assert rows_of(body) == rows_of(page)
        except Exception as error:
            error.add_note(f"seed {seed}: {kind.__name__}")
            raise
        outcomes[found] += 1
    return outcomes


@pytest.mark.fault("S24")
def test_a_mutated_page_is_accepted_or_refused_by_name(pages: list[bytes]) -> None:
    outcomes = mutate(pages, range(2_000))
    assert outcomes["accepted"] > 500
    assert outcomes["PayloadError"] > 300
    assert outcomes["RecordRejected"] > 0


@pytest.mark.campaign
@pytest.mark.fault("S24")
def test_ten_thousand_mutated_pages_are_accepted_or_refused_by_name(pages: list[bytes]) -> None:
    assert mutate(pages, range(10_000)).total() == 10_000
