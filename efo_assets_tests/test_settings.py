"""Settings: each variable has a default that works, and a wrong value is one sentence."""

from pathlib import Path

import pytest

from efo_assets.errors import SettingsError
from efo_assets.settings import AlertSettings, Automation, DatabaseTarget, Settings, SmtpTarget


def test_an_empty_environment_gives_the_documented_defaults() -> None:
    assert Settings.from_environment({}) == Settings(
        ols_url="https://www.ebi.ac.uk/ols4",
        ontology="efo",
        page_size=500,
        max_in_flight=16,
        limit=None,
        database=None,
        schema="public",
        data_dir=Path.cwd() / ".efo",
        allow_shrink=False,
        automation=False,
        allow_older=False,
    )


def test_an_empty_value_counts_as_unset() -> None:
    assert Settings.from_environment({"EFO_PAGE_SIZE": " "}).page_size == 500


def test_an_ontology_is_known_by_its_name_in_capitals_too() -> None:
    assert Settings.from_environment({"EFO_ONTOLOGY": "MONDO"}).ontology == "mondo"
    assert Settings.from_environment({}, {"EFO_ONTOLOGY": "EFO"}).ontology == "efo"
    assert AlertSettings.from_environment({"EFO_ONTOLOGY": "MONDO"}).ontology == "mondo"


