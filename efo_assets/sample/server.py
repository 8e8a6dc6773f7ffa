"""The sample OLS server: today's behaviour, the two generations before it as switches.

Serves the generated ontology under one of its identities, a catalogue of others and recordings
under their own ids, as slowly as the real one if it is to (a latency and a time per row). Counters
and a log of requests tell what clients did, over all ontologies.
"""

import asyncio
import gzip
import os
import tempfile
import threading
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from multiprocessing import get_context
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias
from urllib.parse import unquote

import aiohttp
import msgspec
from aiohttp import web

from efo_assets.errors import EfoError
from efo_assets.sample.catalogue import Member, by_id
from efo_assets.sample.documents import Documents, Generation, ontology_document
from efo_assets.sample.ontology import (
    IDENTITIES,
    GeneratedClass,
    GeneratedRelease,
    Identity,
    release,
)
from efo_assets.sample.recorded import Recordings
from efo_assets.sample.shapes import ShapeName, shaped_release

Intercept: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse | None]]
Json: TypeAlias = dict[str, Any]
_PageKey: TypeAlias = tuple[str, int, int, int]
"""List, number of the page, its size, and the most rows of it that are served."""

MOST_ROWS = 1000
DEFAULT_ROWS = {"v1": 1000, "v2": 20}
GZIP_LEVEL = 4
WARM_PAGE_SIZE = 500
KNOWN_PARAMETERS = {"page", "size", "isObsolete", "includeObsoleteEntities", "lang"}
KEPT_MEMBERS = 32
"""Of a catalogue, which may be asked for at once."""


@dataclass
class State:
    """What can be switched while the server runs."""

    release: int = 1
    releases: dict[str, int] = field(default_factory=dict)
    """Of an ontology by its id, where it is another."""
    hidden: list[str] = field(default_factory=list)
    """Ids of ontologies that have vanished for now: OLS doesn't list them, nor know them."""
    generation: Generation = "C"
    all_labelled: bool = False
    """Whether classes without a label get their short form for one."""
    cap: int = MOST_ROWS
    gzip: bool = True
    base_latency_ms: float = 0.0
    row_latency_ms: float = 0.0


class Asked(NamedTuple):
    """One request, for the log."""

    path: str
    query: dict[str, str]


