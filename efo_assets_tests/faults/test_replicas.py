"""Releases that come up under way, and replicas with two of them (group H): never mixed."""

import itertools
from functools import partial
from pathlib import Path

import pytest

from efo_assets.errors import (
    IncompleteDownload,
    OlsRefused,
    PageRejected,
    ReleaseChanged,
)
from efo_assets.ols.page_store import PageStore
from efo_assets_tests.faults import broken
from efo_assets_tests.faults.downloading import (
    assert_whole,
    download,
    iris,
    refused,
)
from efo_assets_tests.faults.fake_ols import Asked, Fault, fake_ols

fault = pytest.mark.fault


@fault("H22")
def test_a_release_that_comes_up_under_way_is_never_mixed(tmp_path: Path) -> None:
    with fake_ols(classes=200) as ols:
        ols.release_of = lambda _: 1 if len(ols.pages) <= 9 else 2
        done = download(ols, tmp_path)
        assert set(iris(done)) == ols.iris(2)
    assert done.page_set.plan.release.version == "3.902.0"
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
    assert done.page_set.plan.release.name == "efo (no version)"
    assert done.page_set.plan.release.loaded is None


def _always(number: int, _: Asked) -> int:
    return number


def test_failed_downloads_of_many_releases_leave_little_behind(tmp_path: Path) -> None:
    numbers = itertools.count(1)
    for _ in range(5):
        number = next(numbers)
        with fake_ols(broken.on_page(broken.status(404), times=None)) as ols:
            ols.release_of = partial(_always, number)
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
@pytest.mark.parametrize("nth", [4, 5])
def test_a_replica_that_vanishes_among_the_pages_is_noticed(nth: int, tmp_path: Path) -> None:
    records = itertools.count(1)

    def in_the_middle(asked: Asked) -> int:
        return 1 if asked.listing == "record" and next(records) == nth else 2

    with fake_ols(release_of=in_the_middle) as ols:
        done = download(ols, tmp_path)
        assert set(iris(done)) == ols.iris(2)
    assert "began again" in done.notes[0]


@fault("H23")
def test_replicas_that_take_turns_until_one_vanishes_before_the_middle_are_noticed(
    tmp_path: Path,
) -> None:
    requests = itertools.count(1)

    def in_turns(asked: Asked) -> int:
        number = next(requests)
        is_total = asked.is_probe and asked.listing != "record"
        return 2 if number % 2 or number > 9 or is_total else 1

    with fake_ols(release_of=in_turns) as ols:
        done = download(ols, tmp_path)
        assert set(iris(done)) == ols.iris(2)
    assert "began again" in done.notes[0]
