"""A server that is busy or down (group H): what it asks for is kept, and it is not besieged."""

import asyncio
import itertools
import random
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from efo_assets.errors import (
    OlsUnreachable,
)
from efo_assets.ols.pace import MAX_FAILURES_IN_A_ROW, SUSPICIOUS_FAILURES_IN_A_ROW, probe_pause_s
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
PROBES = 8
"""Record and totals, the record twice, and twice in the middle of the pages."""


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
    meanwhile = [each for each in at if refused_at < each < refused_at + 0.35]
    assert len(meanwhile) < 16, "only those under way came in between"
    assert max(at) >= refused_at + 0.35


@fault("H01")
@pytest.mark.parametrize("more", [{"Retry_After": "1"}, {}], ids=["with", "without"])
def test_429_costs_no_attempt_of_the_page(more: dict[str, str], tmp_path: Path) -> None:
    busy = broken.on_page(broken.status(429, "busy", **more), times=7)
    with fake_ols(busy) as ols:
        done = download(ols, tmp_path)
        assert_whole(done, ols)
    assert done.traffic.retries == 7


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
        kept = int(re.findall(r"(\d+) pages are kept in", said)[0])
        # Without real pauses, pages that are just being decoded are lost.
        assert 25 - in_flight < kept <= 25
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
