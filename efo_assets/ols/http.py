"""One request to OLS, repeated until its answer is acceptable, or clear that it never will be.

An attempt is all of it: request, body, inflating and what `accept` checks, because aiohttp takes a
body that was cut for a success in four cases. What is asked, and what becomes of the answer, lives
in `client` and `download`; how fast, in `pace`.
"""

import asyncio
import contextlib
import random
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from importlib.metadata import version
from typing import Any, NamedTuple, Self, TypeAlias, TypeVar

import aiohttp
from yarl import URL

from efo_assets.errors import OlsRefused, OlsUnreachable
from efo_assets.ols import payload
from efo_assets.ols.pace import (
    Budget,
    Gate,
    Outage,
    Pause,
    Unshared,
    backoff_s,
    probe_pause_s,
    retry_after_s,
)
from efo_assets.privacy.logs import logger
from efo_assets.privacy.printable import escaped
from efo_assets.settings import unused_proxy_variable

log = logger(__name__)

HEADERS = {"Accept": "application/json", "Accept-Encoding": "gzip"}
HEADERS["User-Agent"] = f"efo_assets/{version('efo_assets')}"
EXCERPT_CHARACTERS = 200
SETTLED = payload.BodyTooLarge | payload.NotText | payload.UnexpectedContent
ANSWERED = payload.BodyTooLarge | payload.TooFewRows | payload.UnexpectedContent
"""Not what was asked for, and yet OLS is well: no sign of an outage."""
MAX_ATTEMPTS_OF_NO_USE = 2
"""Where the same answer is to be expected when asked again: it is settled."""
TIMEOUT = aiohttp.ClientTimeout(170, sock_connect=10, sock_read=60)

T = TypeVar("T")


class NotFound(OlsRefused):
    """404: what that means depends on what was asked for."""


@dataclass(eq=False)
class AttemptFailed(Exception):
    """One attempt failed, and another may succeed; its `__cause__` is what went wrong, if known."""

    sentence: str
    status: int | None = None
    """Of the answer; None without one."""
    is_overload: bool = False
    """The server has too much to do: ask it less."""
    retry_after_s: float | None = None
    """No request may be sent for so long."""
    was_idle: bool = False
    """The connection may have been closed before the request: that is no failure."""
    counts: bool = True
    """Against the attempts of this request."""

    def __str__(self) -> str:
        return self.sentence


class Response(NamedTuple):
    """An answer with status 200, as received."""

    body: bytes
    content_encoding: str | None
    content_type: str
    latency_s: float


Accept: TypeAlias = Callable[[Response], Awaitable[T]]
"""What makes of an answer what is wanted, or raises a PayloadError."""


@dataclass(slots=True)
class Traffic:
    """What the requests so far cost."""

    requests: int = 0
    retries: int = 0
    bytes_received: int = 0
    latencies_s: list[float] = field(default_factory=list)