def test_overrides_go_before_the_environment() -> None:
    read = Settings.from_environment({"EFO_LIMIT": "5"}, {"EFO_LIMIT": 7, "EFO_SCHEMA": None})
    assert (read.limit, read.schema) == (7, "public")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("EFO_OLS_URL", "ftp://example.org"),
        ("EFO_OLS_URL", "file:///etc/passwd"),
        ("EFO_OLS_URL", "example.org"),
        ("EFO_OLS_URL", "http://user:CANARY@example.org"),
        ("EFO_OLS_URL", "http://example.org/?a=CANARY"),
        ("EFO_OLS_URL", "http://[CANARY"),
        ("EFO_PROXY", "socks5://user:CANARY@example.org:1080"),
        ("EFO_PROXY", "example.org:3128"),
        ("EFO_PROXY", "http://us%3Aer:CANARY@example.org"),
        ("EFO_PROXY", "http://user:CANARY@example.org/path"),
        ("EFO_PROXY", "http://user:CANARY@example.org:port"),
        ("EFO_PROXY", "http://example.org?CANARY"),
        ("EFO_ONTOLOGY", "../efo"),
        ("EFO_ONTOLOGY", "efo?size=1"),
        ("EFO_ONTOLOGY", "e" * 32),
        ("EFO_PAGE_SIZE", "0"),
        ("EFO_PAGE_SIZE", "1001"),
        ("EFO_PAGE_SIZE", "many"),
        ("EFO_PAGE_SIZE", "-5"),
        ("EFO_PAGE_SIZE", "٣"),
        ("EFO_MAX_IN_FLIGHT", "51"),
        ("EFO_LIMIT", "0"),
        ("EFO_LIMIT", "1.5"),
        ("EFO_DATABASE_URL", "mysql://user:CANARY@host/db"),
        ("EFO_DATABASE_URL", "postgresql://user:CANARY@host:port:port/db?x=y"),
        ("EFO_DATABASE_URL", "postgresql://user:pass@CANARY@host/db"),
        ("EFO_DATABASE_URL", "postgresql://user:CANARY/word@host/db"),
        ("EFO_DATABASE_URL", "postgres://user:pass/CANARY@host/db"),
        ("EFO_DATABASE_URL", "postgresql://user:pass@host/db?application_name=@CANARY"),
        ("EFO_DATABASE_URL", "postgresql://host:CANARY/db"),
        ("EFO_DATABASE_URL", "postgresql://"),
        ("EFO_DATA_DIR", "~nosuchuser/efo"),
        ("EFO_DATA_DIR", "/data/two\nlines"),
        ("EFO_DATA_DIR", "/data/\udcff"),
        ("EFO_SCHEMA", "Public"),
        ("EFO_SCHEMA", "efo_meta"),
        ("EFO_SCHEMA", "efo_load_x"),
        ("EFO_SCHEMA", "pg_temp"),
        ("EFO_SCHEMA", "semsql"),
        ("EFO_SCHEMA", "mondo_semsql"),
        ("EFO_SCHEMA", 'x"; drop schema public'),
        ("EFO_SCHEMA", "s" * 64),
        ("EFO_ALLOW_SHRINK", "maybe"),
        ("EFO_AUTOMATION", "sometimes"),
        ("EFO_ALLOW_OLDER", "maybe"),
        ("EFO_ANCESTORS", "view"),
    ],
)
@pytest.mark.fault("S04")
@pytest.mark.fault("S08")
def test_a_wrong_value_is_one_sentence_that_names_the_variable(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment({name: value})
    message = str(caught.value)
    assert message.startswith(f"{name} takes ")
    assert message.endswith(".")
    assert "\n" not in message
    assert "CANARY" not in message


@pytest.mark.parametrize(
    ("value", "wanted"),
    [("1", True), (" on ", True), ("0", False), (" ", False), ("sometimes", False)],
)
def test_the_code_location_takes_a_wrong_switch_for_off(
    monkeypatch: pytest.MonkeyPatch, value: str, wanted: bool
) -> None:
    monkeypatch.setenv("EFO_AUTOMATION", value)
    assert Automation.from_environment().is_on is wanted


@pytest.mark.parametrize(
    "url",
    ["https://www.ebi.ac.uk/ols4/", "https://www.ebi.ac.uk/ols4/api", "https://www.ebi.ac.uk/ols4"],
)
def test_the_base_of_ols_is_the_same_however_it_ends(url: str) -> None:
    assert Settings.from_environment({"EFO_OLS_URL": url}).ols_url == "https://www.ebi.ac.uk/ols4"


@pytest.mark.fault("S03")
def test_a_proxy_is_kept_and_never_shown() -> None:
    url = "http://user:CANARY@proxy.example.org:3128"
    settings = Settings.from_environment({"EFO_PROXY": url})
    assert settings.proxy == url
    assert "CANARY" not in repr(settings)
    assert Settings.from_environment({"EFO_PROXY": " "}).proxy is None


@pytest.mark.fault("S03")
def test_a_database_never_shows_its_password() -> None:
    url = "postgresql://loader:CANARY@db.example.org:6543/efo?sslmode=require"
    target = Settings.from_environment({"EFO_DATABASE_URL": url}).database
    assert target is not None
    assert target.parameters["password"] == "CANARY"  # noqa: S105  # a canary
    assert target.parameters["sslmode"] == "require"
    assert target.place == "db.example.org:6543/efo"
    assert "CANARY" not in repr(target)
    assert "CANARY" not in repr(Settings(database=DatabaseTarget(target.parameters)))


MAIL = {
    "EFO_ALERT_SMTP_URL": "smtp://mail.example.org",
    "EFO_ALERT_EMAIL_FROM": "efo@example.org",
    "EFO_ALERT_EMAIL_TO": "ops@example.org",
}


def test_nobody_is_told_by_default() -> None:
    assert AlertSettings.from_environment({}) == AlertSettings(
        webhook_url=None,
        smtp=None,
        email_from="",
        email_to=(),
        sentry_dsn=None,
        ui_url=None,
        ontology="efo",
    )


def test_the_settings_of_the_alerts_are_read() -> None:
    read = AlertSettings.from_environment(
        MAIL
        | {
            "EFO_ALERT_WEBHOOK_URL": "https://hooks.example.org/T/B/x",
            "EFO_ALERT_EMAIL_TO": "ops@example.org, dba@example.org,",
            "SENTRY_DSN": "https://key@sentry.example.org/42",
            "EFO_UI_URL": "https://dagster.example.org/",
            "EFO_ONTOLOGY": "mondo",
        }
    )
    assert read.webhook_url == "https://hooks.example.org/T/B/x"
    assert read.email_to == ("ops@example.org", "dba@example.org")
    assert read.email_from == "efo@example.org"
    assert read.sentry_dsn == "https://key@sentry.example.org/42"
    assert (read.ui_url, read.ontology) == ("https://dagster.example.org", "mondo")


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("smtp://mail.example.org", SmtpTarget("mail.example.org", 25, "offered")),
        ("smtp+starttls://mail.example.org", SmtpTarget("mail.example.org", 587, "starttls")),
        (
            "smtps://me%40example.org:p%2Fw%40@mail.example.org:2465/",
            SmtpTarget("mail.example.org", 2465, "tls", "me@example.org", "p/w@"),
        ),
    ],
)
def test_the_scheme_of_the_mail_server_says_how_it_is_encrypted(
    url: str, target: SmtpTarget
) -> None:
    assert AlertSettings.from_environment(MAIL | {"EFO_ALERT_SMTP_URL": url}).smtp == target


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("EFO_ALERT_WEBHOOK_URL", "hooks.example.org/CANARY"),
        ("EFO_ALERT_WEBHOOK_URL", "file:///CANARY"),
        ("EFO_ALERT_WEBHOOK_URL", "https://me:CANARY@hooks.example.org/"),
        ("EFO_ALERT_WEBHOOK_URL", "https://[CANARY"),
        ("EFO_ALERT_SMTP_URL", "http://me:CANARY@mail.example.org"),
        ("EFO_ALERT_SMTP_URL", "smtp://me:CANARY@mail.example.org/path"),
        ("EFO_ALERT_SMTP_URL", "smtp://CANARY@mail.example.org"),
        ("EFO_ALERT_SMTP_URL", "smtp://me:CANARY@mail.example.org:port"),
        ("EFO_ALERT_EMAIL_FROM", "nobody"),
        ("EFO_ALERT_EMAIL_FROM", "a@example.org, b@example.org"),
        ("EFO_ALERT_EMAIL_FROM", ""),
        ("EFO_ALERT_EMAIL_TO", ""),
        ("EFO_ALERT_EMAIL_TO", "ops@example.org\nBcc: x@example.org"),
        ("EFO_ALERT_EMAIL_TO", "Ops <ops@example.org>"),
        ("SENTRY_DSN", "CANARY"),
        ("SENTRY_DSN", "https://sentry.example.org/42"),
        ("SENTRY_DSN", "https://CANARY@sentry.example.org/project"),
        ("EFO_UI_URL", "dagster.example.org"),
        ("EFO_UI_URL", "https://me:CANARY@dagster.example.org"),
    ],
)
@pytest.mark.fault("S01")
def test_a_wrong_value_of_the_alerts_is_one_sentence_that_names_the_variable(
    name: str, value: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        AlertSettings.from_environment(MAIL | {name: value})
    message = str(caught.value)
    assert message.startswith(f"{name} takes ")
    assert message.endswith(".")
    assert "\n" not in message
    assert "CANARY" not in message


def test_an_address_without_a_mail_server_is_of_no_use_and_said_so() -> None:
    with pytest.raises(SettingsError, match=r"EFO_ALERT_EMAIL_TO .* without EFO_ALERT_SMTP_URL"):
        AlertSettings.from_environment({"EFO_ALERT_EMAIL_TO": "ops@example.org"})


@pytest.mark.fault("S03")
def test_the_settings_of_the_alerts_never_show_a_secret() -> None:
    read = AlertSettings.from_environment(
        MAIL
        | {
            "EFO_ALERT_WEBHOOK_URL": "https://hooks.example.org/CANARY",
            "EFO_ALERT_SMTP_URL": "smtps://me:CANARY@mail.example.org",
            "SENTRY_DSN": "https://CANARY@sentry.example.org/42",
        }
    )
    assert "mail.example.org" in repr(read)
    assert "CANARY" not in repr(read)
