"""One request to OLS, tried until its answer is acceptable, or until it is clear that it won't be.

Retries go round the whole of it: request, body, inflate, and whatever `accept` checks, because
aiohttp takes a body that was cut for a success in four cases. What is asked, and what is done
with the answer, lives in `client` and `download`.
"""

import asyncio
import contextlib
import random
import socket
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import aiohttp
from yarl import URL

from efo_assets.errors import OlsRefused, OlsUnreachable
from efo_assets.ols.pace import Gate, Outage, Pause, backoff_s, probe_pause_s, retry_after_s
from efo_assets.ols.payload import (
    Body,
    BodyTooLarge,
    Inflater,
    NotText,
    PayloadError,
    inflate,
    is_gzip,
)
from efo_assets.privacy.logs import logger
from efo_assets.privacy.printable import escaped

log = logger(__name__)

EXCERPT_CHARACTERS = 200
MAX_ATTEMPTS_OF_NO_USE = 2
"""Where the same answer is to be expected when asked again."""
DECODING_THREADS = 2

T = TypeVar("T")


class NotFound(OlsRefused):
    """404: what that means depends on what was asked for."""


class GaveUp(Exception):
    """An answer that never became acceptable while OLS went on answering others."""

    def __init__(self, setback: "Setback") -> None:
        super().__init__(str(setback))
        self.setback = setback


class Setback(Exception):
    """One attempt that failed, and may be repeated."""

    overloaded = False
    """The server has too much to do: ask it less."""
    counts = True
    """Against the attempts of this request."""
    was_idle = False
    """The connection may have been closed while nobody used it: that is no failure."""
    hold_s: float | None = None
    """Nobody may ask for so long."""
    max_attempts: int | None = None
    """Where repeating as often as usual would be of no use."""
    cause: Exception | None = None
    status: int | None = None
    excerpt = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back with status 200, as received."""

    body: bytes
    content_encoding: str | None
    content_type: str
    status: int
    latency_s: float
    headers: Mapping[str, str]

    @property
    def encoding(self) -> str:
        """How the body is stored."""
        return "gzip" if is_gzip(self.content_encoding) else "identity"


@dataclass(slots=True)
class Tally:
    """What the requests so far cost."""

    requests: int = 0
    retries: int = 0
    bytes_received: int = 0
    latencies_s: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may cost."""

    connect_timeout_s: float
    sock_read_timeout_s: float
    total_timeout_s: float
    body_cap_bytes: int
    attempts: int


class Sessions(NamedTuple):
    """Connections that are used again, and connections of one request each."""

    pooled: aiohttp.ClientSession
    alone: aiohttp.ClientSession


