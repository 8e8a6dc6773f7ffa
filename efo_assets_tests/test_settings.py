"""Settings: each variable has a default that works, and a wrong value is one sentence."""

from pathlib import Path

import pytest

from efo_assets.errors import SettingsError
from efo_assets.settings import DatabaseTarget, Settings


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
        allow_older=False,
    )


def test_an_empty_value_counts_as_unset() -> None:
    assert Settings.from_environment({"EFO_PAGE_SIZE": " "}).page_size == 500


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
        ("EFO_ONTOLOGY", "EFO"),
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
        ("EFO_SCHEMA", "Public"),
        ("EFO_SCHEMA", "efo_meta"),
        ("EFO_SCHEMA", "efo_load_x"),
        ("EFO_SCHEMA", "pg_temp"),
        ("EFO_SCHEMA", 'x"; drop schema public'),
        ("EFO_SCHEMA", "s" * 64),
        ("EFO_ALLOW_SHRINK", "maybe"),
        ("EFO_ALLOW_OLDER", "maybe"),
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
    "url",
    ["https://www.ebi.ac.uk/ols4/", "https://www.ebi.ac.uk/ols4/api", "https://www.ebi.ac.uk/ols4"],
)
def test_the_base_of_ols_is_the_same_however_it_ends(url: str) -> None:
    assert Settings.from_environment({"EFO_OLS_URL": url}).ols_url == "https://www.ebi.ac.uk/ols4"


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
