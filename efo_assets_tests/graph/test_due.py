"""When a load is due: every situation, with clocks of the tests' own."""

import itertools
import re
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from efo_assets.graph.due import (
    BACKOFF_CAP_S,
    Decision,
    Sighting,
    Situation,
    Tries,
    decide,
    key_of,
    sighted,
)
from efo_assets.ols.release import Release, Totals
from efo_assets.settings import RELEASE_CONFIRM_S
from efo_assets.warehouse.ledger import PublishedRelease

NOW_S = 1_800_000_000.0
MINUTE_S = 60.0
SERVED = Release(
    ontology="efo",
    version_iri="http://www.ebi.ac.uk/efo/releases/v3.92.0/efo.owl",
    version="3.92.0",
    loaded="2026-11-20T10:00:00",
    source_file_timestamp=None,
    totals=Totals(current=90, obsolete=10, all=100),
)
LEDGER = PublishedRelease(
    release_id=1,
    ontology="efo",
    version=SERVED.version,
    version_iri=SERVED.version_iri,
    load_id="20261120t100000_1f2e3d4c",
    is_partial=False,
    content_hash="",
    totals={"current": 90, "obsolete": 10, "all": 100},
    published_at_s=NOW_S,
    rows={},
    changes={},
)
OTHERS = [
    msgspec.structs.replace(SERVED, ontology="mondo"),
    msgspec.structs.replace(SERVED, version="3.93.0"),
    msgspec.structs.replace(SERVED, version=None),
    msgspec.structs.replace(SERVED, version_iri="http://else"),
    msgspec.structs.replace(SERVED, totals=Totals(91, 10, 101)),
    msgspec.structs.replace(SERVED, totals=Totals(89, 11, 100)),
]
CONFIRMED = Sighting(key_of(SERVED), NOW_S - RELEASE_CONFIRM_S)
FRESH = Sighting(key_of(SERVED), NOW_S - RELEASE_CONFIRM_S + 1)
FAILED = Tries(1, "1f2e3d4c-run", NOW_S - 60)
RETRIABLE = Tries(1, "1f2e3d4c-run", NOW_S - 300)


def decided(
    *,
    release: Release = SERVED,
    published: PublishedRelease | None = None,
    sighting: Sighting = CONFIRMED,
    under_way: str | None = None,
    tries: Tries | None = None,
    limit: int | None = None,
    now_s: float = NOW_S,
) -> Decision:
    return decide(
        release,
        published=published,
        sighting=sighting,
        under_way=under_way,
        tries=tries or Tries(),
        limit=limit,
        confirm_s=RELEASE_CONFIRM_S,
        now_s=now_s,
    )


def test_every_situation_has_one_outcome_and_the_first_reason_counts() -> None:
    seen = set()
    for published, limit, under_way, sighting, tries in itertools.product(
        (None, replace(LEDGER, is_partial=True), LEDGER),
        (None, 100),
        (None, "0123456789abcdef"),
        (CONFIRMED, FRESH),
        (Tries(), FAILED, RETRIABLE),
    ):
        expected = (
            (published is LEDGER and Situation.NOTHING_NEW)
            or (limit and Situation.LIMITED)
            or (under_way and Situation.UNDER_WAY)
            or (sighting is FRESH and Situation.UNCONFIRMED)
            or (tries is FAILED and Situation.BACKING_OFF)
            or Situation.DUE
        )
        found = decided(
            published=published, limit=limit, under_way=under_way, sighting=sighting, tries=tries
        )
        assert found.situation is expected
        assert re.fullmatch(r"[^\n]+\.", found.sentence)
        assert "efo 3.92.0" in found.sentence
        seen.add(found.situation)
    assert seen == set(Situation)


@pytest.mark.parametrize("release", OTHERS, ids=key_of)
def test_another_identity_is_another_release(release: Release) -> None:
    assert decided(release=release, published=LEDGER).situation is Situation.DUE
    assert key_of(release) != key_of(SERVED)


def test_a_new_date_of_loading_alone_is_nothing_new() -> None:
    again = msgspec.structs.replace(
        SERVED, loaded="2026-11-22T10:00:00", source_file_timestamp="2026-11-22"
    )
    assert key_of(again) == key_of(SERVED)
    assert decided(release=again, published=LEDGER).situation is Situation.NOTHING_NEW


def test_a_ledger_row_without_totals_is_compared_by_its_versions() -> None:
    old = replace(LEDGER, totals=None)
    assert decided(published=old).situation is Situation.NOTHING_NEW
    newer = msgspec.structs.replace(SERVED, version="3.93.0")
    assert decided(release=newer, published=old).situation is Situation.DUE


def test_a_part_of_the_release_is_not_the_release() -> None:
    assert decided(published=replace(LEDGER, is_partial=True)).situation is Situation.DUE


def test_an_ontology_without_any_version_is_told_by_its_totals() -> None:
    nameless = msgspec.structs.replace(SERVED, version=None, version_iri=None)
    ledger = replace(LEDGER, version=None, version_iri=None)
    assert decided(release=nameless, published=ledger).situation is Situation.NOTHING_NEW
    grown = msgspec.structs.replace(nameless, totals=Totals(91, 10, 101))
    assert decided(release=grown, published=ledger).situation is Situation.DUE


