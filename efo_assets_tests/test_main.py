"""`python -m efo_assets`: what is published, from the command line."""

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from efo_assets.settings import DatabaseTarget
from efo_assets_tests.alerts.receivers import mail_server, web_receiver
from efo_assets_tests.commands import free_port


@pytest.fixture
def environment(database: DatabaseTarget, tmp_path: Path) -> dict[str, str]:
    url = psycopg.conninfo.make_conninfo(**database.parameters)
    return os.environ | {"EFO_DATABASE_URL": url, "EFO_DATA_DIR": str(tmp_path)}


def command(environment: dict[str, str], *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "efo_assets", *words],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_psql_takes_its_own_arguments(environment: dict[str, str]) -> None:
    done = command(environment, "psql", "-XAtqc", "select 6 * 7", "-c", "show search_path")
    assert (done.stdout, done.stderr) == ("42\npublic,efo_meta,public\n", "")


def test_psql_hands_its_exit_code_on(environment: dict[str, str]) -> None:
    assert command(environment, "psql", "-c", "select 1 / 0").returncode == 1


def test_status_before_anything_is_published_names_the_command(environment: dict[str, str]) -> None:
    done = command(environment, "status")
    said = "Nothing is published yet: run `make run`, in a deployment the service `pipeline`.\n"
    assert (done.returncode, done.stdout) == (0, said)


def test_a_wrong_word_is_refused(environment: dict[str, str]) -> None:
    assert "invalid choice: 'stauts'" in command(environment, "stauts").stderr


def test_a_wrong_setting_is_one_sentence(environment: dict[str, str]) -> None:
    done = command(environment | {"EFO_PAGE_SIZE": "many"}, "status")
    assert done.returncode == 1
    assert done.stderr.startswith("EFO_PAGE_SIZE")
    assert done.stderr.count("\n") == 1


def test_an_alert_test_reaches_every_configured_receiver() -> None:
    with web_receiver() as webhook, web_receiver() as sink, mail_server() as mailbox:
        receivers = {
            "EFO_ALERT_WEBHOOK_URL": f"{webhook.url}/hook",
            "EFO_ALERT_SMTP_URL": f"smtp://127.0.0.1:{mailbox.port}",
            "EFO_ALERT_EMAIL_FROM": "efo@example.org",
            "EFO_ALERT_EMAIL_TO": "ops@example.org",
            "SENTRY_DSN": f"{sink.url.replace('//', '//key@')}/42",
        }
        done = command(os.environ | receivers, "alert-test")
        assert (done.stdout, done.stderr) == (
            "webhook: arrived\nemail: arrived\nsentry: arrived\n",
            "",
        )
        assert done.returncode == 0
        assert "nothing failed" in webhook.texts()[0]
        assert "nothing failed" in mailbox.mails[0].get_content()
        (event,) = sink.events()
        assert (event["level"], event["message"]) == ("info", "efo_assets: test of the alerts")


def test_an_alert_test_says_which_receiver_it_did_not_reach() -> None:
    with web_receiver() as webhook:
        receivers = {
            "EFO_ALERT_WEBHOOK_URL": f"{webhook.url}/hook",
            "SENTRY_DSN": f"http://CANARY@127.0.0.1:{free_port()}/42",
        }
        done = command(os.environ | receivers, "alert-test")
    assert done.returncode == 1
    assert done.stdout == (
        "webhook: arrived\n"
        "sentry: Sentry did not take the event (ConnectionRefusedError); look at SENTRY_DSN.\n"
    )


def test_an_alert_test_without_a_receiver_says_what_to_set() -> None:
    done = command(dict(os.environ), "alert-test")
    assert done.returncode == 1
    assert done.stderr.startswith("No receiver of alerts is configured: set EFO_ALERT_WEBHOOK_URL")
    assert done.stderr.count("\n") == 1
