"""Faults of HTTP's meaning (group H): pages, totals and orders that don't hold."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from efo_assets.errors import (
    IncompleteDownload,
    OlsRefused,
    PageRejected,
    ReleaseChanged,
    UnknownOntology,
)
from efo_assets.ols import download as engine
from efo_assets.ols.http import MAX_ATTEMPTS_OF_NO_USE
from efo_assets_tests.faults import broken
from efo_assets_tests.faults.downloading import (
    assert_whole,
    download,
    iris,
    refused,
)
from efo_assets_tests.faults.fake_ols import Asked, Fault, fake_ols, generated

fault = pytest.mark.fault
KNOWN_PARAMETERS = {"page", "size", "isObsolete", "includeObsoleteEntities"}

COUNTED = (IncompleteDownload, PageRejected)

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
    assert done.traffic.retries == 2


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


@fault("H31")
@pytest.mark.parametrize("in_flight", [1, 4, 16])
@pytest.mark.parametrize("excess", [1, 50, 130, 300])
@pytest.mark.parametrize("listing", ["current", "obsolete"])
def test_a_total_a_little_too_large_ends_with_both_numbers(
    listing: str, excess: int, in_flight: int, tmp_path: Path
) -> None:
    def more(asked: Asked) -> Fault | None:
        return _total(lambda total: total + excess) if asked.listing in (listing, "all") else None

    with fake_ols(more, classes=400) as ols:
        said = refused(
            ols,
            tmp_path,
            COUNTED,
            "nothing was published|Nothing was published",
            page_size=100,
            max_in_flight=in_flight,
        )
        assert len(ols.log) < 150
    served = len(generated(400, 1, 1).lists[listing])
    assert f"OLS counts {served + excess} " in said
    assert f"serves {served}" in said


@fault("H31")
@pytest.mark.parametrize("declared", ["414", 414, None, "many", "0", "9" * 5000, [], -1, 4e2])
@pytest.mark.parametrize("total", [10**7, 10**12, 10**15, 10**30])
def test_a_total_beyond_belief_is_refused_before_a_page(
    total: int, declared: Any, tmp_path: Path
) -> None:
    def more(asked: Asked) -> Fault | None:
        if asked.listing == "record":
            return broken.edited(lambda record: record.update(numberOfClasses=declared))
        return _total(lambda _: total) if asked.listing in ("current", "all") else None

    with fake_ols(more, classes=400) as ols:
        said = refused(ols, tmp_path, IncompleteDownload, f"counts {total:,} classes of efo")
        assert ols.pages == []
    assert ("names 414" in said) == (str(declared) == "414")


@fault("H31")
def test_pages_of_a_row_each_are_refused_where_they_are_too_many(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(engine, "MAX_PAGES", 300)
    one = broken.edited(lambda page: page.update(elements=page["elements"][:1]))
    with fake_ols(lambda asked: None if asked.is_probe else one, classes=400) as ols:
        refused(ols, tmp_path, IncompleteDownload, "more than 300 requests")
        assert len(ols.log) < 50


@fault("H31")
def test_pages_that_shrink_again_and_again_are_refused(tmp_path: Path) -> None:
    def half(page: dict[str, Any]) -> None:
        page.update(elements=page["elements"][: len(page["elements"]) // 2])

    with fake_ols(lambda asked: None if asked.is_probe else broken.edited(half)) as ols:
        refused(ols, tmp_path, IncompleteDownload, "has 2 rows where 5 were asked for")
        assert len(ols.log) < 100


@fault("H31")
def test_a_list_that_ends_half_way_costs_few_requests(tmp_path: Path) -> None:
    with fake_ols(
        lambda asked: (
            _total(lambda total: 2 * total) if asked.listing in ("current", "all") else None
        ),
        classes=400,
    ) as ols:
        refused(ols, tmp_path, COUNTED, "OLS counts 800 in this list")
        # At most 8 pages and those under way are given up, after 9 requests each.
        assert len(ols.log) <= 46 + (8 + 16) * 9


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
    assert done.page_set.plan.page_size == 5


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
    assert done.traffic.retries == 2


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


# The wire.


@fault("H29")
def test_http_1_0_and_a_connection_for_each_request_work(tmp_path: Path) -> None:
    with fake_ols(broken.everywhere(broken.http_1_0)) as ols:
        done = download(ols, tmp_path)
        assert_whole(done, ols)
        assert ols.connections == len(ols.log)
    assert done.traffic.retries == 0


@fault("H30")
def test_only_parameters_that_ols_knows_are_sent(tmp_path: Path) -> None:
    with fake_ols() as ols:
        download(ols, tmp_path)
        sent = {name for asked in ols.log for name in asked.query}
        lists = {asked.listing for asked in ols.pages}
    assert sent == KNOWN_PARAMETERS
    assert lists == {"current", "obsolete"}
