"""The boundary itself: texts lose secrets and control characters, defects keep their frames."""

import logging
import traceback
from collections.abc import Iterator
from typing import Any

import pytest

from efo_assets.errors import DatabaseRefused
from efo_assets.privacy.disclosure import (
    guard_log_lines,
    no_secret_shown,
    sentence,
    without_secrets,
)

SECRET = "K4NARY-p@ss/w:rd"  # noqa: S105  # a canary
IN_URL = "K4NARY-p%40ss%2Fw%3Ard"


@pytest.fixture(autouse=True)
def _configured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EFO_DATABASE_URL", f"postgresql://me:{IN_URL}@db.example.org/efo")


def refused() -> None:
    try:
        dict[str, str]()[SECRET]
    except KeyError as missing:
        problem = PermissionError(13, "denied", f"/srv/{SECRET}")
        problem.add_note(f"while connecting to postgresql://me:{IN_URL}@db.example.org/efo")
        raise problem from missing


def defect() -> Exception:
    """A chain of exceptions, each with the secret in another place."""
    with pytest.raises(PermissionError) as caught:
        refused()
    return ExceptionGroup(f"with {SECRET}", [caught.value, ValueError(IN_URL)])


def test_a_defect_keeps_names_and_frames_and_loses_the_secret() -> None:
    with pytest.raises(ExceptionGroup) as caught, no_secret_shown():
        raise defect()
    shown = "".join(traceback.format_exception(caught.value))
    assert "K4NARY" not in shown
    for name in ("KeyError: ", "PermissionError: ", "ValueError: ", "direct cause", "in refused"):
        assert name in shown, shown
    assert "postgresql://***@db.example.org/efo" in shown or "://me:***@" in shown


def test_a_defect_without_a_secret_is_raised_as_it_is() -> None:
    problem = KeyError("label")
    with pytest.raises(KeyError) as caught, no_secret_shown():
        raise problem
    assert caught.value is problem


def test_a_chain_that_bites_its_tail_ends() -> None:
    first, second = ValueError(SECRET), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    assert "K4NARY" not in "".join(traceback.format_exception(without_secrets(first)))


def test_a_sentence_loses_secrets_and_what_a_terminal_would_obey() -> None:
    said = sentence(DatabaseRefused(f"No {SECRET} at \x1b[2J\x07 2026\nCRITICAL forged \u202e."))
    assert said == "No *** at \\x1b[2J\\x07 2026\\nCRITICAL forged \\u202e."


@pytest.fixture
def records(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[logging.LogRecord]]:
    factory = logging.getLogRecordFactory()
    monkeypatch.setattr(logging, "_logRecordFactory", logging.LogRecord)
    guard_log_lines()
    found: list[logging.LogRecord] = []
    handler = logging.Handler()
    monkeypatch.setattr(handler, "emit", found.append)
    logging.getLogger().addHandler(handler)
    yield found
    logging.getLogger().removeHandler(handler)
    logging.setLogRecordFactory(factory)


@pytest.mark.parametrize("name", ["efo_assets.ols.http", "aiohttp.client", "dagster"])
def test_no_logger_writes_a_secret(records: list[logging.LogRecord], name: str) -> None:
    arguments: tuple[tuple[Any, ...], ...] = (
        ("plain %s", SECRET),
        (f"in the format {IN_URL}",),
        ("too few %s %s", SECRET),
        ({"an": SECRET},),
    )
    for each in arguments:
        logging.getLogger(name).warning(*each)
    logging.getLogger(name).error("failed", exc_info=defect())
    shown = "".join(logging.Formatter().format(record) for record in records)
    assert len(records) == 5
    assert "K4NARY" not in shown
    assert shown.count("***") >= 5
    assert "Traceback" in shown


def test_a_line_of_ours_stays_one_line(records: list[logging.LogRecord]) -> None:
    evil = "3.92\n2026-01-01 CRITICAL forged \x1b]0;title\x07\x9b2J\u202e\r\x00"
    for name in ("efo_assets.ols.download", "dagster"):
        logging.getLogger(name).warning("%s: %d pages", evil, 3)
    logging.getLogger("efo_assets").warning(evil)
    for record in records:
        assert record.getMessage().isprintable()
        assert "\\n2026-01-01 CRITICAL" in record.getMessage()


def test_formats_of_others_keep_their_lines(records: list[logging.LogRecord]) -> None:
    logging.getLogger("dagster").warning("two\nlines")
    logging.getLogger("asyncio").warning("%s", "two\nlines")
    assert [record.getMessage() for record in records] == ["two\nlines"] * 2


def test_a_record_without_a_name_can_be_made(records: list[logging.LogRecord]) -> None:
    assert logging.makeLogRecord({"msg": "from elsewhere"}).getMessage() == "from elsewhere"
    assert records == []
