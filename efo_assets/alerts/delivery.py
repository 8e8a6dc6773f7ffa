"""One message to every receiver, each on its own: one that fails keeps nothing from the others."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from efo_assets.alerts.mail import MailReceiver
from efo_assets.alerts.message import Message
from efo_assets.alerts.webhook import WebhookReceiver
from efo_assets.errors import NotDelivered
from efo_assets.settings import AlertSettings


class Receiver(Protocol):
    """Somebody who is told."""

    @property
    def name(self) -> str:
        """One word, the same for ever: what was told is noted under it."""
        ...

    def send(self, message: Message) -> None:
        """Hand the message over, in a few seconds at most.

        Raises:
            NotDelivered: it did not arrive, or nobody knows; one sentence without a secret.
        """
        ...


def receivers(settings: AlertSettings) -> list[Receiver]:
    """Those that are configured."""
    found: list[Receiver] = []
    if settings.webhook_url is not None:
        found.append(WebhookReceiver(settings.webhook_url))
    if settings.smtp is not None:
        found.append(MailReceiver(settings.smtp, settings.email_from, settings.email_to))
    return found


def deliver(message: Message, to: Sequence[Receiver]) -> Mapping[str, str | None]:
    """Send to all at once; give for each receiver's name why it failed, or None."""
    if not to:
        return {}
    with ThreadPoolExecutor(max_workers=len(to)) as pool:
        outcomes = pool.map(lambda receiver: _sent(message, receiver), to)
    return {receiver.name: why for receiver, why in zip(to, outcomes, strict=True)}


def _sent(message: Message, receiver: Receiver) -> str | None:
    try:
        receiver.send(message)
    except NotDelivered as error:
        return str(error)
    return None
