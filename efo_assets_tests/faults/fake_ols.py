"""An OLS4 that can break anything: raw sockets, so that framing, headers and timing may be wrong.

It serves the record, totals and pages of the generated ontology, or of another. A script looks at
each request (which page, which attempt, which connection) and returns a fault, or None for the
truth. Faults change the reply or the way it is sent; those that tests share are in `broken`.
Nothing is judged here: the log of requests is for tests to read.
"""

import asyncio
import gzip
import ssl
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, urlsplit

import msgspec

from efo_assets.sample.documents import Documents
from efo_assets.sample.ontology import release
from efo_assets.sample.server import KNOWN_PARAMETERS

Json: TypeAlias = dict[str, Any]
Page: TypeAlias = tuple[str, int]
"""List and number of a page."""
GZIP_LEVEL = 1
REQUEST_LIMIT_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it arrived."""

    at_s: float
    """By the monotonic clock."""
    target: str
    headers: dict[str, str]
    connection: int
    attempt: int
    """How often exactly this was asked before, counted from 0."""

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query))

    @property
    def listing(self) -> str:
        """The list of classes that is asked for, or `record` for the ontology document."""
        if not self.path.endswith("/classes"):
            return "record"
        if self.query.get("isObsolete") == "true":
            return "obsolete"
        return "all" if self.query.get("includeObsoleteEntities") == "true" else "current"

    @property
    def is_probe(self) -> bool:
        """Whether this is no page: the record, or a total."""
        return self.listing == "record" or (self.query.get("size"), self.page) == ("1", 0)

    @property
    def page(self) -> int:
        return int(self.query.get("page", 0))

    @property
    def key(self) -> "Page":
        return self.listing, self.page

    @property
    def rows(self) -> range:
        """The rows of the list that are asked for."""
        size = int(self.query.get("size", 20))
        return range(self.page * size, (self.page + 1) * size)


@dataclass(frozen=True)
class Ontology:
    """What is served: the ontology document, and the classes of each list."""

    document: Json
    lists: dict[str, list[Json]]

    def page(self, listing: str, number: int, size: int) -> Json:
        rows = self.lists[listing]
        return {
            "page": number,
            "numElements": len(rows[number * size : (number + 1) * size]),
            "totalPages": -(-len(rows) // size),
            "totalElements": len(rows),
            "elements": rows[number * size : (number + 1) * size],
        }


@lru_cache(maxsize=4)
def generated(classes: int, seed: int, number: int) -> Ontology:
    """One release of the generated ontology."""
    documents = Documents(release(classes, seed, number), "C")
    rows = [documents.v2_class(each) for each in documents.release.classes]
    return Ontology(
        documents.ontology(),
        {
            "all": rows,
            "current": [row for row in rows if not row["isObsolete"]],
            "obsolete": [row for row in rows if row["isObsolete"]],
        },
    )


@dataclass(frozen=True)
class Reply:
    """What is to be sent; `body` stands in for the document where it isn't None."""

    document: Any
    status: int = 200
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "application/json"),)
    body: bytes | None = None
    encoding: str | None = "gzip"
    """`Content-Encoding`; gzip is applied to the document, never to a `body` given as bytes."""
    version: str = "1.1"
    send: "Send | None" = None
    """Sends the reply in place of `whole`."""

    @property
    def plain(self) -> bytes:
        """The document as JSON."""
        return msgspec.json.encode(self.document)

    @property
    def sent_body(self) -> bytes:
        """The body's bytes on the wire."""
        if self.body is not None:
            return self.body
        return gzip.compress(self.plain, GZIP_LEVEL) if self.encoding == "gzip" else self.plain

    def head(self, *framing: tuple[str, str]) -> bytes:
        """Status line and headers, with the framing given or the right length."""
        encoded = (("Content-Encoding", self.encoding),) if self.encoding else ()
        framing = framing or (("Content-Length", str(len(self.sent_body))),)
        lines = [f"HTTP/{self.version} {self.status} Fine"]
        lines += [f"{name}: {value}" for name, value in (*self.headers, *encoded, *framing)]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def with_headers(self, **headers: str) -> "Reply":
        """Add headers; `_` stands for `-`."""
        more = tuple((name.replace("_", "-"), value) for name, value in headers.items())
        return replace(self, headers=(*self.headers, *more))


