"""A few runs of the campaign with every test run, and that it finds what it looks for."""

import pytest

from efo_assets.settings import DatabaseTarget
from efo_assets.warehouse import session
from efo_assets_tests.chaos.readers import Reader
from efo_assets_tests.chaos.run import run
from efo_assets_tests.chaos.workers import LOCK_TIMEOUT_MS
from efo_assets_tests.faults.engine import load_once
from efo_assets_tests.faults.one_load import Nursery
from efo_assets_tests.faults.worlds import World

SEEDS = (2, 3, 5, 7, 11, 13)


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "LOCK_TIMEOUT_MS", LOCK_TIMEOUT_MS)


@pytest.mark.parametrize("seed", SEEDS)
def test_random_faults_leave_one_whole_release(
    server: DatabaseTarget, nursery: Nursery, seed: int
) -> None:
    outcome = run(seed, server, nursery)
    assert outcome.tally["faults"] >= 2
    assert outcome.tally["attempts without"] >= 2
    assert outcome.tally["statements"] > 0


def test_a_row_that_is_wrong_missing_or_extra_is_found(loaded: World) -> None:
    for change in (
        "update efo_terms set label = 'else' where id = (select min(id) from efo_terms)",
        "delete from efo_xrefs where term_id = (select min(term_id) from efo_xrefs)",
        "insert into efo_synonyms select min(id), 'extra', 'exact' from efo_terms",
    ):
        loaded.oracle.ask(f"{change} returning 1")
        with pytest.raises(AssertionError, match="release 1"):
            loaded.oracle.assert_well()
        load_once(loaded.settings)
        assert loaded.oracle.assert_well() == 1


def test_a_mixture_that_stood_for_a_moment_is_found(loaded: World) -> None:
    with Reader(loaded.oracle.database) as reader:
        loaded.oracle.ask("delete from efo_xrefs returning 1")
        seen = reader.statements
        while reader.statements < seen + 2:
            assert reader.error is None
        load_once(loaded.settings)
        assert loaded.oracle.assert_well() == 1
        with pytest.raises(AssertionError, match="neither release"):
            reader.assert_whole()


def test_a_publication_without_its_verdicts_is_found(loaded: World) -> None:
    loaded.oracle.ask(
        "delete from efo_meta.verdicts where check_name = 'xrefs_are_unique' returning 1"
    )
    with pytest.raises(AssertionError, match="without its verdicts"):
        loaded.oracle.assert_well()
