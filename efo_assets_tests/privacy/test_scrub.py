"""The scrub: no configured secret passes, in whatever spelling, and the rest stays readable."""

import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from efo_assets.privacy.scrub import scrubbed, scrubbed_whole

PASSWORD = "CANARY p@ss/w%rd'\"\\é"  # noqa: S105  # a canary
ENVIRONMENT = {
    "EFO_DATABASE_URL": f"postgresql://loader:{quote(PASSWORD, safe='')}@db.example.org/efo",
    "EFO_ALERT_SMTP_URL": "smtps://me:CANARYsmtp%21@mail.example.org",
    "EFO_ALERT_WEBHOOK_URL": "https://hooks.example.org/services/T0/B0/CANARYhook",
    "SENTRY_DSN": "https://CANARYdsnkey@sentry.example.org/42",
    "EFO_PASSWORD": "CANARYcompose",
    "EFO_PROXY": "http://me:CANARYpr%40xy@proxy.example.org:3128",
}


@pytest.mark.fault("S01")
@pytest.mark.parametrize(
    "secret",
    [
        PASSWORD,
        quote(PASSWORD),
        quote(PASSWORD, safe=""),
        quote_plus(PASSWORD),
        repr(PASSWORD)[1:-1],
        json.dumps(PASSWORD)[1:-1],
        "CANARYsmtp!",
        "CANARYsmtp%21",
        "services/T0/B0/CANARYhook",
        "CANARYdsnkey",
        "CANARYcompose",
        "CANARYpr@xy",
        "CANARYpr%40xy",
    ],
)
def test_every_configured_secret_is_taken_out_in_every_spelling(secret: str) -> None:
    text = scrubbed(f"before <{secret}> after", ENVIRONMENT)
    assert text == "before <***> after"


@pytest.mark.fault("S01")
@pytest.mark.parametrize(
    ("said", "left"),
    [
        ("at http://me:pw@host/x?y=1 again", "at http://***@host/x?y=1 again"),
        ("postgresql://me@host/db", "postgresql://***@host/db"),
        ("host=h password=pw dbname=d", "host=h password=*** dbname=d"),
        ("password = 'p w' port=1", "password = *** port=1"),
        ("https://www.ebi.ac.uk/ols4/x?mail=a@b", "https://www.ebi.ac.uk/ols4/x?mail=a@b"),
        ("write to a@b.org", "write to a@b.org"),
    ],
)
def test_credentials_of_anybody_go_and_the_rest_stays(said: str, left: str) -> None:
    assert scrubbed(said, {}) == left


def test_a_database_url_that_cannot_be_read_is_a_secret_as_a_whole() -> None:
    broken = "postgresql://me:CANARY@host:port:port/db?x=y"
    assert "CANARY" not in scrubbed(f"it holds {broken}", {"EFO_DATABASE_URL": broken})


def test_a_database_password_given_as_keywords_is_known() -> None:
    environment = {"EFO_DATABASE_URL": "host=h user=u password='CANARY x'"}
    assert scrubbed("no CANARY x here", environment) == "no *** here"


def test_a_very_short_password_does_not_take_letters_out_of_words() -> None:
    environment = {"EFO_DATABASE_URL": "postgresql://efo:efo@db/efo"}
    assert scrubbed("efo_assets at postgresql://efo:efo@db", environment) == (
        "efo_assets at postgresql://***@db"
    )


def test_one_secret_within_another_goes_with_it() -> None:
    environment = {"EFO_PASSWORD": "CANARY", "PGPASSWORD": "CANARYlonger"}
    assert scrubbed("x CANARYlonger x", environment) == "x *** x"


_plain = st.text(alphabet="abc {}<>&%", max_size=8)
_leaves = st.one_of(_plain, _plain.map(lambda text: text + PASSWORD + text), st.integers())
_values = st.recursive(
    _leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner, inner),
        st.dictionaries(_plain.map(lambda text: f"{text}{PASSWORD}"), inner, max_size=3),
    ),
    max_leaves=12,
)


@pytest.mark.fault("S01")
@given(_values)
def test_nothing_in_a_structure_keeps_a_secret(value: object) -> None:
    walked = scrubbed_whole({"extra": value}, ENVIRONMENT)
    assert "CANARY" not in str(walked)


def test_bytes_and_objects_are_scrubbed_and_numbers_stay() -> None:
    value = {"b": b"CANARYcompose", "o": ValueError("CANARYcompose"), "n": [1, 2.5, None, True]}
    assert scrubbed_whole(value, ENVIRONMENT) == {
        "b": "***",
        "o": "***",
        "n": [1, 2.5, None, True],
    }
