"""Receivers to be told of failures, on the loopback: a webhook, a mail server, a Sentry."""

import asyncio
import email
import gzip
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope

SENTRY_KEY = "canarykey0123456789"


@dataclass
class Posted:
    """One request that came."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class WebReceiver:
    """Takes POST requests and answers with the next status, the last one again and again."""

    statuses: list[int] = field(default_factory=lambda: [200])
    posted: list[Posted] = field(default_factory=list)
    location: str = ""
    is_silent: bool = False
    url: str = ""
    let_go: threading.Event = field(default_factory=threading.Event)
    before_answering: Callable[[], None] = lambda: None

    def texts(self) -> list[str]:
        """The texts of Slack's JSON."""
        return [json.loads(each.body)["text"] for each in self.posted]

    def events(self) -> list[dict[str, Any]]:
        """The events in Sentry's envelopes."""
        found = []
        for each in self.posted:
            assert each.path == "/api/42/envelope/"
            assert each.headers["content-encoding"] == "gzip"
            lines = gzip.decompress(each.body).split(b"\n")
            assert set(json.loads(lines[0])) == {"event_id", "sent_at"}
            for header, item in zip(lines[1::2], lines[2::2], strict=False):
                if json.loads(header)["type"] == "event":
                    found.append(json.loads(item))
        return found

    def everything(self) -> str:
        """All that came, but for the header that a DSN's key belongs in."""
        return "\n".join(
            each.path.replace("/hook/CANARY-webhook-path", "")
            + str({k: v for k, v in each.headers.items() if k != "x-sentry-auth"})
            + _decoded(each)
            for each in self.posted
        )


def _decoded(posted: Posted) -> str:
    is_packed = posted.headers.get("content-encoding") == "gzip"
    return (gzip.decompress(posted.body) if is_packed else posted.body).decode()


@contextmanager
def web_receiver() -> Iterator[WebReceiver]:
    """An HTTP server in a thread."""
    receiver = WebReceiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            receiver.posted.append(Posted(self.path, headers, body))
            if receiver.is_silent:
                receiver.let_go.wait(30)
                return
            receiver.before_answering()
            statuses = receiver.statuses
            self.send_response(statuses.pop(0) if len(statuses) > 1 else statuses[0])
            if receiver.location:
                self.send_header("Location", receiver.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    receiver.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield receiver
    finally:
        receiver.let_go.set()
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class MailServer:
    """Takes mail; what a client said before is kept, too."""

    port: int = 0
    mails: list[EmailMessage] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    recipients: list[list[str]] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    logins: list[tuple[bytes, bytes]] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    answer: str = "250 OK"
    password: bytes = b""

    async def handle_RCPT(  # noqa: N802  # aiosmtpd's name
        self, server: SMTP, session: Any, envelope: Envelope, address: str, options: Any
    ) -> str:
        del server, session, options
        if address in self.refused:
            return "550 nobody here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Envelope) -> str:  # noqa: N802
        del server
        if self.answer.startswith("250"):
            assert isinstance(envelope.content, bytes)
            self.raw.append(envelope.content)
            self.mails.append(email.message_from_bytes(envelope.content, policy=default))
            self.recipients.append(list(envelope.rcpt_tos))
            self.encrypted.append(session.ssl is not None)
        return self.answer

    def authenticate(self, *given: Any) -> AuthResult:
        """Take the one password."""
        login = given[-1]
        self.logins.append((login.login, login.password))
        return AuthResult(success=login.password == self.password, handled=False)


@contextmanager
def mail_server(
    *, tls: ssl.SSLContext | None = None, password: bytes = b"", is_tls_from_the_start: bool = False
) -> Iterator[MailServer]:
    """An SMTP server in a thread; with `tls` it offers STARTTLS or speaks TLS from the start."""
    made = MailServer(password=password)

    def session() -> SMTP:
        return SMTP(
            made,
            hostname="mail.example.org",
            tls_context=None if is_tls_from_the_start else tls,
            authenticator=made.authenticate if password else None,
            auth_require_tls=False,
            loop=loop,
        )

    loop = asyncio.new_event_loop()
    ready, ended = threading.Event(), asyncio.Event()

    async def serve() -> None:
        server = await loop.create_server(
            session, "127.0.0.1", 0, ssl=tls if is_tls_from_the_start else None
        )
        made.port = server.sockets[0].getsockname()[1]
        ready.set()
        await ended.wait()
        server.close()
        sessions = asyncio.all_tasks() - {asyncio.current_task()}
        for each in sessions:
            each.cancel()
        await asyncio.gather(*sessions, return_exceptions=True)
        await server.wait_closed()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    ready.wait()
    try:
        yield made
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()
