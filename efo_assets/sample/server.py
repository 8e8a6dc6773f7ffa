"""The sample OLS server: today's behaviour, the two generations before it as switches.

Serves the generated ontology as `efo` and recordings under their own ids. A model of server time
(base latency and time per row) makes it as slow as the real one; counters and a log of requests
tell what a client did.
"""

import asyncio
import gzip
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import unquote

import msgspec
from aiohttp import web

from efo_assets.sample.documents import Documents, Generation
from efo_assets.sample.ontology import GeneratedClass, release
from efo_assets.sample.recorded import Recordings

Intercept: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse | None]]
Json: TypeAlias = dict[str, Any]
_PageKey: TypeAlias = tuple[str, int, int, int]
"""List, number of the page, its size, and the most rows of it that are served."""

MOST_ROWS = 1000
DEFAULT_ROWS = {"v1": 1000, "v2": 20}
GZIP_LEVEL = 4
WARM_PAGE_SIZE = 500
KNOWN_PARAMETERS = {"page", "size", "isObsolete", "includeObsoleteEntities", "lang"}
KEPT_BODIES = 2_000


@dataclass
class State:
    """What can be switched while the server runs."""

    release: int = 1
    generation: Generation = "C"
    cap: int = MOST_ROWS
    gzip: bool = True
    base_latency_ms: float = 0.0
    row_latency_ms: float = 0.0


class Asked(NamedTuple):
    """One request, for the log."""

    method: str
    path: str
    query: dict[str, str]
    at: float


