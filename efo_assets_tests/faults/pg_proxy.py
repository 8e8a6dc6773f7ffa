"""A proxy before PostgreSQL that breaks the link at a statement of the test's choosing.

It reads the frontend's messages, so that a script can decide at each statement, COMMIT and COPY
included: forward it, cut the link before it or after it has been carried out, vanish without a
FIN, or run something of the test's own first. The server behind it listens on a Unix socket.
"""

import asyncio
import ctypes
import itertools
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum, auto

import pytest

from efo_assets.settings import DatabaseTarget

SSL_REQUEST, GSS_REQUEST, CANCEL_REQUEST = 80877103, 80877104, 80877102
SO_ATTACH_FILTER = 26
_DROP_ALL = struct.pack("HBBI", 0x06, 0, 0, 0)
"""A socket filter of one instruction: let no packet in."""
_HEADER = struct.Struct("!cI")


class Action(Enum):
    """What becomes of a statement."""

    FORWARD = auto()
    CUT_BEFORE = auto()
    """Close both sides; the server never sees it."""
    CUT_AFTER = auto()
    """Close both sides once the server has answered; the client never sees the answer."""
    VANISH_BEFORE = auto()
    """Acknowledge no packet of the client's any more; the server never sees it, and stays."""
    VANISH_AFTER = auto()
    """As above, once the server has answered."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement on its way to the server."""

    number: int
    """From 1, over all links, since the script was set."""
    sql: str
    backend_pid: int
    """PostgreSQL's process at the other end."""


Script = Callable[[Statement], Action]


def forward(statement: Statement) -> Action:
    """Let everything pass."""
    del statement
    return Action.FORWARD


def vanish(end: socket.socket) -> None:
    """Make this end of a TCP link deaf: no packet is let in, acknowledged or answered."""
    program = ctypes.create_string_buffer(_DROP_ALL)
    end.setsockopt(
        socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HL", 1, ctypes.addressof(program))
    )


def need_vanishing() -> None:
    """Skip the test where this account may not make a link deaf."""
    with socket.socket() as end:
        try:
            vanish(end)
        except PermissionError as error:
            pytest.skip(f"making a link deaf takes root here: {error}")


class _Cut(Exception):
    """The script wants this link to end."""


@dataclass(slots=True)
class _Link:
    client: tuple[asyncio.StreamReader, asyncio.StreamWriter]
    server: tuple[asyncio.StreamReader, asyncio.StreamWriter]
    backend_pid: int = 0
    is_mute: bool = False
    """Whether answers are held back."""
    answered: asyncio.Event = field(default_factory=asyncio.Event)