@dataclass(kw_only=True, eq=False, repr=False)
class Transport:
    """Sends requests through one gate and with one count of failures; a context manager."""

    max_in_flight: int = 16
    start_in_flight: int = 4
    body_cap_bytes: int = 64 << 20
    timeout: aiohttp.ClientTimeout = TIMEOUT
    attempts: int = 5
    """Of one request, as a rule."""
    pause: Pause = asyncio.sleep
    proxy: str | None = None
    """Where all requests go through; its URL may hold a password."""
    budget: Budget = field(default_factory=Unshared)
    """Of requests over all processes that ask this OLS."""
    rng: random.Random = field(default_factory=random.SystemRandom)
    traffic: Traffic = field(default_factory=Traffic, init=False)

    def __post_init__(self) -> None:
        self.gate = Gate(self.start_in_flight, self.max_in_flight, self.pause, self.budget)
        self._outage = Outage()
        proxy = URL(self.proxy or "")
        self._proxy = proxy.with_user(None) if self.proxy else None
        login = proxy.user and aiohttp.encode_basic_auth(proxy.user, proxy.password or "")
        self._proxy_headers = {"Proxy-Authorization": login} if login else {}

    async def __aenter__(self) -> Self:
        self._pooled = _session(self.timeout, force_close=False)
        self._unpooled = _session(self.timeout, force_close=True)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._pooled.close()
        await self._unpooled.close()

    async def get(
        self, url: URL, accept: Accept[T], attempts: int | None = None, *, is_probe: bool = False
    ) -> T:
        """GET `url` until `accept(response)` raises no PayloadError; its result.

        With `attempts`, the request doesn't wait for the end of an outage. A probe has a connection
        of its own, and its success doesn't end an outage.

        Raises:
            OlsRefused: an answer that asking again would not change.
            OlsUnreachable: nothing at all succeeds any more.
            UnexpectedContent: the last attempt brought something else than was asked for.
            AttemptFailed: the last attempt failed, while OLS goes on answering others.
        """
        failed = tried = 0
        session = self._unpooled if is_probe else self._pooled
        while True:
            try:
                return await self._attempt(url, accept, session, is_probe=is_probe)
            except AttemptFailed as failure:
                log.info("%s: %s", url.with_user(None), failure)
                tried += 1
                failed += failure.counts and not failure.was_idle
                if failure.was_idle:
                    session = self._unpooled
                if not self._may_ask_again(url, failure, failed, attempts):
                    if isinstance(failure.__cause__, payload.UnexpectedContent):
                        raise failure.__cause__ from None
                    raise
                await self._wait(failure, tried)
            self.traffic.retries += 1

    async def _attempt(
        self, url: URL, accept: Accept[T], session: aiohttp.ClientSession, *, is_probe: bool
    ) -> T:
        async with self.gate.slot() as halvings:
            with self._counting_failures(halvings):
                if self._outage.is_total:
                    raise OlsUnreachable(f"OLS at {place_of(url)} answers nothing but failures.")
                response = await self._send(url, session)
        failures_before = self._outage.failures
        with self._counting_failures(halvings):
            value = await self._accept(response, accept)
        if is_probe:
            self._outage.ever_succeeded = True  # and yet pages may not be served
        else:
            self._outage.succeeded(failures_before)
            self.gate.succeeded()  # a probe's one row says nothing of how many OLS can bear
        self.traffic.latencies_s.append(response.latency_s)
        return value

    @contextlib.contextmanager
    def _counting_failures(self, halvings: int) -> Iterator[None]:
        try:
            yield
        except AttemptFailed as failure:
            if not isinstance(failure.__cause__, ANSWERED):
                self._outage.failed()
                if self._outage.is_suspected:
                    self.gate.narrow()
                elif failure.is_overload:
                    self.gate.overloaded(halvings)
            raise

    def _may_ask_again(
        self, url: URL, failure: AttemptFailed, failed: int, attempts: int | None
    ) -> bool:
        """Go on asking in an outage, until it is total; otherwise to the end of the attempts."""
        outage = self._outage
        if outage.is_total:
            raise OlsUnreachable(
                f"OLS unreachable at {place_of(url)}: {outage.failures_in_a_row} requests in a row "
                f"failed, the last with: {failure}."
            ) from failure
        most = attempts or self.attempts
        is_settled = isinstance(failure.__cause__, SETTLED)
        if isinstance(failure.__cause__, payload.BodyTooLarge):
            return False  # up to the cap, each attempt costs as much as a sound page
        if failed < (min(most, MAX_ATTEMPTS_OF_NO_USE) if is_settled else most):
            return True
        if not outage.ever_succeeded and failure.status is None:
            raise OlsUnreachable(
                f"OLS unreachable at {place_of(url)}: {failure} ({failed} attempts)."
                f"{self._about_proxies()}"
            ) from failure
        is_patient = attempts is None and not is_settled
        return is_patient and outage.is_suspected and outage.ever_succeeded

    def _about_proxies(self) -> str:
        """What helps where a proxy is the only way out, or in the way."""
        if self._proxy is not None:
            return f" Requests go through the proxy of EFO_PROXY, {place_of(self._proxy)}."
        name = unused_proxy_variable()
        if name is None:
            return ""
        return (
            f" {name} is set, and is not used: if OLS is reached through a proxy alone, set "
            "EFO_PROXY to its address."
        )

    async def _wait(self, failure: AttemptFailed, tried: int) -> None:
        if failure.retry_after_s is not None:
            await self.gate.retry_after(failure.retry_after_s)
        elif self._outage.is_suspected:
            await self.gate.hold(probe_pause_s(self._outage.failures_in_a_row, self.rng))
        else:
            await self.pause(backoff_s(tried, self.rng))

    async def _send(self, url: URL, session: aiohttp.ClientSession) -> Response:
        self.traffic.requests += 1
        started_s = time.monotonic()
        trace: dict[str, bool] = {}
        asked = session.get(
            url,
            allow_redirects=False,
            trace_request_ctx=trace,
            proxy=self._proxy,
            # A tunnel's headers are the proxy's alone; without TLS, it reads those of the request.
            proxy_headers=self._proxy_headers,
            headers=self._proxy_headers if url.scheme == "http" else None,
        )
        try:
            async with asked as answer:
                if answer.status != HTTPStatus.OK:
                    start = await answer.content.read(16 * EXCERPT_CHARACTERS)
                    raise _failure_of_status(url, answer, start)
                body = await self._read(answer)
        except aiohttp.ClientConnectorCertificateError as error:
            raise OlsRefused(
                f"The TLS certificate of {error.host}:{error.port} is not accepted: "
                f"{printable(str(error.certificate_error))}. Nothing was asked; mend the "
                "certificate, or set EFO_OLS_URL to the right host."
            ) from error
        except aiohttp.ClientHttpProxyError as error:
            raise _failure_of_proxy(url, error.status) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            sentence = _sentence_of(error, self.timeout)
            code = error.os_error.errno if isinstance(error, aiohttp.ClientConnectorError) else None
            if code == socket.EAI_NONAME:  # no such name; other failures to resolve it may pass
                looked_up = "EFO_PROXY" if self._proxy else "EFO_OLS_URL"
                raise OlsUnreachable(
                    f"OLS unreachable: {sentence}; look at {looked_up}.{self._about_proxies()}"
                ) from error
            is_overload = isinstance(error, TimeoutError)
            was_idle = "is_reused" in trace and isinstance(error, Disconnected)
            raise AttemptFailed(sentence, is_overload=is_overload, was_idle=was_idle) from error
        encoding = ", ".join(answer.headers.getall("Content-Encoding", [])) or None
        content_type = answer.headers.get("Content-Type", "no content type")
        return Response(body, encoding, content_type, time.monotonic() - started_s)

    async def _read(self, answer: aiohttp.ClientResponse) -> bytes:
        chunks: list[bytes] = []
        room_bytes = self.body_cap_bytes
        async for chunk in answer.content.iter_any():
            self.traffic.bytes_received += len(chunk)
            room_bytes -= len(chunk)
            if room_bytes < 0:
                raise payload.BodyTooLarge(self.body_cap_bytes)
            chunks.append(chunk)
        return b"".join(chunks)

    async def _accept(self, response: Response, accept: Accept[T]) -> T:
        try:
            return await accept(response)
        except payload.PayloadError as error:
            sentence = f"status 200, but {error}"
            if not isinstance(error, ANSWERED):
                start = response.body[: 16 * EXCERPT_CHARACTERS]
                excerpt = _excerpt(start, response.content_encoding)
                sentence += f" ({response.content_type}: {excerpt!r})"
            raise AttemptFailed(sentence, HTTPStatus.OK) from error


