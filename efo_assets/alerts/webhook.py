"""The webhook: a message as Slack's JSON, to Slack or to what takes the same.

The address is a secret and never shown.
"""

import asyncio
import re

import aiohttp

from efo_assets.alerts.message import Message
from efo_assets.errors import NotDelivered

PATIENCE_S = 10.0
"""For all attempts together."""
CONNECT_TIMEOUT_S = 3.0
PAUSES_S = (0.2, 0.5)
"""Before the second attempt and the third."""
_SUCCESS, _REDIRECT = 2, 3
_LATER = {429, 500, 502, 503}
"""The server says that it took nothing: ask again. (A 504 leaves it open.)"""

_MENTION = re.compile(r"@(?=\w)")
_LINK = re.compile(r"\](?=\()")


class _NotTaken(Exception):
    """The attempt certainly left nothing behind, and another may go better."""


class WebhookReceiver:
    """Posts `{"text": …}` and wants a 2xx; redirects are not followed."""

    name = "webhook"

    def __init__(self, url: str) -> None:
        self._url = url

    def send(self, message: Message) -> None:
        """Post the message, again after an attempt that certainly left nothing behind.

        Raises:
            NotDelivered: refused, out of reach, or no answer; the sentence hides the address.
        """
        try:
            asyncio.run(self._post(payload(message)))
        except _NotTaken as error:
            raise NotDelivered(f"The webhook did not take the message: {error}.") from None
        except TimeoutError:
            raise NotDelivered(
                f"The webhook did not answer within {PATIENCE_S:g} s; the message may have arrived."
            ) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # What the error says may hold the address.
            raise NotDelivered(
                f"The webhook could not be asked ({type(error).__name__}); look at "
                "EFO_ALERT_WEBHOOK_URL."
            ) from None

    async def _post(self, body: dict[str, object]) -> None:
        timeout = aiohttp.ClientTimeout(total=PATIENCE_S, sock_connect=CONNECT_TIMEOUT_S)
        async with (
            asyncio.timeout(PATIENCE_S),
            aiohttp.ClientSession(timeout=timeout, trust_env=True) as session,
        ):
            # Without stamina, whose hooks log each retry and are one for the whole process.
            for pause_s in PAUSES_S:
                try:
                    await self._attempt(session, body)
                except _NotTaken:
                    await asyncio.sleep(pause_s)
                else:
                    return
            await self._attempt(session, body)

    async def _attempt(self, session: aiohttp.ClientSession, body: dict[str, object]) -> None:
        try:
            async with session.post(self._url, json=body, allow_redirects=False) as response:
                status = response.status
        except aiohttp.ClientConnectorError as error:
            raise _NotTaken(f"no connection ({type(error).__name__})") from None
        except aiohttp.ConnectionTimeoutError:
            raise _NotTaken(f"no connection within {CONNECT_TIMEOUT_S:g} s") from None
        if status in _LATER:
            raise _NotTaken(f"status {status}")
        if status // 100 != _SUCCESS:
            is_redirect = status // 100 == _REDIRECT
            hint = "redirects are not followed" if is_redirect else "look at the webhook's set-up"
            raise NotDelivered(f"The webhook answered with status {status}; {hint}.")


def payload(message: Message) -> dict[str, object]:
    """Slack's JSON, with nothing in it that calls people, links or loads a picture."""
    text = "\n".join([f"*{_plain(message.title)}*", *map(_plain, message.lines)])
    return {"text": text, "unfurl_links": False, "unfurl_media": False}


def _plain(text: str) -> str:
    """Text that Slack, and the Markdown of those that imitate it, shows as it is."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # A zero-width space: Mattermost calls people at a bare @channel, and knows [text](address).
    return _LINK.sub("]\u200b", _MENTION.sub("@\u200b", escaped))