class Wire:
    """The server's end of one connection, for faults that send in their own way."""

    def __init__(self, writer: asyncio.StreamWriter, ended: asyncio.Event) -> None:
        self.writer = writer
        self._ended = ended

    async def write(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def wait(self, seconds: float) -> None:
        """Let time pass, but not beyond the life of the server."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), seconds)

    @property
    def is_closed(self) -> bool:
        return self.writer.is_closing() or self._ended.is_set()


Send: TypeAlias = Callable[[Wire, Reply], Awaitable[bool]]
"""Sends a reply; says whether the connection may be used again."""
Fault: TypeAlias = Callable[[Reply], Reply]
Script: TypeAlias = Callable[[Asked], Fault | None]


async def whole(wire: Wire, reply: Reply) -> bool:
    """Send the reply as it should be."""
    await wire.write(reply.head() + reply.sent_body)
    return reply.version == "1.1"


@dataclass
class FakeOls:
    """The server; see `fake_ols` for running it."""

    script: Script
    classes: int = 100
    seed: int = 1
    release: int = 1
    """Served to every request, unless `release_of` says otherwise."""
    release_of: Callable[[Asked], int] | None = None
    ontology: Ontology | None = None
    """Served in place of the generated one."""
    refused: set[Page] = field(default_factory=set)
    """Pages that get status 500."""
    tls: ssl.SSLContext | None = None
    host: str = "127.0.0.1"
    port: int = 0
    log: list[Asked] = field(default_factory=list)
    answered: Counter[str] = field(default_factory=Counter)
    """How often each target was answered without a fault."""
    in_flight: int = 0
    max_in_flight: int = 0
    connections: int = 0

    def __post_init__(self) -> None:
        self._attempts: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.host}:{self.port}"

    @property
    def pages(self) -> list[Asked]:
        """The requests that were for pages."""
        return [asked for asked in self.log if not asked.is_probe]

    @property
    def asked(self) -> list[Page]:
        """Pages that were asked for, refused ones too."""
        return [asked.key for asked in self.pages]

    @property
    def pages_answered_twice(self) -> list[str]:
        """Pages that were served well and asked for again all the same."""
        return [
            target
            for target, times in self.answered.items()
            if times > 1 and "/classes?" in target and "page=0&size=1&" not in f"{target}&"
        ]

    def iris(self, number: int = 1) -> set[str]:
        """The IRIs of a release."""
        return {each.iri for each in release(self.classes, self.seed, number).classes}

    async def serve(self, ready: threading.Event, ended: asyncio.Event) -> None:
        """Serve until `ended`."""
        self._ended = ended
        server = await asyncio.start_server(
            self._connected, "127.0.0.1", 0, ssl=self.tls, limit=REQUEST_LIMIT_BYTES
        )
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await ended.wait()
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        number = self.connections
        self.connections += 1
        wire = Wire(writer, self._ended)
        try:
            # A task that ends as cancelled is one that asyncio's streams cannot ask how it ended.
            with suppress(
                ConnectionError, asyncio.IncompleteReadError, ssl.SSLError, asyncio.CancelledError
            ):
                while await self._answered(await reader.readuntil(b"\r\n\r\n"), number, wire):
                    pass
        finally:
            writer.close()
            self._tasks.discard(task)

    async def _answered(self, request: bytes, connection: int, wire: Wire) -> bool:
        asked = self._read(request, connection)
        self.log.append(asked)
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        try:
            reply = await asyncio.to_thread(self._reply, asked)
            goes_on = await (reply.send or whole)(wire, reply)
        finally:
            self.in_flight -= 1
        return goes_on and asked.headers.get("connection") != "close"

    def _read(self, request: bytes, connection: int) -> Asked:
        first, *lines = request.decode("latin-1").rstrip("\r\n").split("\r\n")
        _, target, _ = first.split(" ")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        attempt = self._attempts[target]
        self._attempts[target] += 1
        return Asked(time.monotonic(), target, headers, connection, attempt)

    def _reply(self, asked: Asked) -> Reply:
        reply = self._truth(asked)
        fault = self.script(asked)
        if fault is not None:
            return fault(reply)
        if not asked.is_probe and asked.key in self.refused:
            return replace(reply, status=500)
        self.answered[asked.target] += 1
        return reply

    def _truth(self, asked: Asked) -> Reply:
        number = self.release_of(asked) if self.release_of else self.release
        ontology = self.ontology or generated(self.classes, self.seed, number)
        if asked.listing == "record":
            return Reply(dict(ontology.document))
        if set(asked.query) - KNOWN_PARAMETERS:
            # As OLS did until 2026: what it doesn't know is a filter that nothing passes.
            return Reply({"page": asked.page, "totalElements": 0, "elements": []})
        page = ontology.page(asked.listing, asked.page, len(asked.rows))
        return Reply(msgspec.json.decode(msgspec.json.encode(page)))  # faults may change it


@contextmanager
def fake_ols(script: Script = lambda _: None, **options: Any) -> Iterator[FakeOls]:
    """Serve from a thread of its own as long as the block runs."""
    ols = FakeOls(script, **options)
    loop = asyncio.new_event_loop()
    ready, ended = threading.Event(), asyncio.Event()
    thread = threading.Thread(
        target=loop.run_until_complete, args=(ols.serve(ready, ended),), daemon=True
    )
    thread.start()
    ready.wait()
    try:
        yield ols
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