def place_of(url: URL) -> str:
    """`host:port`, without credentials, for messages."""
    return f"{url.host}:{url.port}"


def printable(text: str) -> str:
    """The first characters of what a server wrote, harmless to a terminal."""
    return escaped(text[:EXCERPT_CHARACTERS])


def _excerpt(start: bytes, content_encoding: str | None) -> str:
    with contextlib.suppress(payload.PayloadError):
        start = bytes(payload.Inflater().inflate(start, content_encoding, 1 << 20))
    return printable(start.decode(errors="replace").strip())


def _failure_of_status(
    url: URL, answer: aiohttp.ClientResponse, start: bytes
) -> OlsRefused | AttemptFailed:
    """What a status other than 200 means; the table "HTTP meaning" of the list of faults."""
    status = answer.status
    if status in range(300, 400) and status != HTTPStatus.NOT_MODIFIED:
        return OlsRefused(_redirect_sentence(url, answer))
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return _failure_of_proxy(url, status)
    excerpt = _excerpt(start, answer.headers.get("Content-Encoding"))
    sentence = f"status {status}" + (f" ({excerpt!r})" if excerpt else "")
    if status == HTTPStatus.NOT_FOUND:
        return NotFound(f"OLS does not hold {url.with_user(None)}: {sentence}.")
    if status in range(400, 500) and status not in (408, 425, 429):
        return OlsRefused(f"OLS refused {url.with_user(None)} with {sentence}.")
    hold_s = None
    if status in (429, 503):
        hold_s = retry_after_s(answer.headers.get("Retry-After"), answer.headers.get("Date"))
    counts = hold_s is None and status != HTTPStatus.TOO_MANY_REQUESTS
    is_overload = status >= HTTPStatus.REQUEST_TIMEOUT
    return AttemptFailed(sentence, status, is_overload, hold_s, counts=counts)


