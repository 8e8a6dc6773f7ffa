"""The boundary itself: texts lose secrets and control characters, defects keep their frames."""

import logging
import os
import traceback
from collections.abc import Iterator
from typing import Any

import pytest

from efo_assets.errors import DatabaseRefused
from efo_assets.privacy.disclosure import (
    Scrubbed,
    no_secret_shown,
    one_line,
    shown,
    without_secrets,
)
from efo_assets.privacy.logs import logger, scrubbing

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
    with pytest.raises(Scrubbed) as caught, no_secret_shown():
        raise defect()
    assert str(caught.value).startswith("ExceptionGroup: with *** (2 sub-exceptions)\n")
    text = "".join(traceback.format_exception(caught.value))
    assert "K4NARY" not in text
    for name in ("KeyError: ", "PermissionError: ", "ValueError: ", "direct cause", "in refused"):
        assert name in text, text
    assert "postgresql://***@db.example.org/efo" in text or "://me:***@" in text


def test_a_defect_without_a_secret_is_raised_as_it_is() -> None:
    problem = KeyError("label")
    with pytest.raises(KeyError) as caught, no_secret_shown():
        raise problem
    assert caught.value is problem


def test_a_line_of_source_that_only_names_a_password_is_no_secret() -> None:
    with pytest.raises(KeyError, match="NOWHERE"), no_secret_shown():
        dict(password=os.environ["NOWHERE"])  # noqa: C408  # as many a caller writes it


def test_a_chain_that_bites_its_tail_ends() -> None:
    first, second = ValueError(SECRET), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    assert "K4NARY" not in "".join(traceback.format_exception(without_secrets(first)))


def test_a_sentence_loses_secrets_and_what_a_terminal_would_obey() -> None:
    text = f"No {SECRET} at \x1b[2J\x07 2026\nCRITICAL forged \u202e."
    for what in (text, DatabaseRefused(text)):
        assert shown(what) == "No *** at \\x1b[2J\\x07 2026\\nCRITICAL forged \\u202e."


def test_an_error_that_is_not_expected_is_shown_by_type_and_text() -> None:
    assert shown(ValueError(f"a {SECRET}\nin two lines")) == "ValueError: a ***\\nin two lines"
    assert shown(KeyError()) == "KeyError"


def test_a_line_is_cut_after_its_secrets_are_gone() -> None:
    assert one_line(f"to\n  {SECRET} \x07 and on and on", 15) == "to *** \\x07 an…"


@pytest.fixture
def records(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[logging.LogRecord]]:
    written: list[logging.LogRecord] = []
    handler = logging.Handler()
    monkeypatch.setattr(handler, "emit", written.append)
    logging.getLogger().addHandler(handler)
    yield written
    logging.getLogger().removeHandler(handler)


@pytest.fixture
def of_a_run() -> logging.Logger:
    """A logger as behind `context.log`: of one step alone, though its name is Dagster's."""
    log = logging.Logger("dagster")  # noqa: LOG001  # as Dagster makes it
    log.parent = logging.getLogger()
    return scrubbing(log)


def test_no_logger_of_ours_writes_a_secret(
    records: list[logging.LogRecord], of_a_run: logging.Logger
) -> None:
    arguments: tuple[tuple[Any, ...], ...] = (
        ("plain %s", SECRET),
        (f"in the format {IN_URL}",),
        ("too few %s %s", SECRET),
        ({"an": SECRET},),
    )
    for log in (logger("efo_assets.ols.http"), of_a_run):
        for each in arguments:
            log.warning(*each)
        log.error("failed", exc_info=defect())
    text = "".join(logging.Formatter().format(record) for record in records)
    assert len(records) == 10
    assert "K4NARY" not in text
    assert text.count("***") >= 10
    assert "Traceback" in text


def test_a_line_of_ours_stays_one_line(
    records: list[logging.LogRecord], of_a_run: logging.Logger
) -> None:
    evil = "3.92\n2026-01-01 CRITICAL forged \x1b]0;title\x07\x9b2J\u202e\r\x00"
    for log in (logger("efo_assets.ols.download"), of_a_run):
        log.warning("%s: %d pages", evil, 3)
    logger("efo_assets.ols").warning(evil)
    assert len(records) == 3
    for record in records:
        assert record.getMessage().isprintable()
        assert "\\n2026-01-01 CRITICAL" in record.getMessage()


def test_formats_of_dagster_keep_their_lines(
    records: list[logging.LogRecord], of_a_run: logging.Logger
) -> None:
    of_a_run.warning("two\nlines")
    assert [record.getMessage() for record in records] == ["two\nlines"]


def test_loggers_of_others_are_left_alone(records: list[logging.LogRecord]) -> None:
    logging.getLogger("asyncio").warning("two\n%s", "lines")
    (record,) = records
    assert (record.msg, record.args) == ("two\n%s", ("lines",))
