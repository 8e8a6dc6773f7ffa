"""Faults of HTTP's meaning (group H): statuses, totals, orders and releases that don't hold."""

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from efo_assets.errors import (
    IncompleteDownload,
    OlsRefused,
    OlsUnreachable,
    PageRejected,
    ReleaseChanged,
    UnknownOntology,
)
from efo_assets.ols.exchange import MAX_ATTEMPTS_OF_NO_USE
from efo_assets.ols.pace import MAX_FAILURES_IN_A_ROW, SUSPICIOUS_FAILURES_IN_A_ROW, probe_pause_s
from efo_assets.ols.pages import PageStore
from efo_assets_tests.faults import broken
from efo_assets_tests.faults.downloading import (
    Pauses,
    assert_whole,
    download,
    iris,
    refused,
)
from efo_assets_tests.faults.fake_ols import Asked, Fault, fake_ols

fault = pytest.mark.fault
PROBES = 6
"""Record, totals, record; and the record in the middle of the pages."""
KNOWN_PARAMETERS = {"page", "size", "isObsolete", "includeObsoleteEntities"}


def http_date(seconds: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


# Retry-After.


@pytest.mark.parametrize(
    ("status", "header", "at_least_s", "at_most_s"),
    [
        pytest.param(429, "2", 2, 2, marks=fault("H01")),
        pytest.param(429, "2.5", 2.5, 2.5, marks=fault("H01")),
        pytest.param(503, "40.0", 40, 40, marks=fault("H05")),
        pytest.param(429, "99999999999", 300, 300, marks=fault("H01")),
        pytest.param(503, "1e999", 300, 300, marks=fault("H05")),
        pytest.param(429, 90, 60, 90, marks=fault("H02")),
        pytest.param(503, 10**8, 300, 300, marks=fault("H05")),
        pytest.param(429, -90, 0, 1, marks=fault("H02")),
        pytest.param(429, "-5", 0, 1, marks=fault("H02")),
        pytest.param(429, "0", 0, 1, marks=fault("H02")),
        pytest.param(503, "nan", 0, 1, marks=fault("H05")),
        pytest.param(429, "soon", 0, 1, marks=fault("H02")),
        pytest.param(503, "Mon, 99 Foo 2026 99:99:99 GMT", 0, 1, marks=fault("H05")),
        pytest.param(429, None, 0, 1, marks=fault("H04")),
    ],
    ids=str,
)
def test_retry_after_in_every_form_is_kept_or_left(
    status: int, header: str | int | None, at_least_s: float, at_most_s: float, tmp_path: Path
) -> None:
    pauses = Pauses()
    # Whole seconds stand for a date; made now, since test ids must be the same in every process.
    text = http_date(header) if isinstance(header, int) else header
    more = {} if text is None else {"Retry_After": text}
    busy = broken.status(status, "busy", **more)
    with fake_ols(broken.on_page(busy)) as ols:
        assert_whole(download(ols, tmp_path, pause=pauses), ols)
    assert len(pauses.seconds) == 1
    assert at_least_s <= pauses.seconds[0] <= at_most_s


@fault("H02")
def test_a_date_is_taken_against_the_servers_own_clock(tmp_path: Path) -> None:
    pauses = Pauses()
    skewed = broken.status(429, Retry_After=http_date(7200 + 60), Date=http_date(7200))
    with fake_ols(broken.on_page(skewed)) as ols:
        download(ols, tmp_path, pause=pauses)
    assert 59 <= pauses.seconds[0] <= 61


@fault("H01")
def test_nobody_asks_while_retry_after_lasts(tmp_path: Path) -> None:
    busy = broken.status(429, Retry_After="0.4")
    with fake_ols(broken.on_page(busy, page=9), classes=200) as ols:
        done = download(ols, tmp_path, pause=asyncio.sleep, page_size=5)
        assert_whole(done, ols)
        at = [asked.at_s for asked in ols.log]
        refused_at = next(asked.at_s for asked in ols.pages if asked.page == 9)
    after = [each for each in at if each > refused_at]
    gaps = [later - earlier for earlier, later in itertools.pairwise([refused_at, *after])]
    assert max(gaps) >= 0.35
    assert gaps.index(max(gaps)) < 16, "only those under way came in between"


@fault("H01")
@pytest.mark.parametrize("more", [{"Retry_After": "1"}, {}], ids=["with", "without"])
def test_429_costs_no_attempt_of_the_page(more: dict[str, str], tmp_path: Path) -> None:
    busy = broken.on_page(broken.status(429, "busy", **more), times=7)
    with fake_ols(busy) as ols:
        done = download(ols, tmp_path)
        assert_whole(done, ols)
    assert done.retries == 7


@fault("H04")
def test_429_halves_what_is_in_flight(tmp_path: Path) -> None:
    seen: list[int] = []
    narrowed: list[int] = []

    def busy(asked: Asked) -> Fault | None:
        if asked.is_probe:
            return None
        seen.append(asked.page)
        if len(seen) == 20:
            return broken.status(429)
        if 40 < len(seen) < 44:
            narrowed.append(ols.in_flight)
        return broken.late(0.01)

    with fake_ols(busy, classes=300) as ols:
        done = download(ols, tmp_path, page_size=2, max_in_flight=16)
    assert done.page_set.complete
    assert max(narrowed) < done.max_in_flight_seen


# Outages.


@fault("H06")
@pytest.mark.parametrize("code", [500, 502, 503, 504])
def test_a_burst_of_failures_is_absorbed(code: int, tmp_path: Path) -> None:
    left = itertools.count()

    def burst(asked: Asked) -> Fault | None:
        begun = not asked.is_probe and len(ols.pages) > 5
        return broken.status(code) if begun and next(left) < 28 else None

    with fake_ols(burst, classes=200) as ols:
        assert_whole(download(ols, tmp_path), ols)


@fault("H06")
@fault("H07")
def test_an_outage_is_waited_for_more_than_half_a_minute_and_less_than_fifteen() -> None:
    for seed in range(200):
        rng = random.Random(seed)
        # At worst all 16 that were under way failed before anybody waited.
        first = SUSPICIOUS_FAILURES_IN_A_ROW + 15
        waited_s = sum(probe_pause_s(n, rng) for n in range(first, MAX_FAILURES_IN_A_ROW))
        assert waited_s > 30
        longest_s = sum(
            probe_pause_s(n, rng)
            for n in range(SUSPICIOUS_FAILURES_IN_A_ROW, MAX_FAILURES_IN_A_ROW)
        )
        assert longest_s < 15 * 60


@fault("H06")
def test_retries_are_spread_by_jitter(tmp_path: Path) -> None:
    shared = ticks = 0
    for seed in range(5):
        pauses = Pauses()
        burst = broken.on_pages(broken.status(503), times=1)
        with fake_ols(broken.first_of(burst), classes=100) as ols:
            download(ols, tmp_path / str(seed), pause=pauses, rng=random.Random(seed))
        # As if all had failed at the same moment.
        retried = Counter(int(seconds * 100) for seconds in pauses.seconds)
        ticks += len(retried)
        shared += sum(1 for times in retried.values() if times > 1)
    assert ticks > 30
    assert shared <= 0.2 * ticks


@fault("H07")
@pytest.mark.parametrize(
    "failing",
    [
        broken.status(503),
        broken.status(503, Retry_After="7"),
        broken.status(429),
        broken.closed_before_headers,
        broken.reset_after(10),
        broken.body(b"<html>down for maintenance</html>", content_type="text/html"),
    ],
    ids=["503", "503 with Retry-After", "429", "closed", "reset", "HTML"],
)
@pytest.mark.parametrize("in_flight", [1, 16])
@pytest.mark.parametrize("of_pages_alone", [False, True], ids=["everything", "pages alone"])
def test_a_total_outage_costs_at_most_48_requests_and_the_next_run_resumes(
    failing: Fault, in_flight: int, of_pages_alone: bool, tmp_path: Path
) -> None:
    down = [True]
    good = itertools.count()

    def outage(asked: Asked) -> Fault | None:
        if asked.is_probe and (of_pages_alone or len(ols.pages) < 25):
            return None
        return failing if down[0] and (asked.is_probe or next(good) >= 25) else None

    with fake_ols(outage, classes=400) as ols:
        said = refused(ols, tmp_path, OlsUnreachable, "OLS unreachable", max_in_flight=in_flight)
        assert "requests in a row failed" in said
        kept = len(list(tmp_path.rglob("*.json.gz")))
        # Without real pauses, pages that are just being decoded are lost.
        assert 25 - in_flight < kept <= 25
        assert f"{kept} pages are kept in" in said
        # Those under way when the last one succeeded are counted, too.
        assert len(ols.log) - (PROBES + 25) <= 48
        down[0] = False
        done = download(ols, tmp_path)
        assert set(iris(done)) == ols.iris()
    assert (done.reused, done.fetched) == (kept, done.pages - kept)


@pytest.mark.parametrize(("rate", "most"), [(0.05, 1.08), (0.2, 1.3)])
def test_random_failures_cost_little_more_than_themselves(
    rate: float, most: float, tmp_path: Path
) -> None:
    faults = (
        broken.status(500),
        broken.status(503),
        broken.closed_before_headers,
        broken.reset_after(100),
        broken.half_gzip,
        broken.long_content_length,
        broken.body(b"<html>", content_type="text/html"),
    )
    pages = requests = 0
    for seed in (1, 2, 3):
        with fake_ols(broken.randomly(rate, seed, *faults), classes=400) as ols:
            done = download(ols, tmp_path / str(seed), page_size=4)
            assert_whole(done, ols)
            pages, requests = pages + done.pages, requests + len(ols.pages)
    print(f"{requests} requests for {pages} pages: {requests / pages:.3f}")
    assert requests <= most * pages


# One page.


@fault("H08")
@pytest.mark.parametrize(
    ("rows", "said"),
    [((23,), "row 23 of the current list"), (range(20, 30), "rows 20-29 of the current list")],
    ids=["one row", "a whole page"],
)
@pytest.mark.parametrize("in_flight", [1, 16])
def test_rows_that_are_never_served_are_named(
    rows: Any, said: str, in_flight: int, tmp_path: Path
) -> None:
    with fake_ols(broken.on_rows(broken.status(500), *rows)) as ols:
        sentence = refused(ols, tmp_path, PageRejected, said, max_in_flight=in_flight)
        pages = len(list(tmp_path.rglob("*.json.gz")))
        assert ols.pages_answered_twice == []
    assert "mapper failed" in sentence
    assert f"{pages} pages are kept" in sentence
    assert pages == 11 - 1


@fault("H08")
def test_a_page_whose_parts_are_all_served_is_asked_for_again(tmp_path: Path) -> None:
    with fake_ols(broken.on_page(broken.status(500), times=6)) as ols:
        done = download(ols, tmp_path)
        assert set(iris(done)) == ols.iris()


@pytest.mark.parametrize(
    ("breaks", "kind", "said"),
    [
        pytest.param(broken.status(404), OlsRefused, "status 404", marks=fault("H09")),
        pytest.param(broken.status(400), OlsRefused, "status 400", marks=fault("H10")),
        pytest.param(broken.status(401), OlsRefused, "status 401", marks=fault("H10")),
        pytest.param(broken.status(403), OlsRefused, "status 403", marks=fault("H10")),
        pytest.param(broken.status(410), OlsRefused, "status 410", marks=fault("H10")),
    ],
)
def test_a_page_that_is_refused_ends_the_download_at_once(
    breaks: Fault, kind: type[Any], said: str, tmp_path: Path
) -> None:
    with fake_ols(broken.on_page(breaks, times=None)) as ols:
        sentence = refused(ols, tmp_path, kind, said, max_in_flight=1)
        assert sum(asked.page == 2 for asked in ols.pages) == 1
    assert "mapper failed" in sentence
    assert "pages are kept in" in sentence


@fault("H10")
def test_what_a_server_says_is_cut_and_harmless(tmp_path: Path) -> None:
    spiteful = broken.status(403, "\x1b[31m\r\nno" + "x" * 1000)
    with fake_ols(broken.everywhere(spiteful)) as ols:
        said = refused(ols, tmp_path, OlsRefused, "status 403")
    assert "\x1b" not in said
    assert "x" * 180 in said
    assert "x" * 201 not in said


def _without_items(page: dict[str, Any]) -> None:
    page["elements"] = []


def _without_elements(page: dict[str, Any]) -> None:
    del page["elements"]


PAGE_ODDITIES = [
    pytest.param(
        broken.body(b"<html>Bad gateway</html>", content_type="text/html"),
        "text/html: '<html>Bad gateway",
        marks=fault("H11"),
        id="HTML",
    ),
    pytest.param(
        broken.edited(lambda _: {"status": 500, "message": "Internal Server Error"}),
        "another shape",
        marks=fault("H12"),
        id="envelope",
    ),
    pytest.param(
        broken.edited(_without_items), "0 rows where 10 must be", marks=fault("H13"), id="no items"
    ),
    pytest.param(
        broken.edited(_without_elements),
        "missing required field `elements`",
        marks=fault("H13"),
        id="no list",
    ),
    pytest.param(broken.status(204, ""), "status 204", marks=fault("H26"), id="204"),
    pytest.param(broken.status(206), "status 206", marks=fault("H26"), id="206"),
    pytest.param(broken.status(304, ""), "status 304", marks=fault("H26"), id="304"),
]


@pytest.mark.parametrize(("breaks", "said"), PAGE_ODDITIES)
def test_an_odd_page_is_asked_for_again(breaks: Fault, said: str, tmp_path: Path) -> None:
    del said
    with fake_ols(broken.on_page(breaks, times=2)) as ols:
        done = download(ols, tmp_path)
        assert_whole(done, ols)
    assert done.retries == 2


@pytest.mark.parametrize(("breaks", "said"), PAGE_ODDITIES)
def test_a_page_that_stays_odd_is_refused_with_what_came(
    breaks: Fault, said: str, tmp_path: Path
) -> None:
    with fake_ols(broken.on_rows(breaks, *range(20, 30))) as ols:
        sentence = refused(ols, tmp_path, PageRejected, "rows 20-29 of the current list")
    assert said in sentence


@fault("H13")
def test_a_page_is_told_by_its_number(tmp_path: Path) -> None:
    other = broken.edited(lambda page: page.update(page=7))
    with fake_ols(broken.on_page(other)) as ols:
        assert_whole(download(ols, tmp_path), ols)


# The whole.


def _total(change: Callable[[int], int]) -> Fault:
    def edit(page: dict[str, Any]) -> None:
        page["totalElements"] = change(page["totalElements"])

    return broken.edited(edit)


def _emptied(page: dict[str, Any]) -> None:
    page.update(totalElements=0, elements=[])


@fault("H14")
@fault("H30")
@pytest.mark.parametrize(
    ("empty", "kind"),
    [
        (("current", "obsolete", "all"), UnknownOntology),
        (("current", "all"), UnknownOntology),
        (("all",), IncompleteDownload),
        (("all", "obsolete"), IncompleteDownload),
    ],
    ids=["all lists", "all but obsolete", "the list of everything", "what takes a parameter"],
)
def test_an_empty_list_is_never_a_release(
    empty: tuple[str, ...], kind: type[Any], tmp_path: Path
) -> None:
    with fake_ols(lambda asked: broken.edited(_emptied) if asked.listing in empty else None) as ols:
        refused(ols, tmp_path, kind, "nothing was published")
        assert ols.pages == []


@fault("H14")
@pytest.mark.parametrize("code", [404, 500])
def test_a_record_that_is_not_there_is_no_release(code: int, tmp_path: Path) -> None:
    gone = broken.status(code, "Expected at least 1 result for solr getFirst")
    with fake_ols(broken.on_record(gone)) as ols:
        refused(ols, tmp_path, UnknownOntology, "does not hold the ontology 'efo'")


@fault("H14")
def test_a_list_that_vanishes_on_the_way_is_no_end(tmp_path: Path) -> None:
    def vanish(_: Asked) -> Fault | None:
        return broken.edited(_emptied) if len(ols.pages) > 4 else None

    with fake_ols(vanish) as ols:
        refused(ols, tmp_path, UnknownOntology, "nothing was published")


@fault("H15")
def test_a_total_beyond_reality_rejects_the_download(tmp_path: Path) -> None:
    def more(asked: Asked) -> Fault | None:
        listed = asked.listing in ("current", "all")
        return _total(lambda total: total + 3) if listed else None

    with fake_ols(more) as ols:
        said = refused(ols, tmp_path, PageRejected, "rows where")
    assert "of the current list" in said


@fault("H17")
@pytest.mark.parametrize("in_flight", [1, 50])
def test_a_page_cap_is_followed_however_many_ask(in_flight: int, tmp_path: Path) -> None:
    def cap(asked: Asked) -> Fault | None:
        if asked.is_probe or len(asked.rows) <= 5:
            return None
        return broken.edited(lambda page: page.update(elements=page["elements"][:5]))

    with fake_ols(cap, classes=400) as ols:
        done = download(ols, tmp_path, page_size=8, max_in_flight=in_flight)
        assert set(iris(done)) == ols.iris()
        too_large = [asked for asked in ols.pages if len(asked.rows) == 8]
        assert max(asked.attempt for asked in too_large) < MAX_ATTEMPTS_OF_NO_USE
    assert done.page_set.page_size == 5


@fault("H18")
def test_a_last_page_that_agrees_with_itself_alone_is_rejected(tmp_path: Path) -> None:
    def short(page: dict[str, Any]) -> None:
        del page["elements"][-2:]
        page["totalElements"] -= 2

    def last(asked: Asked) -> Fault | None:
        return broken.edited(short) if asked.listing == "obsolete" and not asked.is_probe else None

    with fake_ols(last) as ols:
        said = refused(ols, tmp_path, PageRejected, "rows where")
    assert "of the obsolete list" in said


@fault("H19")
def test_a_total_that_changes_for_good_begins_again_twice_and_ends(tmp_path: Path) -> None:
    def changes(asked: Asked) -> Fault | None:
        changed = not asked.is_probe and asked.page >= 4
        return _total(lambda total: total + 3) if changed else None

    with fake_ols(changes) as ols:
        said = refused(ols, tmp_path, ReleaseChanged, "3 times")
        assert len(ols.log) < 3 * (4 + 11 + 11)
    assert "its pages were dropped" in said
    assert not list(tmp_path.rglob("*.json.gz"))


@fault("H19")
def test_a_total_that_changed_for_a_moment_begins_again_once(tmp_path: Path) -> None:
    with fake_ols(broken.on_page(_total(lambda total: total + 3), page=4, times=2)) as ols:
        done = download(ols, tmp_path)
        assert set(iris(done)) == ols.iris()
    assert len(done.notes) == 1
    assert "began again" in done.notes[0]


@fault("H20")
def test_a_class_on_two_pages_rejects_the_download_with_both_places(tmp_path: Path) -> None:
    first = []

    def repeat(page: dict[str, Any]) -> None:
        if page["page"] == 0:
            first.append(page["elements"][0])
        if page["page"] == 3 and first:
            page["elements"][5] = first[0]

    with fake_ols(
        lambda asked: (
            broken.edited(repeat) if asked.listing == "current" and not asked.is_probe else None
        )
    ) as ols:
        said = refused(ols, tmp_path, IncompleteDownload, "1 classes of efo", max_in_flight=1)
    assert f"{first[0]['iri']} on pages current 0, current 3" in said


@fault("H20")
def test_a_page_that_repeats_a_class_is_asked_for_again_and_not_kept(tmp_path: Path) -> None:
    def repeat(page: dict[str, Any]) -> None:
        page["elements"][5] = page["elements"][0]

    with fake_ols(broken.on_page(broken.edited(repeat), page=3, times=2)) as ols:
        done = download(ols, tmp_path)
        assert set(iris(done)) == ols.iris()
    assert done.retries == 2


@fault("H20")
def test_a_page_that_always_repeats_a_class_is_refused_and_the_others_are_kept(
    tmp_path: Path,
) -> None:
    def repeat(page: dict[str, Any]) -> None:
        page["elements"][1] = page["elements"][0]

    with fake_ols(broken.on_page(broken.edited(repeat), page=3, times=None)) as ols:
        said = refused(ols, tmp_path, PageRejected, "stands in it twice")
    assert "rows 30-39 of the current list" in said
    with fake_ols() as ols:
        assert download(ols, tmp_path).reused > 0


# Releases.


@fault("H22")
def test_a_release_that_comes_up_under_way_is_never_mixed(tmp_path: Path) -> None:
    with fake_ols(classes=200) as ols:
        ols.release_of = lambda _: 1 if len(ols.pages) <= 9 else 2
        done = download(ols, tmp_path)
        assert set(iris(done)) == ols.iris(2)
    assert done.page_set.release.version == "3.902.0"
    assert len(done.notes) == 1


@fault("H22")
def test_releases_that_come_up_all_the_time_are_given_up(tmp_path: Path) -> None:
    with fake_ols(classes=200) as ols:
        ols.release_of = lambda _: 1 + len(ols.pages) // 9
        said = refused(ols, tmp_path, ReleaseChanged, "more than one release")
    assert "3 times" in said


@fault("H23")
def test_two_replicas_with_equal_totals_are_told_apart(tmp_path: Path) -> None:
    with fake_ols() as ols:

        def other_version(asked: Asked) -> Fault | None:
            if asked.listing != "record" or not asked.connection % 2:
                return None
            return broken.edited(
                lambda record: record.update({"http://www.w3.org/2002/07/owl#versionInfo": "9.9"})
            )

        ols.script = other_version
        said = refused(ols, tmp_path, ReleaseChanged, "more than one release")
    assert "9.9" in said


@fault("H23")
def test_two_replicas_with_two_releases_are_never_mixed(tmp_path: Path) -> None:
    with fake_ols(classes=200) as ols:
        ols.release_of = lambda asked: 1 + asked.connection % 2
        with pytest.raises((ReleaseChanged, IncompleteDownload, PageRejected)) as caught:
            download(ols, tmp_path)
    assert "ublished" in str(caught.value)
    assert PageStore(tmp_path).latest("efo") is None


@fault("H24")
def test_a_record_that_says_nothing_of_its_release_is_one_all_the_same(tmp_path: Path) -> None:
    kept = ("ontologyId", "iri", "type")
    bare = broken.edited(lambda record: {name: record[name] for name in kept})
    with fake_ols(broken.on_record(bare)) as ols:
        done = download(ols, tmp_path)
        assert_whole(done, ols)
    assert done.page_set.release.name == "efo (no version)"
    assert done.page_set.release.loaded is None


@fault("H29")
def test_http_1_0_and_a_connection_for_each_request_work(tmp_path: Path) -> None:
    with fake_ols(broken.everywhere(broken.http_1_0)) as ols:
        done = download(ols, tmp_path)
        assert_whole(done, ols)
        assert ols.connections == len(ols.log)
    assert done.retries == 0


@fault("H30")
def test_only_parameters_that_ols_knows_are_sent(tmp_path: Path) -> None:
    with fake_ols() as ols:
        download(ols, tmp_path)
        sent = {name for asked in ols.log for name in asked.query}
        lists = {asked.listing for asked in ols.pages}
    assert sent == KNOWN_PARAMETERS
    assert lists == {"current", "obsolete"}


def test_failed_downloads_of_many_releases_leave_little_behind(tmp_path: Path) -> None:
    numbers = itertools.count(1)
    for _ in range(5):
        number = next(numbers)
        with fake_ols(broken.on_page(broken.status(404), times=None)) as ols:
            ols.release_of = lambda _, number=number: number
            refused(ols, tmp_path, OlsRefused, "404", max_in_flight=1)
    assert len([path for path in (tmp_path / "efo").iterdir() if path.is_dir()]) <= 2


@fault("H23")
def test_two_replicas_that_take_turns_are_noticed_before_a_page_is_asked_for(
    tmp_path: Path,
) -> None:
    records = itertools.count(1)

    def in_turns(asked: Asked) -> int:
        return 1 if asked.listing == "record" and next(records) == 2 else 2

    with fake_ols(release_of=in_turns) as ols:
        done = download(ols, tmp_path)
        assert [asked.is_probe for asked in ols.log[:5]] == [True] * 5
        assert ols.log[4].listing == "record"
        assert set(iris(done)) == ols.iris(2)
        assert ols.pages_answered_twice == []
    assert "began again" in done.notes[0]


@fault("H23")
def test_a_replica_that_vanishes_among_the_pages_is_noticed(tmp_path: Path) -> None:
    records = itertools.count(1)

    def in_the_middle(asked: Asked) -> int:
        return 1 if asked.listing == "record" and next(records) == 3 else 2

    with fake_ols(release_of=in_the_middle) as ols:
        done = download(ols, tmp_path)
        assert set(iris(done)) == ols.iris(2)
    assert "began again" in done.notes[0]
