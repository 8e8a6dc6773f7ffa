"""Downloads from a real HTTP server that misbehaves on purpose: whole in the end, or refused."""

import asyncio
import gzip
import itertools
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from efo_assets.errors import (
    IncompleteDownload,
    OlsRefused,
    OlsUnreachable,
    PageRejected,
    PageStoreError,
    ReleaseChanged,
    UnknownOntology,
)
from efo_assets.ols.download import Progress
from efo_assets.ols.page_store import PageStore
from efo_assets.sample.ontology import release
from efo_assets.sample.server import Sample, running_sample
from efo_assets_tests.faults import downloading
from efo_assets_tests.faults.downloading import Pauses, iris

CLASSES = 230
PAGE_SIZE = 20
PATIENCE_S = 60
ROWS = {each.iri for each in release(CLASSES, 1).classes}

Answer = web.StreamResponse | None


@contextmanager
def serving(*misbehave: Callable[[web.Request], Any], **options: Any) -> Iterator[Sample]:
    """A sample server; each function may answer a request in its stead."""

    async def intercept(request: web.Request) -> Answer:
        for each in misbehave:
            answer: Answer = await each(request)
            if answer is not None:
                return answer
        return None

    with running_sample(classes=CLASSES, intercept=intercept, **options) as sample:
        yield sample


download = partial(downloading.download, page_size=PAGE_SIZE)


