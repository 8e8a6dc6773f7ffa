"""Releases that come back: an older one is refused, and what was staged wrongly is staged anew."""

from contextlib import nullcontext
from dataclasses import replace

import pytest

from efo_assets.errors import AuditNotPassed, PublicationRefused
from efo_assets.pipeline.load import newest_pages, stage
from efo_assets.settings import DatabaseTarget
from efo_assets.warehouse.warehouse import Warehouse
from efo_assets_tests.faults.crash_points import listening
from efo_assets_tests.faults.engine import load_once
from efo_assets_tests.faults.worlds import World
from efo_assets_tests.warehouse.loads import publish, term


@pytest.mark.fault("H24")
@pytest.mark.fault("O11")
def test_a_release_from_before_is_refused_unless_it_is_asked_for(loaded: World) -> None:
    loaded.ols.release = 2
    load_once(loaded.settings)
    loaded.ols.release = 1
    with pytest.raises(PublicationRefused, match=r"efo 3\.901\.0 is older than efo 3\.902\.0"):
        load_once(loaded.settings)
    assert loaded.oracle.assert_well() == 2
    assert load_once(replace(loaded.settings, allow_older=True)).is_new
    assert loaded.oracle.assert_well() == 1
    assert load_once(loaded.settings).written == 0


@pytest.mark.fault("H24")
def test_an_older_release_is_refused_though_it_never_was_published(fresh: World) -> None:
    fresh.ols.release = 2
    load_once(fresh.settings)
    fresh.ols.release = 1
    with pytest.raises(PublicationRefused, match="EFO_ALLOW_OLDER=1"):
        load_once(fresh.settings)
    assert fresh.oracle.assert_well() == 2


OLDER, PARTIAL, OTHER = (
    "older than efo",
    "first 40 classes only",
    "holds mondo, and the load is efo",
)


