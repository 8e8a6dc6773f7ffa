"""The faults of the campaign. Each is a function that arms one in a scene and says what it does.

To add one, write it and put it into `FAULTS` under its group; the campaign draws from all groups.
A fault that can't be armed now (nothing is published yet) says so with an empty text. Those of
`IN_THIS_PROCESS` act at crash points and are drawn only where the load isn't killed.
"""

import gzip
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, TypeAlias

import msgspec
import psycopg
import pytest
from aiohttp import web

from efo_assets.errors import LoadInProgress
from efo_assets.warehouse.warehouse import Warehouse
from efo_assets_tests.chaos.scene import STAGING_AND_LATER, Scene
from efo_assets_tests.databases import connected
from efo_assets_tests.faults.invariants import DEAD
from efo_assets_tests.faults.staged_rows import COPIED, EVERY, MUTATIONS, mutations

Fault: TypeAlias = Callable[[Scene], str]
Answer: TypeAlias = web.StreamResponse | None
Answering: TypeAlias = Callable[[web.Request], web.StreamResponse | Awaitable[web.StreamResponse]]

DEFINITION = "http://purl.obolibrary.org/obo/IAO_0000115"
POINTS = ("C1", "C2", "C3", "C4", *STAGING_AND_LATER)
FUTURE = datetime.now(UTC) + timedelta(seconds=90)
RETRY_AFTER = ("2", "1.5", "0", "-3", "soon", "99999999", "nan", format_datetime(FUTURE))
OURS = "datname = current_database() and application_name = 'efo_assets'"


def _times(scene: Scene) -> int:
    """Mostly fewer than a page is tried."""
    return scene.chance.choice((1, 1, 2, 2, 3, 4, 12))


def _instead(scene: Scene, times: int, make: Answering) -> None:
    """Answer pages in the server's stead, for the first times that some of them are asked for."""
    listing, share = scene.chance.choice(("current", "obsolete", "any")), scene.chance.randint(1, 4)
    tried: dict[str, int] = {}

    async def answer(request: web.Request) -> Answer:
        if not scene.asks_for_page(request):
            return None
        asked = "obsolete" if request.query.get("isObsolete") == "true" else "current"
        if listing not in ("any", asked) or int(request.query["page"]) % share:
            return None
        tried[request.query_string] = tried.get(request.query_string, 0) + 1
        if tried[request.query_string] > times:
            return None
        made = make(request)
        return await made if isinstance(made, Awaitable) else made

    scene.answering.append(answer)


async def _page(scene: Scene, request: web.Request) -> dict[str, Any]:
    """The page that the server would have sent."""
    return await _document(request, scene.sample._v2_classes)