def _failure_of_proxy(url: URL, status: int) -> OlsRefused | AttemptFailed:
    """What a status means that comes from the proxy, and not from OLS."""
    sentence = f"the proxy does not connect to {place_of(url)} (status {status})"
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return AttemptFailed(sentence, status)
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return OlsRefused(f"OLS unreachable: {sentence}; look at user and password in EFO_PROXY.")
    return OlsRefused(f"OLS unreachable: {sentence}; look at EFO_PROXY and EFO_OLS_URL.")


def _redirect_sentence(url: URL, answer: aiohttp.ClientResponse) -> str:
    target = printable(answer.headers.get("Location", "nowhere"))
    sentence = f"OLS at {place_of(url)} redirects to {target!r} (status {answer.status})"
    try:
        led = url.join(URL(target)).with_user(None)
    except ValueError:
        led = url
    if (url.scheme, led.scheme, led.host) == ("http", "https", url.host):
        return f"{sentence}; set EFO_OLS_URL to the https:// address of the service."
    return f"{sentence}, which is not followed; set EFO_OLS_URL to where OLS4 really is."


def _sentence_of(error: Exception, timeout: aiohttp.ClientTimeout) -> str:
    match error:
        case aiohttp.ClientConnectorDNSError():
            return f"cannot resolve the host name {error.host!r}"
        case aiohttp.ClientProxyConnectionError():
            return f"no connection to the proxy {error.host}:{error.port} ({error.strerror})"
        case aiohttp.ConnectionTimeoutError():
            return f"no connection within {timeout.sock_connect:g} s"
        case aiohttp.SocketTimeoutError():
            return f"nothing came for {timeout.sock_read:g} s"
        case TimeoutError():
            return f"the answer was not whole within {timeout.total:g} s"
        case _:
            return printable(f"{type(error).__name__}: {error}")


class Disconnected(aiohttp.ClientConnectionError):
    """The connection broke before an answer came."""


def _session(timeout: aiohttp.ClientTimeout, *, force_close: bool) -> aiohttp.ClientSession:
    trace = aiohttp.TraceConfig()
    trace.on_connection_reuseconn.append(_note_reuse)
    return aiohttp.ClientSession(
        auto_decompress=False,
        middlewares=(_sent_once,),
        trace_configs=[trace],
        # The gate is the limit: waiting for a connection would count as time of a request.
        connector=aiohttp.TCPConnector(limit=0, force_close=force_close),
        timeout=timeout,
        headers=HEADERS,
    )


async def _note_reuse(
    _session: aiohttp.ClientSession, context: Any, _: aiohttp.TraceConnectionReuseconnParams
) -> None:
    context.trace_request_ctx["is_reused"] = True


async def _sent_once(
    request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Keep aiohttp from asking a second time by itself: in an outage that doubles the requests."""
    try:
        return await send(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise Disconnected(f"{type(error).__name__}: {error}") from error
