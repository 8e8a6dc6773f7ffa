"""One message to every receiver, each on its own: one that fails keeps nothing from the others."""

import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeAlias
from uuid import uuid4

from efo_assets.alerts.mail import MailReceiver
from efo_assets.alerts.message import Message, trial
from efo_assets.alerts.sentry import SENTRY, Report, send_event
from efo_assets.alerts.webhook import WebhookReceiver
from efo_assets.errors import NotDelivered, SettingsError
from efo_assets.privacy.disclosure import shown
from efo_assets.settings import AlertSettings


class Delivery(NamedTuple):
    """How one message fared at one receiver."""

    arrived: bool
    trouble: str | None = None
    """One sentence about what did not go well, without a secret."""

    @classmethod
    def of(cls, send: Callable[[], str | None]) -> "Delivery":
        """Send, and turn `NotDelivered` into a delivery that did not arrive."""
        try:
            return cls(arrived=True, trouble=send())
        except NotDelivered as error:
            return cls(arrived=False, trouble=shown(error))


Receiver: TypeAlias = WebhookReceiver | MailReceiver
"""Hands a message over in a few seconds at most; runs are tagged with its `name`."""


def receivers(settings: AlertSettings) -> list[Receiver]:
    """The configured receivers, Sentry not among them: it gets events, not messages."""
    configured: list[Receiver] = []
    if settings.webhook_url is not None:
        configured.append(WebhookReceiver(settings.webhook_url))
    if settings.smtp is not None:
        configured.append(MailReceiver(settings.smtp, settings.email_from, settings.email_to))
    return configured


def deliver(message: Message, to: Sequence[Receiver]) -> dict[str, Delivery]:
    """Send to all at once; return the deliveries by the receivers' names."""
    if not to:
        return {}
    with ThreadPoolExecutor(max_workers=len(to)) as pool:
        deliveries = pool.map(lambda each: Delivery.of(lambda: each.send(message)), to)
    return {each.name: delivery for each, delivery in zip(to, deliveries, strict=True)}


def try_alerts() -> dict[str, Delivery]:
    """Send a test to every configured receiver; return the deliveries by the receivers' names.

    Raises:
        SettingsError: a variable can't be used, or no receiver is configured.
    """
    settings = AlertSettings.from_environment()
    message = trial(socket.gethostname(), incident=f"test-{uuid4()}")
    deliveries = deliver(message, receivers(settings))
    if dsn := settings.sentry_dsn:
        report = Report(step="alert-test", tags={})
        deliveries[SENTRY] = Delivery.of(lambda: send_event(dsn, message.title, report, "info"))
    if not deliveries:
        raise SettingsError(
            "No receiver of alerts is configured: set EFO_ALERT_WEBHOOK_URL, EFO_ALERT_SMTP_URL or "
            "SENTRY_DSN, and run this again where the code location runs."
        )
    return deliveries
