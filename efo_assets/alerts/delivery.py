"""One message to every receiver, each on its own: one that fails keeps nothing from the others."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from efo_assets.alerts.mail import MailReceiver
from efo_assets.alerts.message import Message
from efo_assets.alerts.webhook import WebhookReceiver
from efo_assets.errors import NotDelivered
from efo_assets.settings import AlertSettings


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one message at one receiver."""

    arrived: bool
    trouble: str | None = None
    """One sentence about what did not go well, without a secret."""


class Receiver(Protocol):
    """Somebody who is told."""

    @property
    def name(self) -> str:
        """One word, the same for ever: what was told is noted under it."""
        ...

    def send(self, message: Message) -> str | None:
        """Hand the message over, in a few seconds at most; give what some did not get of it.

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


def deliver(message: Message, to: Sequence[Receiver]) -> Mapping[str, Outcome]:
    """Send to all at once; give what became of it, by the receivers' names."""
    if not to:
        return {}
    with ThreadPoolExecutor(max_workers=len(to)) as pool:
        outcomes = pool.map(lambda receiver: _sent(message, receiver), to)
    return {receiver.name: outcome for receiver, outcome in zip(to, outcomes, strict=True)}


def _sent(message: Message, receiver: Receiver) -> Outcome:
    try:
        return Outcome(arrived=True, trouble=receiver.send(message))
    except NotDelivered as error:
        return Outcome(arrived=False, trouble=str(error))