class _Bodies:
    """Compressed pages, in a file that has no name: those of millions of classes are gigabytes."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  # open as long as this is
        weakref.finalize(self, self._file.close)
        self._places: dict[_PageKey, tuple[int, int]] = {}
        self._end = 0

    def get(self, key: _PageKey) -> bytes | None:
        """A page that is kept."""
        place = self._places.get(key)
        return os.pread(self._file.fileno(), *place) if place else None

    def keep(self, key: _PageKey, body: bytes) -> None:
        """Write a page behind all others."""
        os.pwrite(self._file.fileno(), body, self._end)
        self._places[key] = len(body), self._end
        self._end += len(body)


@dataclass
class _Ontology:
    """One ontology as one generation answers."""

    lists: dict[str, Any]
    documents: Any
    """`Documents` of a generated ontology; None of a recorded one, which is served as it is."""
    bodies: _Bodies = field(default_factory=_Bodies)
    member: Member | None = None
    """What it is of the catalogue."""

    def page(self, name: str, number: int, size: int, most: int) -> bytes:
        """At most `most` rows of a page of a list."""
        return _pretty(_page(self.lists[name], number, size, most, self._render))

    def _render(self, row: Any) -> Json:
        document: Json = self.documents.v2_class(row) if self.documents else row
        if self.member is None:
            return document
        return self.member.spoilt_class(document, self.lists["all"][-1].iri)


class Sample:
    """The server's state and handlers; `serving` and `running_sample` run it."""

    def __init__(
        self,
        *,
        classes: int = 200,
        seed: int = 1,
        ontology: str = "efo",
        shape: ShapeName | Literal["efo"] = "efo",
        catalogue: Sequence[Member] = (),
        recorded: Path | None = None,
        intercept: Intercept | None = None,
        **state: Any,
    ) -> None:
        self.classes = classes
        self.seed = seed
        self.identity = IDENTITIES[ontology]
        self.shape = shape
        self.catalogue = by_id(catalogue)
        self.state = State(**state)
        self.intercept = intercept
        self.requests: list[Asked] = []
        self.in_flight = 0
        self.max_in_flight = 0
        self.bytes_sent = 0
        self.url = ""
        self._recordings = Recordings(recorded) if recorded else None

    def publish(self, number: int) -> None:
        """Serve another release from now on."""
        self.state.release = number

    def reset(self) -> None:
        """Count anew."""
        self.requests.clear()
        self.max_in_flight = self.in_flight
        self.bytes_sent = 0

    def application(self) -> web.Application:
        """The routes, below `/` and below `/ols4`."""
        application = web.Application(middlewares=[self._counted])
        router = application.router
        for base in ("", "/ols4"):
            router.add_get(f"{base}/api/v2/health", self._health)
            router.add_get(f"{base}/api/v2/ontologies", self._v2_ontologies)
            router.add_get(f"{base}/api/v2/ontologies/{{id}}", self._v2_ontology)
            router.add_get(f"{base}/api/v2/ontologies/{{id}}/classes", self._v2_classes)
            router.add_get(f"{base}/api/ontologies/{{id}}/terms", self._v1_terms)
            router.add_get(f"{base}/api/ontologies/{{id}}/terms/{{iri}}/parents", self._v1_parents)
        router.add_get("/_sample/requests", self._get_requests)
        router.add_delete("/_sample/requests", self._delete_requests)
        router.add_put("/_sample/state", self._put_state)
        return application

    def warm(self, releases: int) -> None:
        """Render every page of the first so many releases in advance, on all cores."""
        global _warming  # noqa: PLW0603  # inherited by forked workers, never pickled
        for number in range(1, releases + 1):
            ontology = _warming = self._generated(number)
            keys = [
                (name, page, WARM_PAGE_SIZE, WARM_PAGE_SIZE)
                for name in ("current", "obsolete")
                for page in range(-(-len(ontology.lists[name]) // WARM_PAGE_SIZE))
            ]
            with ProcessPoolExecutor(mp_context=get_context("fork")) as pool:
                for key, body in zip(keys, pool.map(_warm_page, keys), strict=True):
                    ontology.bodies.keep(key, body)

    @web.middleware
    async def _counted(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if request.path.startswith("/_sample"):
            return await handler(request)
        self.requests.append(Asked(request.path, dict(request.query)))
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        member = self.catalogue.get(request.match_info.get("id", ""))
        try:
            if member is not None and member.trouble == "errors":
                return web.json_response({"status": 500, "message": "Broken pipe"}, status=500)
            answer = await self.intercept(request) if self.intercept else None
            return answer if answer is not None else await handler(request)
        finally:
            self.in_flight -= 1

    async def _health(self, _: web.Request) -> web.StreamResponse:
        return web.Response(text="OK")

    async def _v2_ontologies(self, request: web.Request) -> web.StreamResponse:
        page, size, rows = self._paging(request, "v2")
        await self._take_time(0)
        return self._answer(request, _page(self._listed(), page, size, rows, self._document))

    async def _v2_ontology(self, request: web.Request) -> web.StreamResponse:
        ontology = request.match_info["id"]
        await self._take_time(0)
        if ontology in self._listed():
            return self._answer(request, self._document(ontology))
        status, message = 500, "Expected at least 1 result for solr getFirst"
        if self.state.generation == "C":
            status, message = 404, "The requested resource was not found."
        return web.json_response({"status": status, "message": message}, status=status)

    async def _v2_classes(self, request: web.Request) -> web.StreamResponse:
        ontology = self._ontology(request.match_info["id"])
        page, size, rows = self._paging(request, "v2")
        unknown = set(request.query) - KNOWN_PARAMETERS and self.state.generation != "C"
        if ontology is None or unknown:
            counts = {"page": page, "numElements": 0, "totalPages": 0, "totalElements": 0}
            return self._answer(request, {**counts, "elements": []})
        name = "all" if request.query.get("includeObsoleteEntities") == "true" else "current"
        if request.query.get("isObsolete") == "true":
            name = "obsolete"
        await self._take_time(min(rows, max(0, len(ontology.lists[name]) - page * size)))
        key = (name, page, size, rows)
        body = ontology.bodies.get(key)
        if body is None:
            body = gzip.compress(await asyncio.to_thread(ontology.page, *key), GZIP_LEVEL)
            ontology.bodies.keep(key, body)
        return self._answer(request, body)

    async def _v1_terms(self, request: web.Request) -> web.StreamResponse:
        page, size, rows = self._paging(request, "v1")
        classes = self._generated(self.state.release).documents.release.classes
        terms = classes[page * size : page * size + rows]
        await self._take_time(len(terms))
        counts = {
            "size": size,
            "totalElements": len(classes),
            "totalPages": -(-len(classes) // size),
        }
        links = {"self": {"href": str(request.url)}}
        body: Json = {"_links": links, "page": {**counts, "number": page}}
        return self._answer(request, body | self._embedded(terms))

    async def _v1_parents(self, request: web.Request) -> web.StreamResponse:
        documents = self._generated(self.state.release).documents
        await self._take_time(1)
        try:
            parents = documents.v1_parents(unquote(request.match_info["iri"]))
        except KeyError:
            return web.Response(status=404)
        body: Json = {"page": {"size": 20, "totalElements": len(parents), "number": 0}}
        return self._answer(request, body | self._embedded(parents))

    def _embedded(self, terms: Sequence[GeneratedClass]) -> Json:
        """The terms of a HAL page; an empty page has no such key."""
        documents = self._generated(self.state.release).documents
        embedded = {"terms": [documents.v1_term(each, self.url) for each in terms]}
        return {"_embedded": embedded} if terms else {}

    async def _get_requests(self, _: web.Request) -> web.StreamResponse:
        counts = {"total": len(self.requests), "max_in_flight": self.max_in_flight}
        return web.json_response({**counts, "bytes": self.bytes_sent})

    async def _delete_requests(self, _: web.Request) -> web.StreamResponse:
        self.reset()
        return web.Response(status=204)

    async def _put_state(self, request: web.Request) -> web.StreamResponse:
        changes = await request.json()
        state = vars(self.state)
        # One ontology's release is no reason to forget those of others.
        if releases := changes.get("releases"):
            changes["releases"] = self.state.releases | releases
        if unknown := changes.keys() - state.keys():
            return web.Response(status=400, text=f"unknown: {', '.join(sorted(unknown))}")
        state.update(changes)
        return web.json_response(state)

    def _paging(self, request: web.Request, api: str) -> tuple[int, int, int]:
        """Page number, page size that offsets are counted with, and rows served at most.

        Generation A counts pages for the size asked and never serves rows beyond the cap.
        """
        page, asked = (
            int(text) if (text := request.query.get(name, "")).isdecimal() else 0
            for name in ("page", "size")
        )
        size = asked or DEFAULT_ROWS[api]
        rows = min(size, self.state.cap)
        return page, size if self.state.generation == "A" else rows, rows

    async def _take_time(self, rows: int) -> None:
        seconds = (self.state.base_latency_ms + self.state.row_latency_ms * rows) / 1000
        if seconds:
            await asyncio.sleep(seconds)

    def _answer(self, request: web.Request, body: Json | bytes) -> web.StreamResponse:
        """Answer with a document, or with a page that is compressed already."""
        answer = body if isinstance(body, bytes) else gzip.compress(_pretty(body), GZIP_LEVEL)
        headers = {"Content-Type": "application/json"}
        if self.state.gzip and "gzip" in request.headers.get("Accept-Encoding", ""):
            headers["Content-Encoding"] = "gzip"
        else:
            answer = gzip.decompress(answer)
        self.bytes_sent += len(answer)
        return web.Response(body=answer, headers=headers)

    def _listed(self) -> list[str]:
        """The ids of all ontologies that are served now, in OLS's order."""
        recorded = self._recordings.ontologies if self._recordings else {}
        served = {self.identity.ontology, *self.catalogue, *recorded}
        return sorted(served - {*self.state.hidden})

    def _document(self, ontology: str) -> Json:
        """The document of an ontology that is served; none of its classes is made for it."""
        number = self._release_of(ontology)
        if ontology == self.identity.ontology:
            return ontology_document(GeneratedRelease(number, (), {}, self.identity), self.classes)
        if member := self.catalogue.get(ontology):
            made = GeneratedRelease(number, (), {}, member.identity)
            return member.spoilt_document(ontology_document(made, member.classes))
        assert self._recordings is not None  # noqa: S101  # it is served, and neither of the others
        return self._recordings.document(ontology)

    def _release_of(self, ontology: str) -> int:
        return self.state.releases.get(ontology, self.state.release)

    def _ontology(self, ontology: str) -> _Ontology | None:
        if ontology not in self._listed():
            return None
        if ontology == self.identity.ontology:
            return self._generated(self._release_of(ontology))
        if member := self.catalogue.get(ontology):
            number = self._release_of(ontology)
            return _of_catalogue(member, number, generation=self.state.generation)
        assert self._recordings is not None  # noqa: S101  # it is served, and neither of the others
        return _recorded(self._recordings, ontology)

    def _generated(self, number: int) -> _Ontology:
        state = self.state
        return _generated(
            self.classes,
            self.seed,
            number,
            self.identity,
            shape=self.shape,
            generation=state.generation,
            all_labelled=state.all_labelled,
        )


@lru_cache(maxsize=4)
def _generated(
    classes: int,
    seed: int,
    number: int,
    identity: Identity,
    *,
    shape: ShapeName | Literal["efo"],
    generation: Generation,
    all_labelled: bool,
) -> _Ontology:
    if shape == "efo":
        made = release(classes, seed, number, identity)
    else:
        made = shaped_release(shape, classes, number, identity)
    documents = Documents(made, generation, all_labelled=all_labelled)
    return _Ontology(_lists_of(made, shape), documents)


@lru_cache(maxsize=KEPT_MEMBERS)
def _of_catalogue(member: Member, number: int, *, generation: Generation) -> _Ontology:
    made = member.release(number)
    lists = _lists_of(made, member.shape)
    if member.trouble == "empty":
        lists = _lists((), attrgetter("is_obsolete"))
    return _Ontology(lists, Documents(made, generation), member=member)


@lru_cache(maxsize=4)
def _recorded(recordings: Recordings, ontology: str) -> _Ontology:
    return _Ontology(_lists(recordings.classes(ontology), itemgetter("isObsolete")), None)


def _lists_of(made: GeneratedRelease, shape: ShapeName | Literal["efo"]) -> dict[str, Any]:
    """Classes in memory, or such as are made whenever they are asked for; those aren't obsolete."""
    if shape == "efo":
        return _lists(made.classes, attrgetter("is_obsolete"))
    return {"all": made.classes, "current": made.classes, "obsolete": []}


def _page(
    listed: Sequence[Any], number: int, size: int, most: int, render: Callable[[Any], Json]
) -> Json:
    """At most `most` elements of a page of a list."""
    elements = listed[number * size : (number + 1) * size]
    total = len(listed)
    # OLS rewrites the total on its last page: what came before it, and what is on it.
    if number * size < total <= (number + 1) * size:
        total = number * size + len(elements)
    elements = elements[:most]
    return {
        "page": number,
        "numElements": len(elements),
        "totalPages": -(-total // size),
        "totalElements": total,
        "elements": [render(each) for each in elements],
        "facetFieldsToCounts": {},
    }


_warming: _Ontology | None = None


def _warm_page(key: _PageKey) -> bytes:
    assert _warming is not None  # noqa: S101  # set before the pool is made
    return gzip.compress(_warming.page(*key), GZIP_LEVEL)


def _lists(classes: Iterable[Any], is_obsolete: Callable[[Any], bool]) -> dict[str, Any]:
    lists: dict[str, Any] = {"all": [], "current": [], "obsolete": []}
    for each in classes:
        lists["all"].append(each)
        lists["obsolete" if is_obsolete(each) else "current"].append(each)
    return lists


def _pretty(body: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(body), indent=2)


@asynccontextmanager
async def serving(sample: Sample, port: int = 0, host: str = "127.0.0.1") -> AsyncIterator[Sample]:
    """Serve as long as the block runs, to this machine alone unless `host` says otherwise."""
    runner = web.AppRunner(sample.application(), access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        sample.url = f"http://{host}:{runner.addresses[0][1]}"
        yield sample
    finally:
        await runner.cleanup()


async def switch(url: str, **changes: Any) -> None:
    """Change the `State` of the server at `url` from now on.

    Raises:
        EfoError: no sample server answers there.
    """
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.put(f"{url}/_sample/state", json=changes, raise_for_status=True),
        ):
            pass
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise EfoError(
            f"No sample server answers at {url} ({error}): start one with `efo-assets sample`, or "
            "name its address with --url."
        ) from error


@contextmanager
def running_sample(**options: Any) -> Iterator[Sample]:
    """Serve from a thread of its own, for synchronous callers."""
    sample, ended, begun = Sample(**options), asyncio.Event(), Future[asyncio.AbstractEventLoop]()

    async def serve() -> None:
        async with serving(sample):
            begun.set_result(asyncio.get_running_loop())
            await ended.wait()

    thread = threading.Thread(target=asyncio.run, args=[serve()], daemon=True)
    thread.start()
    loop = begun.result()
    try:
        yield sample
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
