"""Receivers for every test of the alerts."""

from collections.abc import Iterator

import pytest

from efo_assets_tests.alerts.receivers import MailServer, WebReceiver, mail_server, web_receiver


@pytest.fixture
def webhook() -> Iterator[WebReceiver]:
    with web_receiver() as receiver:
        yield receiver


@pytest.fixture
def sink() -> Iterator[WebReceiver]:
    """A Sentry."""
    with web_receiver() as receiver:
        yield receiver


@pytest.fixture
def mailbox() -> Iterator[MailServer]:
    with mail_server(password=b"CANARY/smtp@password") as server:
        yield server