class Exchange:
    """Sends the requests of one client: through one gate, with one count of failures."""

    def __init__(
        self,
        sessions: "Sessions",
        gate: Gate,
        limits: Limits,
        pause: Pause,
        rng: random.Random,
    ) -> None:
        self.gate = gate
        self.limits = limits
        self.tally = Tally()
        self._sessions = sessions
        self._pause = pause
        self._rng = rng
        self._outage = Outage()
        self._threads = ThreadPoolExecutor(DECODING_THREADS, "efo-decode")
        self._of_thread = threading.local()

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def get(
        self,
        url: URL,
        accept: Callable[[Answer, Body], T],
        attempts: int | None = None,
        *,
        alone: bool = False,
    ) -> T:
        """GET `url` until `accept(answer, inflated body)`, run in a thread, raises no PayloadError.

        The inflated body is there only while `accept` runs. With `attempts` given, an outage is
        not waited for; `alone` gives each request a connection of its own.

        Raises:
            OlsRefused: an answer that asking again would not change.
            OlsUnreachable: nothing at all succeeds any more.
            GaveUp: this one never became acceptable.
        """
        failed = tried = 0
        is_probe = alone
        while True:
            try:
                session = self._sessions.alone if alone else self._sessions.pooled
                return await self._attempt(url, accept, session, is_probe=is_probe)
            except Setback as setback:
                log.info("%s: %s", url.with_user(None), setback)
                tried += 1
                failed += setback.counts and not setback.was_idle
                alone = alone or setback.was_idle
                self._check_hope(url, setback, failed, attempts)
                await self._wait(setback, tried)
            self.tally.retries += 1

    async def _attempt(
        self,
        url: URL,
        accept: Callable[[Answer, Body], T],
        session: aiohttp.ClientSession,
        *,
        is_probe: bool,
    ) -> T:
        async with self.gate.slot() as halvings:
            try:
                if self._outage.is_total:
                    raise OlsUnreachable(f"OLS at {place_of(url)} answers nothing but failures.")
                answer = await self._send(url, session)
            except Setback as setback:
                self._failed(setback, halvings)
                raise
        try:
            value = await self._take(answer, accept)
        except Setback as setback:
            self._failed(setback, halvings)
            raise
        if is_probe:
            self._outage.answered()
        else:
            self._outage.succeeded()
        self.gate.succeeded()
        self.tally.latencies_s.append(answer.latency_s)
        return value

    def _failed(self, setback: Setback, halvings: int) -> None:
        if isinstance(setback.cause, PageNotAsAsked):
            return  # a sound answer: the plan is wrong, and OLS is well
        self._outage.failed()
        if self._outage.is_suspected:
            self.gate.narrow()
        elif setback.overloaded:
            self.gate.overloaded(halvings)

    def _check_hope(self, url: URL, setback: Setback, failed: int, attempts: int | None) -> None:
        """Go on asking in an outage, until it is total; otherwise to the end of the attempts."""
        outage = self._outage
        if outage.is_total:
            raise OlsUnreachable(
                f"OLS unreachable at {place_of(url)}: {outage.failures_in_a_row} requests in a row "
                f"failed, the last with: {setback}."
            ) from setback
        usual = attempts or self.limits.attempts
        if failed < min(usual, setback.max_attempts or usual):
            return
        if not outage.ever_succeeded and setback.status is None and setback.cause:
            raise OlsUnreachable(
                f"OLS unreachable at {place_of(url)}: {setback} ({failed} attempts)."
            ) from setback
        is_patient = attempts is None and not setback.max_attempts
        if not (is_patient and outage.is_suspected and outage.ever_succeeded):
            raise GaveUp(setback)

    async def _wait(self, setback: Setback, tried: int) -> None:
        if setback.hold_s is not None:
            await self.gate.hold(setback.hold_s)
        elif self._outage.is_suspected:
            await self.gate.hold(probe_pause_s(self._outage.failures_in_a_row, self._rng))
        else:
            await self._pause(backoff_s(tried, self._rng))

    async def _send(self, url: URL, session: aiohttp.ClientSession) -> Answer:
        self.tally.requests += 1
        started_s = time.monotonic()
        used = Connection()
        try:
            async with session.get(url, allow_redirects=False, trace_request_ctx=used) as response:
                _check_status(url, response, await self._excerpt_if_not_ok(response))
                body = await self._read(response)
        except aiohttp.ClientConnectorCertificateError as error:
            raise OlsRefused(
                f"The TLS certificate of {place_of(url)} is not accepted: "
                f"{printable(str(error.certificate_error))}. Nothing was asked; mend the "
                "certificate, or set EFO_OLS_URL to the right host."
            ) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            setback = _setback_of(url, error, self.limits)
            setback.was_idle = used.was_idle and isinstance(error, Disconnected)
            raise setback from error
        encodings = response.headers.getall("Content-Encoding", [])
        return Answer(
            body=body,
            content_encoding=", ".join(encodings) or None,
            content_type=response.headers.get("Content-Type", "no content type"),
            status=response.status,
            latency_s=time.monotonic() - started_s,
            headers=response.headers,
        )

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        chunks: list[bytes] = []
        room_bytes = self.limits.body_cap_bytes
        async for chunk in response.content.iter_any():
            self.tally.bytes_received += len(chunk)
            room_bytes -= len(chunk)
            if room_bytes < 0:
                raise BodyTooLarge(self.limits.body_cap_bytes)
            chunks.append(chunk)
        return b"".join(chunks)

    async def _excerpt_if_not_ok(self, response: aiohttp.ClientResponse) -> str:
        if response.status == 200:  # noqa: PLR2004
            return ""
        start = await response.content.read(16 * EXCERPT_CHARACTERS)
        encodings = response.headers.get("Content-Encoding")
        return _excerpt(start, encodings)

    async def _take(self, answer: Answer, accept: Callable[[Answer, Body], T]) -> T:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._threads, self._inflate_and, accept, answer)
        except PayloadError as error:
            raise _setback_of_payload(answer, error) from error

    def _inflate_and(self, accept: Callable[[Answer, Body], T], answer: Answer) -> T:
        if not hasattr(self._of_thread, "inflater"):
            self._of_thread.inflater = Inflater()
        inflater: Inflater = self._of_thread.inflater
        cap_bytes = self.limits.body_cap_bytes
        return accept(answer, inflater.inflate(answer.body, answer.content_encoding, cap_bytes))


def place_of(url: URL) -> str:
    """`host:port`, without credentials, for messages."""
    return f"{url.host}:{url.port}"


def printable(text: str) -> str:
    """Give the first characters of what a server wrote, harmless to a terminal."""
    return escaped(text[:EXCERPT_CHARACTERS])


def _excerpt(start: bytes, content_encoding: str | None) -> str:
    with contextlib.suppress(PayloadError):
        start = inflate(start, content_encoding, 1 << 20)
    return printable(start.decode(errors="replace").strip())