async def _document(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> dict[str, Any]:
    sent = await handler(request)
    assert isinstance(sent, web.Response)
    assert isinstance(sent.body, bytes)
    is_gzip = sent.headers.get("Content-Encoding") == "gzip"
    body = gzip.decompress(sent.body) if is_gzip else sent.body
    document: dict[str, Any] = msgspec.json.decode(body)
    return document


def _json(page: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(page), content_type="application/json")


def failing_statuses(scene: Scene) -> str:
    status, times = scene.chance.choice((408, 500, 502, 503, 504)), _times(scene)
    _instead(scene, times, lambda _: web.Response(status=status))
    return f"{times} times status {status}"


def retry_after(scene: Scene) -> str:
    status, header = scene.chance.choice((429, 503)), scene.chance.choice(RETRY_AFTER)
    times = scene.chance.randint(1, 3)
    headers = {"Retry-After": header}
    _instead(scene, times, lambda _: web.Response(status=status, headers=headers))
    return f"{times} times status {status} with Retry-After: {header}"


def cut_bodies(scene: Scene) -> str:
    times, share = _times(scene), scene.chance.uniform(0.05, 0.95)

    async def cut(request: web.Request) -> web.Response:
        body = gzip.compress(msgspec.json.encode(await _page(scene, request)))
        headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
        return web.Response(body=body[: int(len(body) * share)], headers=headers)

    _instead(scene, times, cut)
    return f"{times} times a body cut at {share:.0%}"


def html_pages(scene: Scene) -> str:
    times = _times(scene)
    page = "<html><body>Maintenance</body></html>"
    _instead(scene, times, lambda _: web.Response(text=page, content_type="text/html"))
    return f"{times} times HTML with status 200"


def error_envelopes(scene: Scene) -> str:
    times = _times(scene)
    _instead(scene, times, lambda _: _json({"status": 500, "message": "Solr is away"}))
    return f"{times} times an error envelope with status 200"


def wrong_pages(scene: Scene) -> str:
    """A sound page with one field that isn't as it was asked for."""
    times = _times(scene)
    field, change = scene.chance.choice(
        (("totalElements", 3), ("totalElements", -1), ("page", 1), ("page", -1))
    )

    async def wrong(request: web.Request) -> web.Response:
        page = await _page(scene, request)
        return _json(page | {field: page[field] + change})

    _instead(scene, times, wrong)
    return f"{times} times {field} {change:+d}"


def wrong_rows(scene: Scene) -> str:
    """A page with rows left out, or with one row instead of another."""
    times, kind = _times(scene), scene.chance.choice(("none", "fewer", "repeated"))

    async def wrong(request: web.Request) -> web.Response:
        page = await _page(scene, request)
        rows = page["elements"]
        changed = {"none": [], "fewer": rows[:-1], "repeated": [*rows[:-1], *rows[:1]]}[kind]
        return _json(page | {"elements": changed})

    _instead(scene, times, wrong)
    return f"{times} times a page with rows: {kind}"


def aborted_connections(scene: Scene) -> str:
    times = _times(scene)

    def abort(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    _instead(scene, times, abort)
    return f"{times} times a connection reset"


def flaky_server(scene: Scene) -> str:
    share = scene.chance.choice((0.05, 0.2, 0.4))

    async def answer(_: web.Request) -> Answer:
        return web.Response(status=500) if scene.chance.random() < share else None

    scene.answering.append(answer)
    return f"{share:.0%} of all requests fail"


def outage(scene: Scene) -> str:
    after, status = scene.chance.randint(0, 60), scene.chance.choice((500, 503))
    seen = 0

    async def answer(_: web.Request) -> Answer:
        nonlocal seen
        seen += 1
        return web.Response(status=status) if seen > after else None

    scene.answering.append(answer)
    return f"an outage after {after} requests"


def release_switch(scene: Scene) -> str:
    after, number = scene.chance.randint(2, 16), scene.sample.state.release + 1
    seen = 0

    async def answer(_: web.Request) -> Answer:
        nonlocal seen
        seen += 1
        if seen == after:
            scene.sample.publish(number)
        return None

    scene.answering.append(answer)
    return f"release {number} comes up at request {after}"


def two_replicas(scene: Scene) -> str:
    """For a while, every other request is answered by a server that is a release ahead."""
    number, until, seen = scene.sample.state.release, scene.chance.randint(4, 40), 0

    async def answer(_: web.Request) -> Answer:
        nonlocal seen
        seen += 1
        if seen <= until:
            scene.sample.publish(number + seen % 2)
        return None

    scene.answering.append(answer)
    scene.afterwards.callback(scene.sample.publish, number)
    return f"two replicas serve releases {number} and {number + 1} until request {until}"


def lagging_server(scene: Scene) -> str:
    number = scene.sample.state.release
    if number == 1:
        return ""
    scene.sample.publish(number - 1)
    scene.afterwards.callback(scene.sample.publish, number)
    return f"release {number - 1} is served again"


def implausible_pages(scene: Scene) -> str:
    """For a while, OLS serves the release from another load of its own, without definitions."""
    if scene.oracle.standing() is None:
        return ""

    async def answer(request: web.Request) -> Answer:
        if scene.asks_for_page(request):
            page = await _page(scene, request)
            for each in page["elements"]:
                each.pop(DEFINITION, None)
            return _json(page)
        if request.path.endswith("/classes"):
            return None
        record = await _document(request, scene.sample._v2_ontology)
        return _json(record | {"loaded": "2031-01-01T00:00:00"})

    scene.answering.append(answer)
    return "definitions are gone from every page"


def killed(scene: Scene) -> str:
    point, kind = scene.chance.choice(POINTS), scene.chance.choice(("KILL", "KILL", "TERM"))
    passing = scene.chance.randint(1, 9) if point in ("C2", "C3", "C4", "C6", "B1", "C10") else 1
    if point in ("C6", "C10"):
        passing = min(passing, 4)
    scene.crash_point = f"{point}:{passing}:{kind}"
    return f"ends at {scene.crash_point}"


def damaged_page(scene: Scene) -> str:
    files = sorted(scene.pages_dir.rglob("*.json.gz"))
    if not files:
        return ""
    file, kind = (
        scene.chance.choice(files),
        scene.chance.choice(("flipped", "cut", "gone", "empty")),
    )
    body = file.read_bytes()
    match kind:
        case "flipped":
            at = max(len(body) - 9, 0)
            # An earlier fault may have emptied it.
            file.write_bytes(
                body[:at] + bytes(each ^ 1 for each in body[at : at + 1]) + body[at + 1 :]
            )
        case "cut":
            file.write_bytes(body[: len(body) // 2])
        case "empty":
            file.write_bytes(b"")
        case _:
            file.unlink()
    return f"{file.name} is {kind}"


def damaged_manifest(scene: Scene) -> str:
    files = sorted(scene.pages_dir.rglob("manifest.jsonl"))
    if not files:
        return ""
    file, kind = (
        scene.chance.choice(files),
        scene.chance.choice(("cut", "garbage", "format", "gone")),
    )
    text = file.read_text()
    match kind:
        case "cut":
            file.write_text(text[: int(len(text) * scene.chance.random())])
        case "garbage":
            file.write_text(f'{text}{{"type":"page","number":\n')
        case "format":
            file.write_text(text.replace('"format":1', '"format":0'))
        case _:
            file.unlink()
    return f"a manifest is damaged: {kind}"


def stray_files(scene: Scene) -> str:
    for folder in scene.pages_dir.glob("efo/*-two"):
        (folder / ".current-00001.json.gz.part").write_bytes(b"half")
        (folder / "current-99999.json.gz").write_bytes(b"nobody's")
    return "files of a process that died are left"


def stale_loads(scene: Scene) -> str:
    """Loads of processes that died, half full."""
    if scene.oracle.ask("select to_regclass('efo_meta.loads')") == [(None,)]:
        return ""
    count = scene.chance.randint(1, 3)
    for number in range(count):
        name = f"20200101t000000{DEAD}{number}_{scene.chance.randrange(1 << 16)}"
        scene.oracle.ask(
            "insert into efo_meta.loads (load_id, target_schema, ontology, fingerprint, source_url,"
            " format_version, is_partial, expected_terms, state)"
            f" values ('{name}', 'public', 'efo', 'f', 'u', 1, false, 5, 'staging') returning 1"
        )
        owned = connected(scene.oracle.database, autocommit=True)
        with owned as owner:
            owner.execute(f"create schema efo_load_{name}")
            owner.execute(f"create table efo_load_{name}.terms (iri text)")
    return f"{count} loads of dead processes are left"


def _point(scene: Scene) -> tuple[str, int]:
    point = scene.chance.choice(STAGING_AND_LATER)
    return point, scene.chance.randint(1, 4) if point in ("C6", "B1", "C10") else 1


def _elsewhere(scene: Scene, *statements: str) -> None:
    """Run statements in another database of the server: ours may let nobody in."""
    with connected(scene.admin, dbname="postgres", autocommit=True) as admin:
        for statement in statements:
            admin.execute(statement)


def _ours(scene: Scene) -> str:
    return OURS.replace("current_database()", f"'{scene.admin.parameters['dbname']}'")


def ended_backends(scene: Scene) -> str:
    (point, passing), how = _point(scene), scene.chance.choice(("terminate", "cancel"))
    statement = f"select pg_{how}_backend(pid) from pg_stat_activity where {_ours(scene)}"
    scene.at(point, passing, lambda: _elsewhere(scene, statement))
    return f"PostgreSQL: {how} all sessions at {point}:{passing}"


def closed_database(scene: Scene) -> str:
    """No session survives and none can be opened until the attempt has ended."""
    point, passing = _point(scene)
    name = scene.admin.parameters["dbname"]
    end = f"select pg_terminate_backend(pid) from pg_stat_activity where {_ours(scene)}"

    def allow(*, connections: bool) -> None:
        open_or_close = f'alter database "{name}" allow_connections {connections}'
        _elsewhere(scene, open_or_close, *(() if connections else (end,)))

    scene.at(point, passing, lambda: allow(connections=False))
    scene.afterwards.callback(allow, connections=True)
    return f"PostgreSQL lets nobody in from {point}:{passing} on"


def tampered_rows(scene: Scene) -> str:
    """Staged rows deleted, added or changed after COPY, before the audit, or while it runs."""
    point = scene.chance.choice(("C7", "C8", "C9"))
    table = scene.chance.choice(COPIED if point == "C7" else EVERY)
    # To truncate a table, somebody would have to wait until the audit has read it.
    kind = scene.chance.randrange(MUTATIONS - (point == "C9"))

    def tamper() -> None:
        # Another fault may let nobody in, and foreign keys that were built ahead refuse some.
        refused = (psycopg.IntegrityError, psycopg.NotSupportedError)
        with suppress(psycopg.OperationalError, *refused):
            schemas = scene.oracle.ask(
                "select nspname from pg_namespace where nspname like 'efo_load_2%' order by 1 desc"
            )
            for (schema,) in schemas[:1]:
                scene.command(mutations(schema, table, as_copied=point == "C7")[kind])

    scene.at(point, 1, tamper)
    return f"staged {table} are changed at {point}, in way {kind} of {MUTATIONS}"


def held_lock(scene: Scene) -> str:
    """Somebody else writes to a published table and doesn't end."""
    if scene.oracle.standing() is None:
        return ""

    def lock() -> None:
        other = connected(scene.oracle.database)
        scene.afterwards.callback(other.close)
        other.execute("lock table efo_terms in share mode")

    scene.at("C9", 1, lock)
    return "a session holds a lock on efo_terms"


def second_loader(scene: Scene) -> str:
    """Another load begins under way: it must be told to go."""
    point = scene.chance.choice(("C5", "C7", "C8", "C9"))

    def begin() -> None:
        with Warehouse(scene.oracle.database) as second, pytest.raises(LoadInProgress):
            second.prepare()

    scene.at(point, 1, begin)
    return f"a second loader comes at {point}"


FAULTS: Mapping[str, tuple[Fault, ...]] = {
    "http": (
        failing_statuses,
        retry_after,
        cut_bodies,
        html_pages,
        error_envelopes,
        wrong_pages,
        wrong_rows,
        aborted_connections,
        flaky_server,
        outage,
    ),
    "release": (release_switch, two_replicas, lagging_server, implausible_pages),
    "process": (killed,),
    "leftovers": (damaged_page, damaged_manifest, stray_files, stale_loads),
    "postgres": (ended_backends, closed_database, tampered_rows, held_lock, second_loader),
}
IN_THIS_PROCESS = ("postgres",)
"""Groups that act at crash points; a load that is killed runs in another process."""