def release_pages() -> int:
    """How many pages the first release takes in its two lists."""
    obsolete = sum(each.is_obsolete for each in release(CLASSES, 1).classes)
    return -(-obsolete // PAGE_SIZE) + -(-(CLASSES - obsolete) // PAGE_SIZE)


def is_page(request: web.Request, number: int | None = None, listing: str = "current") -> bool:
    """Whether a request is for a page of a list, not for one of the probes."""
    query = request.query
    named = "obsolete" if "isObsolete" in query else "current"
    named = "all" if "includeObsoleteEntities" in query else named
    return (
        request.path.endswith("/classes")
        and query.get("size") != "1"
        and named == listing
        and (number is None or query.get("page") == str(number))
    )


def once(answer: Callable[[], Any], *, page: int = 2, times: int = 1) -> Callable[..., Any]:
    """Answer the first requests for a page in a way of our own."""
    left = itertools.count()

    async def misbehave(request: web.Request) -> Answer:
        if is_page(request, page) and next(left) < times:
            made: Answer = answer()
            return made
        return None

    return misbehave


@pytest.mark.parametrize("generation", ["A", "B", "C"])
def test_every_generation_gives_every_class_once(generation: str, tmp_path: Path) -> None:
    with serving(generation=generation) as sample:
        done = download(sample.url, tmp_path)
        found = iris(done)
    assert set(found) == ROWS
    assert len(found) == CLASSES
    assert done.traffic.requests == done.pages + 4 + 2 + 2 + 5
    assert done.page_set.complete


def test_without_gzip_it_works_as_well(tmp_path: Path) -> None:
    with serving(gzip=False) as sample:
        done = download(sample.url, tmp_path)
    assert set(iris(done)) == ROWS
    assert not list(tmp_path.rglob("*.gz"))


def test_the_same_release_again_asks_for_no_page(tmp_path: Path) -> None:
    with serving() as sample:
        first = download(sample.url, tmp_path)
        again = download(sample.url, tmp_path)
    assert (again.fetched, again.reused, again.traffic.requests) == (0, first.pages, 4)


def test_never_more_requests_in_flight_than_allowed(tmp_path: Path) -> None:
    with serving(base_latency_ms=40) as sample:
        done = download(sample.url, tmp_path, max_in_flight=5, page_size=5)
        assert sample.max_in_flight <= 5
    assert done.max_in_flight_seen == 5


def test_four_pages_begin_and_each_that_came_lets_in_one_more(tmp_path: Path) -> None:
    arrived = 0
    more_than_came: list[int] = []

    async def counting(request: web.Request) -> Answer:
        nonlocal arrived
        if is_page(request) or is_page(request, listing="obsolete"):
            arrived += 1
            came = arrived - sample.in_flight
            more_than_came.append(sample.in_flight - came)
        return None

    with serving(counting, base_latency_ms=5) as sample:
        download(sample.url, tmp_path, page_size=5)
    assert max(more_than_came) <= 4, "probes let in none"


def test_the_totals_are_asked_for_at_once(tmp_path: Path) -> None:
    asked: dict[str, asyncio.Event] = {}

    async def all_or_none(request: web.Request) -> Answer:
        if request.query.get("size") == "1":
            asked.setdefault(request.query_string, asyncio.Event())
            if len(asked) == 3:
                for each in asked.values():
                    each.set()
            await asyncio.wait_for(asked[request.query_string].wait(), PATIENCE_S)
        return None

    with serving(all_or_none) as sample:
        assert download(sample.url, tmp_path).page_set.complete


def test_totals_that_never_come_end_the_run_in_one_sentence(tmp_path: Path) -> None:
    asked = itertools.count(1)

    async def failing(request: web.Request) -> Answer:
        if request.query.get("size") == "1":
            next(asked)
            return web.Response(status=500, text="out of memory")
        return None

    with serving(failing) as sample, pytest.raises(PageRejected, match="does not say what it"):
        download(sample.url, tmp_path)
    assert next(asked) - 1 <= 3 * 5, "five times each, and no outage waited for"


def test_a_limit_keeps_the_first_rows_only(tmp_path: Path) -> None:
    with serving() as sample:
        done = download(sample.url, tmp_path, limit=45)
    assert len(iris(done)) == 45
    assert done.rows == 45


def test_it_says_who_asks_and_follows_no_proxy(tmp_path: Path) -> None:
    agents = set()

    async def listen(request: web.Request) -> Answer:
        agents.add(request.headers["User-Agent"])
        assert request.headers["Accept-Encoding"] == "gzip"
        return None

    with serving(listen) as sample:
        download(sample.url, tmp_path)
    (agent,) = agents
    assert agent == f"efo_assets/{version('efo_assets')}"


def _html() -> web.Response:
    return web.Response(text="<html>Service unavailable</html>", content_type="text/html")


def _cut_gzip() -> web.Response:
    body = gzip.compress(b'{"page": 2, "elements": []}' * 50)
    return web.Response(body=body[: len(body) // 2], headers={"Content-Encoding": "gzip"})


def _envelope() -> web.Response:
    return web.json_response({"status": 500, "message": "Internal error"})


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(lambda: web.Response(status=500), marks=pytest.mark.fault("H06")),
        pytest.param(lambda: web.Response(status=429), marks=pytest.mark.fault("H04")),
        pytest.param(lambda: web.Response(status=206, text="{}"), marks=pytest.mark.fault("H26")),
        pytest.param(_html, marks=pytest.mark.fault("H11")),
        pytest.param(_envelope, marks=pytest.mark.fault("H12")),
        pytest.param(
            lambda: web.json_response({"page": 2, "totalElements": 0, "elements": []}),
            marks=pytest.mark.fault("H13"),
        ),
        pytest.param(_cut_gzip, marks=pytest.mark.fault("T09")),
        pytest.param(lambda: web.Response(body=b'{"a":"\xff"}'), marks=pytest.mark.fault("P01")),
        pytest.param(lambda: web.Response(body=b"[" * 100_000), marks=pytest.mark.fault("P07")),
        pytest.param(
            lambda: web.Response(text="{}", headers={"Content-Encoding": "br"}),
            marks=pytest.mark.fault("T22"),
        ),
    ],
    ids=["500", "429", "206", "html", "envelope", "empty", "cut gzip", "utf-8", "deep", "brotli"],
)
def test_a_page_that_fails_once_is_asked_for_again(
    answer: Callable[[], web.Response], tmp_path: Path
) -> None:
    with serving(once(answer)) as sample:
        done = download(sample.url, tmp_path)
    assert set(iris(done)) == ROWS
    assert done.traffic.retries >= 1


@pytest.mark.fault("T06")
def test_a_connection_that_breaks_in_a_body_is_made_again(tmp_path: Path) -> None:
    left = itertools.count()

    async def breaks(request: web.Request) -> Answer:
        if is_page(request, 1) and next(left) < 2:
            response = web.StreamResponse(headers={"Content-Length": "100000"})
            await response.prepare(request)
            await response.write(b"{" * 1000)
            assert request.transport is not None
            request.transport.abort()
            return response
        return None

    with serving(breaks) as sample:
        assert set(iris(download(sample.url, tmp_path))) == ROWS


@pytest.mark.fault("H01")
@pytest.mark.parametrize("header", ["2", "2.5"])
def test_retry_after_holds_everybody_for_so_long(header: str, tmp_path: Path) -> None:
    pauses = Pauses()
    busy = once(lambda: web.Response(status=429, headers={"Retry-After": header}))
    with serving(busy) as sample:
        assert set(iris(download(sample.url, tmp_path, pause=pauses))) == ROWS
    assert float(header) in pauses.seconds


@pytest.mark.fault("H02")
def test_retry_after_may_be_a_date(tmp_path: Path) -> None:
    pauses = Pauses()
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    busy = once(lambda: web.Response(status=503, headers={"Retry-After": date}))
    with serving(busy) as sample:
        download(sample.url, tmp_path, pause=pauses)
    assert any(80 <= seconds <= 91 for seconds in pauses.seconds)


@pytest.mark.fault("H17")
@pytest.mark.parametrize("generation", ["A", "B", "C"])
def test_a_server_that_serves_smaller_pages_gets_smaller_requests(
    generation: str, tmp_path: Path
) -> None:
    with serving(generation=generation, cap=7) as sample:
        done = download(sample.url, tmp_path)
    assert set(iris(done)) == ROWS
    assert done.page_set.plan.page_size == 7
    assert "7 rows in a page at most" in done.notes[0]


def test_a_server_that_ignores_the_obsolete_filter_is_read_from_one_list(tmp_path: Path) -> None:
    async def ignores(request: web.Request) -> Answer:
        if "isObsolete" in request.query:
            return await _current_list(request)
        return None

    async def _current_list(request: web.Request) -> web.Response:
        classes = [each for each in release(CLASSES, 1).classes if not each.is_obsolete]
        page, size = int(request.query["page"]), int(request.query["size"])
        rows = classes[page * size : (page + 1) * size]
        return web.json_response(
            {
                "page": page,
                "totalElements": len(classes),
                "elements": [{"iri": each.iri, "isObsolete": False} for each in rows],
            }
        )

    with serving(ignores) as sample:
        done = download(sample.url, tmp_path)
    assert set(iris(done)) == ROWS
    assert [listing.name for listing in done.page_set.plan.listings] == ["all"]
    assert "do not add up" in done.notes[0]


@pytest.mark.fault("H20")
@pytest.mark.parametrize("at_once", [7, 200_000])
def test_a_repeated_iri_rejects_the_download(
    at_once: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("efo_assets.ols.download.HASHES_AT_ONCE", at_once)

    async def repeats(request: web.Request) -> Answer:
        if not is_page(request, 3):
            return None
        classes = [each for each in release(CLASSES, 1).classes if not each.is_obsolete]
        rows = [classes[0], *classes[61:80]]
        return web.json_response(
            {
                "page": 3,
                "totalElements": len(classes),
                "elements": [{"iri": each.iri, "isObsolete": False} for each in rows],
            }
        )

    with serving(repeats) as sample, pytest.raises(IncompleteDownload) as caught:
        download(sample.url, tmp_path)
    assert "1 classes of efo" in str(caught.value)
    assert "on pages current 0, current 3" in str(caught.value)


@pytest.mark.fault("H22")
def test_a_release_that_changes_on_the_way_is_begun_again_and_never_mixed(tmp_path: Path) -> None:
    changes = itertools.count()
    running: list[Sample] = []

    async def change(request: web.Request) -> Answer:
        if is_page(request, 4) and next(changes) == 0:
            running[0].publish(2)
        return None

    with serving(change) as sample:
        running.append(sample)
        done = download(sample.url, tmp_path)
    assert set(iris(done)) == {each.iri for each in release(CLASSES, 1, 2).classes}
    assert done.page_set.plan.release.version == release(CLASSES, 1, 2).version
    assert "began again" in done.notes[0]


@pytest.mark.fault("H23")
def test_two_releases_served_in_turn_are_given_up(tmp_path: Path) -> None:
    running: list[Sample] = []

    async def flap(request: web.Request) -> Answer:
        if request.path.endswith("/ontologies/efo"):
            running[0].publish(3 - running[0].state.release)
        return None

    with serving(flap) as sample:
        running.append(sample)
        with pytest.raises(ReleaseChanged, match="more than one release"):
            download(sample.url, tmp_path)
    assert PageStore(tmp_path).latest("efo") is None


@pytest.mark.fault("H08")
def test_a_row_that_cannot_be_served_is_named_and_the_other_pages_are_kept(tmp_path: Path) -> None:
    async def row_47(request: web.Request) -> Answer:
        if not request.path.endswith("/classes") or len(request.query) != 2:
            return None
        page, size = int(request.query["page"]), int(request.query["size"])
        covered = page * size <= 47 < (page + 1) * size
        return web.Response(status=500, text="mapper failed") if covered else None

    with serving(row_47) as sample:
        with pytest.raises(PageRejected) as caught:
            download(sample.url, tmp_path, max_in_flight=1)
        said = str(caught.value)
        assert "row 47 of the current list" in said
        assert "mapper failed" in said
        assert "Nothing was published" in said
    kept = list(tmp_path.rglob("*.json.gz"))
    assert len(kept) == release_pages() - 1


@pytest.mark.fault("H14")
@pytest.mark.parametrize("generation", ["A", "B", "C"])
def test_an_unknown_ontology_is_one_sentence_in_every_generation(
    generation: str, tmp_path: Path
) -> None:
    with (
        serving(generation=generation) as sample,
        pytest.raises(UnknownOntology, match="does not hold the ontology 'nosuch'"),
    ):
        download(sample.url, tmp_path, ontology="nosuch")


@pytest.mark.fault("T01")
def test_a_closed_port_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(OlsUnreachable, match=r"OLS unreachable at 127\.0\.0\.1:1") as caught:
        download("http://127.0.0.1:1", tmp_path)
    assert "run again" in str(caught.value)


@pytest.mark.fault("T02")
def test_a_name_that_does_not_resolve_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(OlsUnreachable, match=r"cannot resolve the host name 'host\.invalid'"):
        download("http://host.invalid", tmp_path)


@pytest.mark.fault("T16")
def test_a_redirect_is_not_followed_but_named(tmp_path: Path) -> None:
    with running_sample(classes=30) as other:

        async def redirect(_: web.Request) -> Answer:
            return web.Response(status=302, headers={"Location": f"{other.url}/api"})

        with serving(redirect) as sample, pytest.raises(OlsRefused, match="is not followed"):
            download(sample.url, tmp_path)
        assert other.requests == []


@pytest.mark.fault("H10")
@pytest.mark.parametrize("status", [400, 401, 403, 410])
def test_a_refusal_ends_at_once_with_what_was_said(status: int, tmp_path: Path) -> None:
    async def refuse(_: web.Request) -> Answer:
        return web.Response(status=status, text="go\x1b[31m away")

    with serving(refuse) as sample:
        with pytest.raises(OlsRefused) as caught:
            download(sample.url, tmp_path)
        assert len(sample.requests) == 1
    assert f"status {status}" in str(caught.value)
    assert "\x1b" not in str(caught.value)


@pytest.mark.fault("H07")
def test_a_total_outage_costs_few_requests_and_keeps_the_pages(tmp_path: Path) -> None:
    pages = itertools.count()

    async def outage(request: web.Request) -> Answer:
        paged = is_page(request) or is_page(request, listing="obsolete")
        if not paged or next(pages) < 3:
            return None
        # The outage begins when three pages are kept.
        assert await asyncio.to_thread(three_are_kept.wait, PATIENCE_S)
        return web.Response(status=503)

    asked_before_a_success: list[int] = []
    three_are_kept = threading.Event()

    def progressed(_: Progress) -> None:
        asked_before_a_success.append(len(sample.requests))
        if len(asked_before_a_success) == 1 + 3:
            three_are_kept.set()

    with serving(outage) as sample:
        with pytest.raises(OlsUnreachable) as caught:
            download(sample.url, tmp_path, on_progress=progressed)
        assert len(asked_before_a_success) == 1 + 3
        assert len(sample.requests) - asked_before_a_success[-1] <= 48
    assert "are kept in" in str(caught.value)


@pytest.mark.fault("T19")
def test_a_decompression_bomb_stops_at_the_cap(tmp_path: Path) -> None:
    bomb = gzip.compress(b" " * 30_000_000)

    async def explode(request: web.Request) -> Answer:
        if not is_page(request, 1):
            return None
        return web.Response(body=bomb, headers={"Content-Encoding": "gzip"})

    with (
        serving(explode) as sample,
        pytest.raises(PageRejected, match="larger than the cap of 1,000,000 bytes"),
    ):
        download(sample.url, tmp_path, body_cap_bytes=1_000_000, max_in_flight=1)


def test_after_a_failure_only_missing_pages_are_asked_for(tmp_path: Path) -> None:
    broken = [True]

    async def breaks(request: web.Request) -> Answer:
        return web.Response(status=500) if broken[0] and is_page(request, 5) else None

    with serving(breaks) as sample:
        with pytest.raises(PageRejected):
            download(sample.url, tmp_path, max_in_flight=1)
        kept = len(list(tmp_path.rglob("*.json.gz")))
        broken[0] = False
        done = download(sample.url, tmp_path)
    assert kept >= 5
    assert (done.reused, done.fetched) == (kept, done.pages - kept)
    assert set(iris(done)) == ROWS


def test_a_page_file_that_was_damaged_is_fetched_again(tmp_path: Path) -> None:
    with serving() as sample:
        download(sample.url, tmp_path)
        damaged = sorted(tmp_path.rglob("current-*.json.gz"))[3]
        damaged.write_bytes(damaged.read_bytes()[::-1])
        done = download(sample.url, tmp_path)
    assert done.fetched == 1
    assert set(iris(done)) == ROWS


def test_a_damaged_page_is_not_read(tmp_path: Path) -> None:
    with serving() as sample:
        done = download(sample.url, tmp_path)
    next(tmp_path.rglob("obsolete-00000.json.gz")).write_bytes(b"")
    with pytest.raises(PageStoreError, match="isn't what was stored"):
        iris(done)


@pytest.mark.fault("S07")
def test_a_symbolic_link_in_the_store_is_refused(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "efo").symlink_to(elsewhere)
    with serving() as sample, pytest.raises(PageStoreError, match="symbolic link"):
        download(sample.url, tmp_path / "store")
    assert list(elsewhere.iterdir()) == []


@pytest.mark.fault("X14")
def test_a_second_download_into_the_same_store_ends_and_names_the_first(tmp_path: Path) -> None:
    store = PageStore(tmp_path)
    with store.lock("efo"), serving() as sample:
        with pytest.raises(PageStoreError, match=r"Another download of efo .* \(pid \d+ on "):
            download(sample.url, tmp_path)
        assert not sample.requests


def test_at_most_the_two_newest_releases_are_kept(tmp_path: Path) -> None:
    with serving() as sample:
        for number in (1, 2, 3):
            sample.publish(number)
            done = download(sample.url, tmp_path)
    kept = [path for path in (tmp_path / "efo").iterdir() if path.is_dir()]
    assert len(kept) == 2
    latest = PageStore(tmp_path).latest("efo")
    assert latest is not None
    assert latest.plan.release == done.page_set.plan.release


@pytest.mark.fault("X13")
def test_pages_of_another_format_are_fetched_again(tmp_path: Path) -> None:
    with serving() as sample:
        download(sample.url, tmp_path)
        manifest = next(tmp_path.rglob("manifest.jsonl"))
        header, *others = manifest.read_bytes().splitlines(keepends=True)
        old = json.loads(header)[1] | {"format": 1}
        manifest.write_bytes(json.dumps(old).encode() + b"\n" + b"".join(others))
        assert download(sample.url, tmp_path).reused == 0


@pytest.mark.fault("X19")
def test_a_store_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with serving() as sample, pytest.raises(PageStoreError, match=str(tmp_path / "file")):
        download(sample.url, tmp_path / "file" / "store")


def test_progress_is_told_to_the_end(tmp_path: Path) -> None:
    seen: list[Any] = []
    with serving() as sample:
        done = download(sample.url, tmp_path, on_progress=seen.append)
    assert [each.pages_done for each in seen] == list(range(done.pages + 1))
    assert (seen[-1].rows_done, seen[-1].rows_total) == (CLASSES, CLASSES)
    assert seen[0].eta_s is None
    assert seen[-1].eta_s == 0