def test_the_sentences_say_when_and_what() -> None:
    assert decided(published=LEDGER).sentence == (
        "Nothing new: efo 3.92.0 (100 classes) is published already."
    )
    assert decided(sighting=Sighting(key_of(SERVED), NOW_S)).sentence == (
        "efo 3.92.0 (100 classes) was first seen at 2027-01-15 08:00:00 UTC; it is loaded if OLS "
        "still serves it at 2027-01-15 08:05:00 UTC or later."
    )
    assert decided(under_way="0123456789abcdef").sentence == (
        "efo 3.92.0 (100 classes) is not published yet, and run 01234567 is under way."
    )
    assert decided(tries=Tries(3, "1f2e3d4c-run", NOW_S)).sentence == (
        "efo 3.92.0 (100 classes) was tried 3 times without being published, last in run "
        "1f2e3d4c; the next try is at 2027-01-15 08:20:00 UTC or later."
    )
    assert "was tried once" in decided(tries=FAILED).sentence
    assert "EFO_LIMIT" in decided(limit=100).sentence


def test_pauses_double_up_to_six_hours() -> None:
    pauses = [Tries(count, "r", NOW_S).next_at_s - NOW_S for count in range(1, 10)]
    minutes = [pause / MINUTE_S for pause in pauses]
    assert minutes == [5, 10, 20, 40, 80, 160, 320, 360, 360]
    assert Tries(10**6, "r", NOW_S).next_at_s == NOW_S + BACKOFF_CAP_S
    assert Tries().next_at_s == 0


def test_a_try_is_due_at_the_very_moment_that_was_named() -> None:
    tries = Tries(2, "r", NOW_S)
    assert decided(tries=tries, now_s=NOW_S + 599.9).situation is Situation.BACKING_OFF
    assert decided(tries=tries, now_s=NOW_S + 600).situation is Situation.DUE


def test_a_run_key_comes_once_and_survives_a_shortened_history() -> None:
    tries = [
        Tries(),
        Tries(1, "run-a", NOW_S),
        Tries(2, "run-b", NOW_S),
        Tries(1, "run-b", NOW_S),  # somebody deleted run-a
        Tries(1, "run-c", NOW_S),
    ]
    keys = [each.run_key("efo-3.92.0-0") for each in tries]
    assert len(set(keys)) == len(keys)
    assert keys[:2] == ["efo-3.92.0-0/1", "efo-3.92.0-0/2-after-run-a"]


def test_a_sighting_is_confirmed_after_five_minutes_of_the_same() -> None:
    first = sighted(None, "x", NOW_S)
    assert sighted(first, "x", NOW_S + 299) == first
    key = key_of(SERVED)
    seen = sighted(None, key, NOW_S)
    assert decided(sighting=seen, now_s=NOW_S + 299.9).situation is Situation.UNCONFIRMED
    assert decided(sighting=seen, now_s=NOW_S + 300).situation is Situation.DUE


def test_another_release_between_two_sightings_begins_anew() -> None:
    first = sighted(None, "x", NOW_S)
    other = sighted(first, "y", NOW_S + 300)
    assert sighted(other, "x", NOW_S + 600) == Sighting("x", NOW_S + 600)


@pytest.mark.fault("X18")
def test_a_clock_that_was_set_back_begins_anew() -> None:
    first = sighted(None, "x", NOW_S)
    assert sighted(first, "x", NOW_S - 86_400) == Sighting("x", NOW_S - 86_400)


def test_a_cursor_is_read_as_it_was_written() -> None:
    sighting = Sighting(key_of(SERVED), NOW_S + 0.123456)
    assert Sighting.read(sighting.written()) == sighting
    assert '"format":1' in sighting.written()


@pytest.mark.parametrize(
    "cursor",
    [
        None,
        "",
        "garbage",
        "{}",
        "[]",
        "null",
        "1",
        '{"release": 5, "since_s": 1, "format": 1}',
        '{"release": "x", "since_s": "yesterday", "format": 1}',
        '{"release": "x", "since_s": NaN, "format": 1}',
        '{"release": "x", "since_s": 1, "format": 2}',
        '{"release": "x", "since_s": 1, "format": 1',
        "\ud800",
        "[" * 100_000,
    ],
    ids=range(14),
)
def test_a_cursor_that_is_none_of_ours_is_no_sighting(cursor: str | None) -> None:
    assert Sighting.read(cursor) is None


@given(st.text())
def test_no_cursor_raises(cursor: str) -> None:
    assert Sighting.read(cursor) is None


@pytest.mark.fault("S04")
@given(st.text(), st.text())
def test_a_key_is_fit_for_a_tag_whatever_ols_says(version: str, version_iri: str) -> None:
    release = msgspec.structs.replace(SERVED, version=version, version_iri=version_iri)
    assert re.fullmatch(r"efo-[A-Za-z0-9._-]{0,20}-[0-9a-f]{12}", key_of(release))