@pytest.mark.fault("H32")
@pytest.mark.parametrize("said", [OLDER, PARTIAL, OTHER])
def test_what_may_not_follow_is_refused_before_a_page_and_again_by_the_publisher(
    fresh: World, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    fresh.ols.release = 2
    load_once(fresh.settings)
    settings = replace(fresh.settings, limit=40) if said is PARTIAL else fresh.settings
    if said is OTHER:
        fresh.oracle.ask("update efo_meta.releases set ontology = 'mondo' returning 1")
    fresh.ols.release = 1
    fresh.ols.log.clear()
    with pytest.raises(PublicationRefused, match=said) as early:
        load_once(settings)
    assert len(fresh.ols.log) == 4
    assert not fresh.ols.asked
    assert not fresh.kept
    monkeypatch.setattr(Warehouse, "refuse_unfit", lambda *_: None)
    with pytest.raises(PublicationRefused, match=said) as late:
        load_once(settings)
    assert fresh.ols.asked
    assert str(early.value) == str(late.value)


@pytest.mark.fault("H32")
def test_kept_pages_that_may_not_follow_are_not_staged(loaded: World) -> None:
    load_once(replace(loaded.settings, limit=40, schema="quick_look"))
    loads = loaded.oracle.ask("select count(*) from efo_meta.loads")
    with (
        Warehouse.opened(loaded.settings) as warehouse,
        pytest.raises(PublicationRefused, match=PARTIAL),
    ):
        stage(loaded.settings, warehouse, newest_pages(loaded.settings))
    assert loaded.oracle.ask("select count(*) from efo_meta.loads") == loads


@pytest.mark.fault("H24")
@pytest.mark.parametrize(
    ("versions", "is_refused"),
    [
        (("3.9.0", "3.10.0"), False),
        (("3.10.0", "3.9.0"), True),
        (("2026-01-15", "2025-12-15"), True),
        (("spring", "autumn"), False),
        (("spring", "autumn", "spring"), True),
        (("3.10.0", "beta"), False),
    ],
)
def test_what_is_older_is_told_by_numbers_or_else_by_the_ledger(
    database: DatabaseTarget, versions: tuple[str, ...], *, is_refused: bool
) -> None:
    *before, last = versions
    with Warehouse(database) as warehouse:
        for number, version in enumerate(before):
            publish(warehouse, version, terms=[term("a", f"label {number}")])
        expected = pytest.raises(PublicationRefused) if is_refused else nullcontext()
        with expected:
            publish(warehouse, last, terms=[term("a", "label")])


CHANGE = "update {}.terms set label = 'else' where iri = (select min(iri) from {}.terms)"
DELETE = "delete from {}.terms where iri = (select min(iri) from {}.terms)"
CHANGE_ALL, DELETE_ALL = "update {}.terms set label = 'else'", "delete from {}.terms"
FEWER = "delete from {}.synonyms where ctid in (select ctid from {}.synonyms limit 5)"
FLAT = "delete from {}.ancestors where distance > 1"


@pytest.mark.fault("O12")
@pytest.mark.fault("O18")
@pytest.mark.parametrize(
    ("point", "change"),
    [
        ("C7", CHANGE),
        ("C7", FEWER),
        ("C8", CHANGE),
        ("C8", DELETE),
        ("C8", FEWER),
        ("C8", FLAT),
        ("C9", CHANGE_ALL),
        ("C9", DELETE_ALL),
    ],
)
def test_rows_changed_on_their_way_are_refused_and_staged_anew_by_the_next_run(
    loaded: World, point: str, change: str
) -> None:
    loaded.ols.release = 2
    spoiling = listening(lambda name: spoil(loaded, change) if name == point else None)
    with spoiling, pytest.raises(AuditNotPassed):
        load_once(loaded.settings)
    assert loaded.oracle.assert_well() == 1
    loaded.ols.log.clear()
    load_once(loaded.settings)
    assert loaded.oracle.assert_well() == 2
    assert not loaded.ols.asked


@pytest.mark.fault("O12")
@pytest.mark.parametrize("change", [CHANGE, DELETE])
def test_rows_of_terms_that_no_release_touched_are_published_as_audited(
    loaded: World, change: str
) -> None:
    """The published ones stand, and are proven; staged ones that changed since are not read."""
    loaded.ols.release = 2
    untouched = "select changed_release from public.efo_terms order by iri limit 1"
    spoiling = listening(lambda name: spoil(loaded, change) if name == "C9" else None)
    with spoiling:
        assert load_once(loaded.settings).written > 0
    assert loaded.oracle.ask(untouched) == [(1,)]
    assert loaded.oracle.assert_well() == 2


@pytest.fixture
def second(loaded: World) -> World:
    """Its second release is published; the first one's staged rows became the published ones."""
    loaded.ols.release = 2
    load_once(loaded.settings)
    return loaded


@pytest.mark.fault("O12")
def test_staged_rows_changed_after_their_publication_are_not_published(second: World) -> None:
    spoil(second, CHANGE)
    assert load_once(second.settings).written == 0
    assert second.oracle.assert_well() == 2


@pytest.mark.fault("O12")
def test_published_and_staged_rows_that_were_both_changed_are_mended_by_the_second_run(
    second: World,
) -> None:
    second.oracle.ask("update public.efo_terms set other_labels = '{else}' returning 1")
    spoil(second, CHANGE)
    with pytest.raises(AuditNotPassed, match="staged rows were changed after the audit"):
        load_once(second.settings)
    assert load_once(second.settings).written > 0
    assert second.oracle.assert_well() == 2


@pytest.mark.fault("O12")
def test_the_proof_of_a_publication_outlives_a_change_of_its_staged_rows(second: World) -> None:
    spoiling = listening(lambda name: spoil(second, DELETE) if name == "C8" else None)
    with spoiling:
        assert load_once(second.settings).written == 0
    assert second.oracle.assert_well() == 2, "the ledger's row has its verdicts"
    assert load_once(second.settings).written == 0
    assert second.oracle.assert_well() == 2


def spoil(world: World, change: str) -> None:
    """Change the staged rows of the newest load."""
    ((schema,),) = world.oracle.ask(
        "select 'efo_load_' || load_id from efo_meta.loads where state <> 'dropped'"
        " order by created_at desc limit 1"
    )
    world.oracle.ask(f"{change.format(schema, schema)} returning 1")