def _check_status(url: URL, response: aiohttp.ClientResponse, excerpt: str) -> None:
    """Let 200 pass; tell what must not be asked again from what may.

    The outcome of each status is the table "HTTP meaning" of the project's list of faults.
    """
    status = response.status
    if status == 200:  # noqa: PLR2004
        return
    if 300 <= status < 400 and status != 304:  # noqa: PLR2004
        raise OlsRefused(_redirect_sentence(url, response))
    sentence = f"status {status}" + (f" ({excerpt!r})" if excerpt else "")
    if status == 404:  # noqa: PLR2004
        raise NotFound(f"OLS does not hold {url.with_user(None)}: {sentence}.")
    if 400 <= status < 500 and status not in (408, 425, 429):  # noqa: PLR2004
        raise OlsRefused(f"OLS refused {url.with_user(None)} with {sentence}.")
    raise _setback_of_status(response, sentence, excerpt)


def _setback_of_status(response: aiohttp.ClientResponse, sentence: str, excerpt: str) -> Setback:
    setback = Setback(sentence)
    setback.status, setback.excerpt = response.status, excerpt
    setback.overloaded = response.status >= 408  # noqa: PLR2004
    if response.status in (429, 503):
        setback.hold_s = retry_after_s(
            response.headers.get("Retry-After"), response.headers.get("Date")
        )
        setback.counts = setback.hold_s is None and response.status != 429  # noqa: PLR2004
    return setback


def _redirect_sentence(url: URL, response: aiohttp.ClientResponse) -> str:
    target = printable(response.headers.get("Location", "nowhere"))
    sentence = f"OLS at {place_of(url)} redirects to {target!r} (status {response.status})"
    try:
        led = url.join(URL(target)).with_user(None)
    except ValueError:
        led = url
    if (url.scheme, led.scheme, led.host) == ("http", "https", url.host):
        return f"{sentence}; set EFO_OLS_URL to the https:// address of the service."
    return f"{sentence}, which is not followed; set EFO_OLS_URL to where OLS4 really is."


def _setback_of(url: URL, error: Exception, limits: Limits) -> Setback:
    setback = Setback(_sentence_of(url, error, limits))
    setback.cause = error
    setback.overloaded = isinstance(error, TimeoutError)
    if isinstance(error, BodyTooLarge):
        setback.max_attempts = MAX_ATTEMPTS_OF_NO_USE
    if isinstance(error, aiohttp.ClientConnectorDNSError) and _is_permanent(error.os_error):
        raise OlsUnreachable(f"OLS unreachable: {setback}; look at EFO_OLS_URL.") from error
    return setback


def _is_permanent(error: OSError) -> bool:
    """The name service answered that there is no such name; other failures may pass."""
    return isinstance(error, socket.gaierror) and error.errno == socket.EAI_NONAME


def _sentence_of(url: URL, error: Exception, limits: Limits) -> str:
    match error:
        case aiohttp.ClientConnectorDNSError():
            return f"cannot resolve the host name {url.host!r}"
        case aiohttp.ConnectionTimeoutError():
            return f"no connection within {limits.connect_timeout_s:g} s"
        case aiohttp.SocketTimeoutError():
            return f"nothing came for {limits.sock_read_timeout_s:g} s"
        case TimeoutError():
            return f"the answer was not whole within {limits.total_timeout_s:g} s"
        case _:
            return printable(f"{type(error).__name__}: {error}")


def _setback_of_payload(answer: Answer, error: PayloadError) -> Setback:
    excerpt = _excerpt(answer.body[: 16 * EXCERPT_CHARACTERS], answer.content_encoding)
    shown = "" if isinstance(error, PageNotAsAsked) else f" ({answer.content_type}: {excerpt!r})"
    setback = Setback(f"status {answer.status}, but {error}{shown}")
    setback.cause, setback.status, setback.excerpt = error, answer.status, excerpt
    if isinstance(error, BodyTooLarge | NotText | PageNotAsAsked):
        setback.max_attempts = MAX_ATTEMPTS_OF_NO_USE
    return setback


class Disconnected(aiohttp.ClientConnectionError):
    """The connection broke before an answer came."""


@dataclass(slots=True)
class Connection:
    """What is known of the connection that one request went over."""

    was_idle: bool = False
    """It served another request before."""


def connection_trace() -> aiohttp.TraceConfig:
    """Tell each request's `Connection`, its trace context, of what aiohttp does."""
    trace = aiohttp.TraceConfig()
    trace.on_connection_reuseconn.append(_reused)
    return trace


async def _reused(
    _session: aiohttp.ClientSession, context: Any, _: aiohttp.TraceConnectionReuseconnParams
) -> None:
    context.trace_request_ctx.was_idle = True


async def asked_once(
    request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Keep aiohttp from asking a second time by itself: in an outage that doubles the requests."""
    try:
        return await send(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise Disconnected(f"{type(error).__name__}: {error}") from error


class PageNotAsAsked(PayloadError):
    """JSON of the right shape with other contents than asked; likely the same when asked again."""
