"""Messages: harmless, bounded, and without a secret, whatever a failure says."""

import json
from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import SMTP

import pytest

from efo_assets.alerts.mail import mail
from efo_assets.alerts.message import LINE_CHARACTERS, Place, failed, over, trial
from efo_assets.alerts.webhook import payload

PLACE = Place(
    ontology="efo",
    job="refresh_efo",
    run_id="8d1f",
    host="efo-1",
    step="raw_ols_pages",
    ui_url="http://127.0.0.1:3000",
)


def test_a_failure_says_what_where_what_is_kept_and_where_the_run_is() -> None:
    message = failed("OLS is down.", PLACE, incident="8d1f")
    assert message.title == "efo_assets: refresh_efo failed"
    assert message.text == (
        "OLS is down.\n"
        "Where: efo, job refresh_efo, step raw_ols_pages, on efo-1\n"
        "Kept: what was downloaded, and the published release as it was\n"
        "Run: http://127.0.0.1:3000/runs/8d1f"
    )


def test_without_the_address_of_the_ui_the_run_is_named() -> None:
    place = Place(ontology="efo", job="refresh_efo", run_id="8d1f", host="efo-1")
    assert failed("x", place, incident="8d1f").lines[-1] == "Run: 8d1f"


def test_an_end_says_since_when_how_often_and_why() -> None:
    began = datetime(2026, 11, 3, 4, 5, tzinfo=UTC)
    message = over("OLS is down.", PLACE, incident="1", began=began, failures=3)
    assert message.title == "efo_assets: refresh_efo works again"
    assert message.lines[0] == (
        "It had failed 3 times since 2026-11-03 04:05 UTC, first with: OLS is down."
    )


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("two\nlines\r\nand\ttabs", "two lines and tabs"),
        ("red \x1b[31malert\x07", "red \\x1b[31malert\\x07"),
        ("right\u202eleft", "right\\u202eleft"),
        ("nul\x00", "nul\\x00"),
        ("lone \ud800", "lone \\ud800"),
    ],
)
@pytest.mark.fault("S10")
def test_control_and_direction_characters_are_shown_as_escapes(said: str, shown: str) -> None:
    assert failed(said, PLACE, incident="1").lines[0] == shown


@pytest.mark.fault("S10")
@pytest.mark.parametrize(
    ("said", "posted"),
    [
        ("<!channel> <@U1>", "&lt;!channel&gt; &lt;@\u200bU1&gt;"),
        ("<http://evil.example|OLS>", "&lt;http://evil.example|OLS&gt;"),
        ("a & b", "a &amp; b"),
        ("@channel @all", "@\u200bchannel @\u200ball"),
        ("![x](http://evil.example/?)", "![x]\u200b(http://evil.example/?)"),
    ],
)
def test_a_webhook_calls_nobody_and_links_nowhere(said: str, posted: str) -> None:
    body = payload(failed(said, PLACE, incident="1"))
    assert isinstance(body["text"], str)
    assert body["text"].splitlines()[1] == posted
    assert body["unfurl_links"] is body["unfurl_media"] is False


def test_length_is_bounded() -> None:
    message = failed("x" * 100_000, PLACE, incident="1")
    assert len(message.lines[0]) == LINE_CHARACTERS
    assert message.lines[0].endswith("x…")
    assert len(json.dumps(payload(message))) < 4_000


@pytest.mark.fault("S01")
def test_a_secret_that_is_cut_in_two_by_the_bound_does_not_show_its_beginning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EFO_DATABASE_URL", "postgresql://me:CANARYCANARY@db/efo")
    said = "x" * (LINE_CHARACTERS - 8) + "CANARYCANARY" + "x" * 100
    assert "CANARY" not in failed(said, PLACE, incident="1").lines[0]


@pytest.mark.fault("S10")
def test_what_failed_adds_no_header_to_a_mail() -> None:
    place = Place(
        ontology="efo", job="x\r\nBcc: evil@example.org\r\n", run_id="1", host="h\nSubject: y"
    )
    made = mail(failed("a\r\n\r\nb", place, incident="1"), "efo@example.org", ("ops@example.org",))
    read = message_from_bytes(made.as_bytes(policy=SMTP), policy=SMTP)
    assert sorted(read.keys()) == sorted(
        [
            "Subject",
            "From",
            "To",
            "Date",
            "Message-ID",
            "Auto-Submitted",
            "Content-Type",
            "Content-Transfer-Encoding",
            "MIME-Version",
        ]
    )
    assert read["Subject"] == "efo_assets: x Bcc: evil@example.org failed"


def test_mails_of_one_incident_belong_together() -> None:
    began = datetime(2026, 11, 3, tzinfo=UTC)
    to = ("ops@example.org",)
    first = mail(failed("x", PLACE, incident="8d1f"), "efo@example.org", to)
    last = mail(over("x", PLACE, incident="8d1f", began=began, failures=1), "efo@example.org", to)
    assert last["References"] == first["Message-ID"] == "<8d1f.failed@example.org>"
    assert last["Message-ID"] == "<8d1f.over@example.org>"


def test_a_test_says_that_nothing_failed() -> None:
    assert "nothing failed" in trial("efo-1", incident="1").text