@dataclass
class _Ontology:
    """One ontology as one generation answers."""

    document: Json
    lists: dict[str, Any]
    documents: Any
    """`Documents` of a generated ontology; None of a recorded one, which is served as it is."""
    bodies: dict[_PageKey, bytes] = field(default_factory=dict)
    """Compressed pages."""

    def page(self, name: str, number: int, size: int, most: int) -> bytes:
        """At most `most` rows of a page of a list."""
        rows = self.lists[name][number * size : (number + 1) * size]
        total = len(self.lists[name])
        # OLS rewrites the total on its last page: what came before it, and what is on it.
        if number * size < total <= (number + 1) * size:
            total = number * size + len(rows)
        rows = rows[:most]
        render = self.documents.v2_class if self.documents else dict
        return _pretty(
            {
                "page": number,
                "numElements": len(rows),
                "totalPages": -(-total // size),
                "totalElements": total,
                "elements": [render(row) for row in rows],
                "facetFieldsToCounts": {},
            }
        )


class Sample:
    """The server's state and handlers; `serving` and `running_sample` run it."""

    def __init__(
        self,
        *,
        classes: int = 200,
        seed: int = 1,
        recorded: Path | None = None,
        intercept: Intercept | None = None,
        **state: Any,
    ) -> None:
        self.classes = classes
        self.seed = seed
        self.state = State(**state)
        self.intercept = intercept
        self.requests: list[Asked] = []
        self.in_flight = 0
        self.max_in_flight = 0
        self.bytes_sent = 0
        self.url = ""
        self._recordings = Recordings(recorded) if recorded else None
        self._ontologies: dict[tuple[str, int, Generation], _Ontology] = {}

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
            router.add_get(f"{base}/api/v2/ontologies/{{id}}", self._v2_ontology)
            router.add_get(f"{base}/api/v2/ontologies/{{id}}/classes", self._v2_classes)
            router.add_get(f"{base}/api/ontologies/{{id}}", self._v1_ontology)
            router.add_get(f"{base}/api/ontologies/{{id}}/terms", self._v1_terms)
            router.add_get(f"{base}/api/ontologies/{{id}}/terms/{{iri}}/parents", self._v1_parents)
        router.add_get("/_sample/requests", self._get_requests)
        router.add_delete("/_sample/requests", self._delete_requests)
        router.add_put("/_sample/state", self._put_state)
        return application

    def warm(self, releases: tuple[int, ...] = (1, 2)) -> None:
        """Render every page of these releases in advance, on all cores."""
        for number in releases:
            ontology = self._generated_ontology(number)
            keys = [
                (name, page, WARM_PAGE_SIZE, WARM_PAGE_SIZE)
                for name in ("current", "obsolete")
                for page in range(-(-len(ontology.lists[name]) // WARM_PAGE_SIZE))
            ]
            global _warming  # noqa: PLW0603  # inherited by forked workers, never pickled
            _warming = ontology
            with ProcessPoolExecutor(mp_context=get_context("fork")) as pool:
                bodies = pool.map(_warm_page, keys, chunksize=4)
                ontology.bodies |= zip(keys, bodies, strict=True)

    @web.middleware
    async def _counted(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if request.path.startswith("/_sample"):
            return await handler(request)
        query = dict(request.query)
        self.requests.append(Asked(request.method, request.path, query, time.monotonic()))
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        try:
            answer = await self.intercept(request) if self.intercept else None
            return answer if answer is not None else await handler(request)
        finally:
            self.in_flight -= 1

    async def _health(self, _: web.Request) -> web.StreamResponse:
        return web.Response(text="OK")

    async def _v2_ontology(self, request: web.Request) -> web.StreamResponse:
        ontology = self._ontology(request.match_info["id"])
        await self._take_time(0)
        if ontology is None:
            return self._unknown()
        return await self._answer(request, _pretty(ontology.document))

    async def _v1_ontology(self, request: web.Request) -> web.StreamResponse:
        ontology = self._ontology(request.match_info["id"])
        if ontology is None:
            return web.Response(status=404) if self.state.generation == "C" else self._unknown()
        config = {"versionIri": ontology.document.get("http://www.w3.org/2002/07/owl#versionIRI")}
        body = {"ontologyId": request.match_info["id"], "fileHash": None, "config": config}
        return await self._answer(request, _pretty(body))

    async def _v2_classes(self, request: web.Request) -> web.StreamResponse:
        ontology = self._ontology(request.match_info["id"])
        page, size, rows = self._paging(request, "v2")
        unknown = set(request.query) - KNOWN_PARAMETERS and self.state.generation != "C"
        if ontology is None or unknown:
            counts = {"page": page, "numElements": 0, "totalPages": 0, "totalElements": 0}
            return await self._answer(request, _pretty({**counts, "elements": []}))
        is_of_all = request.query.get("includeObsoleteEntities") == "true"
        is_of_obsolete = request.query.get("isObsolete") == "true"
        name = "obsolete" if is_of_obsolete else "all" if is_of_all else "current"
        await self._take_time(min(rows, max(0, len(ontology.lists[name]) - page * size)))
        key = (name, page, size, rows)
        body = ontology.bodies.get(key)
        if body is None:
            body = gzip.compress(await asyncio.to_thread(ontology.page, *key), GZIP_LEVEL)
            if len(ontology.bodies) < KEPT_BODIES:
                ontology.bodies[key] = body
        return await self._answer(request, body, is_compressed=True)

    async def _v1_terms(self, request: web.Request) -> web.StreamResponse:
        documents: Documents = self._generated_ontology(self.state.release).documents
        page, size, rows = self._paging(request, "v1")
        terms = documents.release.classes[page * size : page * size + rows]
        await self._take_time(len(terms))
        total = len(documents.release.classes)
        counts = {"size": size, "totalElements": total, "totalPages": -(-total // size)}
        links = {"self": {"href": str(request.url)}}
        body: Json = {"_links": links, "page": {**counts, "number": page}}
        return await self._answer(request, _pretty(body | self._embedded(documents, terms)))

    async def _v1_parents(self, request: web.Request) -> web.StreamResponse:
        documents: Documents = self._generated_ontology(self.state.release).documents
        await self._take_time(1)
        try:
            parents = documents.v1_parents(unquote(request.match_info["iri"]))
        except KeyError:
            return web.Response(status=404)
        body: Json = {"page": {"size": 20, "totalElements": len(parents), "number": 0}}
        return await self._answer(request, _pretty(body | self._embedded(documents, parents)))

    def _embedded(self, documents: Documents, terms: Sequence[GeneratedClass]) -> Json:
        """The terms of a HAL page; an empty page has no such key."""
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
        if unknown := changes.keys() - state.keys():
            return web.Response(status=400, text=f"unknown: {', '.join(sorted(unknown))}")
        state.update(changes)
        return web.json_response(state)

    def _paging(self, request: web.Request, api: str) -> tuple[int, int, int]:
        """Page number, page size that offsets are counted with, and rows served at most.

        Generation A counts pages for the size asked and never serves rows beyond the cap.
        """
        page = max(0, _whole(request.query.get("page")))
        size = max(0, _whole(request.query.get("size"))) or DEFAULT_ROWS[api]
        rows = min(size, self.state.cap)
        return page, size if self.state.generation == "A" else rows, rows

    async def _take_time(self, rows: int) -> None:
        seconds = (self.state.base_latency_ms + self.state.row_latency_ms * rows) / 1000
        if seconds:
            await asyncio.sleep(seconds)

    async def _answer(
        self, request: web.Request, body: bytes, *, is_compressed: bool = False
    ) -> web.StreamResponse:
        wanted = self.state.gzip and "gzip" in request.headers.get("Accept-Encoding", "")
        headers = {"Content-Type": "application/json"}
        if wanted:
            headers["Content-Encoding"] = "gzip"
            body = body if is_compressed else gzip.compress(body, GZIP_LEVEL)
        elif is_compressed:
            body = gzip.decompress(body)
        self.bytes_sent += len(body)
        return web.Response(body=body, headers=headers)

    def _unknown(self) -> web.StreamResponse:
        status, message = 500, "Expected at least 1 result for solr getFirst"
        if self.state.generation == "C":
            status, message = 404, "The requested resource was not found."
        return web.json_response({"status": status, "message": message}, status=status)

    def _ontology(self, ontology: str) -> _Ontology | None:
        if ontology == "efo":
            return self._generated_ontology(self.state.release)
        if self._recordings is None or ontology not in self._recordings.ontologies:
            return None
        key = (ontology, 0, self.state.generation)
        if key not in self._ontologies:
            classes = self._recordings.classes(ontology)
            lists = _lists(classes, lambda each: bool(each["isObsolete"]))
            self._ontologies[key] = _Ontology(self._recordings.document(ontology), lists, None)
        return self._ontologies[key]

    def _generated_ontology(self, number: int) -> _Ontology:
        key = ("efo", number, self.state.generation)
        if key not in self._ontologies:
            generated = release(self.classes, self.seed, number)
            documents = Documents(generated, self.state.generation)
            lists = _lists(generated.classes, lambda each: each.is_obsolete)
            self._ontologies[key] = _Ontology(documents.ontology(), lists, documents)
        return self._ontologies[key]


_warming: _Ontology | None = None


def _warm_page(key: _PageKey) -> bytes:
    assert _warming is not None  # noqa: S101  # set before the pool is made
    return gzip.compress(_warming.page(*key), GZIP_LEVEL)


def _lists(classes: Any, is_obsolete: Callable[[Any], bool]) -> dict[str, Any]:
    everything = list(classes)
    return {
        "all": everything,
        "current": [each for each in everything if not is_obsolete(each)],
        "obsolete": [each for each in everything if is_obsolete(each)],
    }


def _whole(text: str | None) -> int:
    try:
        return int(text or 0)
    except ValueError:
        return 0


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


@contextmanager
def running_sample(**options: Any) -> Iterator[Sample]:
    """Serve from a thread of its own, for synchronous callers."""
    sample = Sample(**options)
    loop = asyncio.new_event_loop()
    ready, ended = threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with serving(sample):
            ready.set()
            await ended.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    ready.wait()
    try:
        yield sample
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