class PgProxy:
    """The proxy; made by `running_proxy`."""

    def __init__(self, socket_path: str, certificate: ssl.SSLContext | None) -> None:
        self._socket_path = socket_path
        self._certificate = certificate
        self._script: Script = forward
        self._numbers = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()
        self.refusals = 0
        """Links that are still to be closed at once, as a server out of reach would."""
        self.refusal = b""
        """What such a link is answered before; see `error_response`."""
        self.translates = False
        """Whether errors of the server come in another language."""
        self.failures: list[Exception] = []
        """What scripts raised; the test fails with it in the end."""
        self.port = 0
        self.links = 0

    def follow(self, script: Script) -> None:
        """Ask `script` at each statement from now on; it runs in a thread of its own."""
        self._numbers = itertools.count(1)
        self._script = script

    async def serve(self, ready: "asyncio.Future[None]", ended: asyncio.Event) -> None:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        ready.set_result(None)
        async with server:
            await ended.wait()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.links += 1
        try:
            if self.refusals > 0:
                self.refusals -= 1
                if self.refusal:
                    await self._startup(reader, writer)
                    writer.write(self.refusal)
                    await writer.drain()
                    writer.close()
                    await writer.wait_closed()
            else:
                await self._relay(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError, _Cut):
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await self._startup(reader, writer)
        server = await self._reached()
        link = _Link((reader, writer), server)
        server[1].write(first)
        both = [
            asyncio.ensure_future(each) for each in (self._to_server(link), self._to_client(link))
        ]
        try:
            done, _ = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                each.result()
        finally:
            for each in both:
                each.cancel()
            await asyncio.gather(*both, return_exceptions=True)
            server[1].transport.abort()

    async def _reached(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to the server; one that comes when it is no longer wanted is closed."""
        reaching = asyncio.ensure_future(asyncio.open_unix_connection(self._socket_path))
        try:
            return await asyncio.shield(reaching)
        except asyncio.CancelledError:
            _, writer = await reaching
            writer.transport.abort()
            raise

    async def _startup(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        """The start-up packet, after what encryption the client wished for."""
        while True:
            head = await reader.readexactly(8)
            length, code = struct.unpack("!II", head)
            if code == SSL_REQUEST and self._certificate is not None:
                writer.write(b"S")
                await writer.drain()
                await writer.start_tls(self._certificate)
            elif code in (SSL_REQUEST, GSS_REQUEST):
                writer.write(b"N")
            else:
                return head + await reader.readexactly(length - 8)

    async def _to_server(self, link: _Link) -> None:
        reader, (_, writer) = link.client[0], link.server
        while True:
            kind, length = _HEADER.unpack(await reader.readexactly(5))
            payload = await reader.readexactly(length - 4)
            sql = _sql(kind, payload)
            action = await self._decide(link, sql) if sql is not None else Action.FORWARD
            await self._before(link, action)
            link.answered.clear()
            writer.write(_HEADER.pack(kind, length) + payload)
            if kind == b"P" and action is not Action.FORWARD:
                # The rest of the extended protocol's statement, up to Sync.
                while kind != b"S":
                    kind, length = _HEADER.unpack(await reader.readexactly(5))
                    payload = await reader.readexactly(length - 4)
                    writer.write(_HEADER.pack(kind, length) + payload)
            await writer.drain()
            if action in (Action.CUT_AFTER, Action.VANISH_AFTER):
                await link.answered.wait()
                await self._end(link, vanishes=action is Action.VANISH_AFTER)

    async def _decide(self, link: _Link, sql: str) -> Action:
        statement = Statement(next(self._numbers), sql, link.backend_pid)
        try:
            action = await asyncio.get_running_loop().run_in_executor(None, self._script, statement)
        except Exception as error:
            self.failures.append(error)
            raise _Cut from error
        link.is_mute = action in (Action.CUT_AFTER, Action.VANISH_AFTER)
        return action

    async def _before(self, link: _Link, action: Action) -> None:
        if action in (Action.CUT_BEFORE, Action.VANISH_BEFORE):
            await self._end(link, vanishes=action is Action.VANISH_BEFORE)

    @staticmethod
    async def _end(link: _Link, *, vanishes: bool) -> None:
        if not vanishes:
            raise _Cut
        vanish(link.client[1].get_extra_info("socket"))
        await asyncio.Event().wait()

    async def _to_client(self, link: _Link) -> None:
        (reader, _), writer = link.server, link.client[1]
        while True:
            kind, length = _HEADER.unpack(await reader.readexactly(5))
            payload = await reader.readexactly(length - 4)
            if kind == b"K":
                link.backend_pid = struct.unpack("!I", payload[:4])[0]
            if kind == b"E" and self.translates:
                payload = _translated(payload)
                length = len(payload) + 4
            if kind == b"Z":
                link.answered.set()
            if not link.is_mute:
                writer.write(_HEADER.pack(kind, length) + payload)
                await writer.drain()


def error_response(code: str, text: str) -> bytes:
    """PostgreSQL's message ErrorResponse, as a server that speaks German sends it."""
    fields = {b"S": "FATAL", b"V": "FATAL", b"C": code, b"M": text, b"R": "routine"}
    payload = b"".join(name + value.encode() + b"\0" for name, value in fields.items()) + b"\0"
    return _HEADER.pack(b"E", len(payload) + 4) + payload


def _translated(payload: bytes) -> bytes:
    """An ErrorResponse whose severity and text are words that no program knows."""
    words = {b"S": "致命的", b"M": "接続できません"}
    fields = [
        field[:1] + words[field[:1]].encode() if field[:1] in words else field
        for field in payload.split(b"\0")
    ]
    return b"\0".join(fields)


def _sql(kind: bytes, payload: bytes) -> str | None:
    """The statement of a Query or Parse message."""
    if kind == b"Q":
        return payload[:-1].decode()
    if kind == b"P":
        return payload.split(b"\0")[1].decode()
    return None


@contextmanager
def running_proxy(
    target: DatabaseTarget, certificate: ssl.SSLContext | None = None
) -> Iterator[tuple[PgProxy, DatabaseTarget]]:
    """A proxy before `target` (over its Unix socket), and the target that leads through it."""
    given = target.parameters
    proxy = PgProxy(f"{given['host']}/.s.PGSQL.{given.get('port', '5432')}", certificate)
    started = threading.Event()
    stop: list[Callable[[], object]] = []

    async def main() -> None:
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        ready = loop.create_future()
        serving = asyncio.ensure_future(proxy.serve(ready, ended))
        await ready
        stop.append(lambda: loop.call_soon_threadsafe(ended.set))
        started.set()
        await serving

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    started.wait()
    try:
        yield (
            proxy,
            DatabaseTarget({**given, "host": "127.0.0.1", "port": str(proxy.port)}),
        )
    finally:
        stop[0]()
        thread.join()
    if proxy.failures:
        raise proxy.failures[0]
