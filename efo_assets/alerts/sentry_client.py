"""How an event reaches Sentry: one client for one event, sent before anything goes on.

Nothing is patched and nothing is registered: no integration, so that no log line, excepthook or
other library makes an event; no thread, so that none is lost with a process that ends. Importing
this module imports `sentry_sdk`, which takes a fifth of a second.
"""

import gzip
import http.client
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

from sentry_sdk import Client, Scope, new_scope
from sentry_sdk.consts import EndpointType
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport

from efo_assets.errors import NotDelivered
from efo_assets.privacy.scrub import scrubbed_whole

TIMEOUT_S = 5.0
"""A run waits so long, at most, for Sentry."""
AGENT = f"efo_assets/{version('efo_assets')}"


@contextmanager
def capturing(dsn: str, tags: Mapping[str, str], fingerprint: Sequence[str]) -> Iterator[Scope]:
    """A scope to capture one event in; left when Sentry has taken it.

    Raises:
        NotDelivered: Sentry did not take it.
    """
    sent: list[str] = []
    client = Client(
        dsn=dsn,
        transport=_transport(sent),
        release=AGENT.replace("/", "@"),
        before_send=lambda event, _: scrubbed_whole(event),
        default_integrations=False,
        auto_enabling_integrations=False,
        include_local_variables=False,
        auto_session_tracking=False,
        send_client_reports=False,
        max_breadcrumbs=0,
    )
    with new_scope() as scope:
        scope.set_client(client)
        scope.set_tags(dict(tags))
        scope.fingerprint = list(fingerprint)
        yield scope
    if not sent:
        raise NotDelivered("No event for Sentry could be made of the failure.")
    if sent[0] != TAKEN:
        raise NotDelivered(f"Sentry did not take the event ({sent[0]}); look at SENTRY_DSN.")


TAKEN = "taken"


def _transport(outcomes: list[str]) -> type[Transport]:
    class DirectTransport(Transport):
        """Sends in this thread, once, without following a redirect."""

        def capture_envelope(self, envelope: Envelope) -> None:
            outcomes.append(self._posted(envelope))

        def _posted(self, envelope: Envelope) -> str:
            if self.parsed_dsn is None:
                return "no DSN"
            auth = self.parsed_dsn.to_auth(AGENT)
            request = urllib.request.Request(  # noqa: S310  # settings accept http(s) alone
                auth.get_api_url(EndpointType.ENVELOPE),
                data=gzip.compress(_without_trace(envelope).serialize()),
                headers={
                    "Content-Type": "application/x-sentry-envelope",
                    "Content-Encoding": "gzip",
                    "User-Agent": AGENT,
                    "X-Sentry-Auth": auth.to_header(),
                },
            )
            return _outcome(request)

    return DirectTransport


def _without_trace(envelope: Envelope) -> Envelope:
    """The envelope with the headers of an event alone; `trace` would repeat the DSN's key."""
    needed = {name: envelope.headers[name] for name in ("event_id", "sent_at")}
    return Envelope(headers=needed, items=envelope.items)


def _outcome(request: urllib.request.Request) -> str:
    try:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=TIMEOUT_S):
            return TAKEN
    except urllib.error.HTTPError as error:
        with error:
            return f"status {error.code}"
    except urllib.error.URLError as error:
        return type(error.reason).__name__
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Follow nowhere: the key would go along."""
