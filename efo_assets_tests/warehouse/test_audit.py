"""The audit: each check passes on a sound load and finds its own offenders."""

import random
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from psycopg.sql import SQL
from psycopg.types.json import Jsonb

from efo_assets.errors import LOAD_COMMAND, AuditNotPassed, DatabaseFull, DatabaseUnavailable
from efo_assets.settings import DatabaseTarget
from efo_assets.warehouse import audit
from efo_assets.warehouse.audit import BLOCKING, CHECKS, Check, Find, Offenders, Verdict
from efo_assets.warehouse.load import Load, content
from efo_assets.warehouse.profile import FEW_ROWS
from efo_assets.warehouse.session import Connection
from efo_assets.warehouse.warehouse import Warehouse
from efo_assets_tests.warehouse.loads import (
    Rows,
    ask,
    edge,
    iri,
    key,
    publish,
    stage,
    synonym,
    term,
    xref,
)

MANY = [term(f"t{number:03}") for number in range(200)]


DERIVED: Rows = {
    "terms": [
        *(term(name) for name in "abcdef"),
        term("old", is_obsolete=True, replaced_by=[iri("a")]),
        term("older", is_obsolete=True, replaced_by=["EX:old"]),
        term("gone", is_obsolete=True),
    ],
    "edges": [edge("b", "a"), edge("c", "b"), edge("c", "a", "part_of"), edge("d", "c")],
    "xrefs": [
        xref("a", "mesh", "D000001"),
        xref("b", "mesh", "d000001 "),
        xref("old", "mesh", "C000009"),
    ],
}


def failed(warehouse: Warehouse, load: Load) -> dict[str, Verdict]:
    return {verdict.check.name: verdict for verdict in warehouse.audit(load) if not verdict.passed}


def test_a_sound_load_passes_every_check(warehouse: Warehouse) -> None:
    load = stage(
        warehouse,
        terms=[term("a"), term("b")],
        synonyms=[synonym("a", "s")],
        edges=[edge("b", "a")],
        xrefs=[xref("a", "mesh", "D000001")],
    )
    assert failed(warehouse, load) == {}
    stored = ask(warehouse, "select check_name, blocking, passed from verdicts")
    assert {name for name, _, _ in stored} == {check.name for check in CHECKS}
    assert {name for name, blocking, _ in stored if blocking} == set(BLOCKING)
    assert all(passed for _, _, passed in stored)


@pytest.mark.parametrize(
    ("check", "rows", "offenders"),
    [
        ("terms_are_complete", {"terms": [term("a")], "expected_terms": 3}, 2),
        ("terms_are_unique", {"terms": [term("a"), term("a", "other")]}, 1),
        (
            "terms_have_labels",
            {"terms": [term("a")], "findings": {"no_label": {"count": 1, "samples": ["a"]}}},
            1,
        ),
        ("synonyms_have_terms", {"terms": [term("a")], "synonyms": [synonym("z", "s")]}, 1),
        (
            "synonyms_are_unique",
            {"terms": [term("a")], "synonyms": [synonym("a", "s"), synonym("a", "s")]},
            1,
        ),
        ("edges_have_terms", {"terms": [term("a")], "edges": [edge("z", "a")]}, 1),
        (
            "edges_are_unique",
            {"terms": [term("a"), term("b")], "edges": [edge("b", "a"), edge("b", "a")]},
            1,
        ),
        ("xrefs_have_terms", {"terms": [term("a")], "xrefs": [xref("z", "mesh", "D000001")]}, 1),
        (
            "xrefs_are_unique",
            {"terms": [term("a")], "xrefs": [xref("a", "M", "1"), xref("a", "M", "1")]},
            1,
        ),
        ("edges_are_not_dangling", {"terms": [term("a")], "edges": [edge("a", "z")]}, 1),
        ("labels_are_unique", {"terms": [term("a", "same"), term("b", "same")]}, 1),
    ],
)
def test_a_check_finds_its_offenders(
    warehouse: Warehouse, check: str, rows: dict[str, Any], offenders: int
) -> None:
    found = failed(warehouse, stage(warehouse, **rows))
    assert set(found) == {check}
    assert found[check].offenders == offenders
    assert found[check].samples, "offenders are listed"


@pytest.mark.fault("P15")
def test_a_dangling_edge_is_kept_aside_and_does_not_block(warehouse: Warehouse) -> None:
    load = stage(warehouse, terms=[term("a"), term("b")], edges=[edge("b", "a"), edge("a", "gone")])
    found = failed(warehouse, load)
    assert found["edges_are_not_dangling"].samples == [
        {"child_iri": iri("a"), "parent_iri": iri("gone")}
    ]
    assert warehouse.publish(load).rows["efo_parent_edges"] == 1


def test_what_was_left_out_is_reported_and_does_not_block(warehouse: Warehouse) -> None:
    warehouse.prepare()
    left_out = {"malformed_xref": {"count": 2, "samples": ["x"]}}
    load = stage(warehouse, terms=[term("a")], findings=left_out)
    found = failed(warehouse, load)["values_are_well_formed"]
    assert (found.offenders, found.check.blocking) == (2, False)


@pytest.mark.fault("P14")
@pytest.mark.parametrize(
    ("edges", "on_cycle"),
    [
        ([("a", "b"), ("b", "a"), ("c", "a"), ("a", "d")], {"a", "b"}),
        ([("a", "b"), ("b", "c"), ("c", "a"), ("c", "d")], {"a", "b", "c"}),
    ],
)
def test_a_cycle_over_is_a_is_found_without_what_hangs_on_it(
    warehouse: Warehouse, edges: list[tuple[str, str]], on_cycle: set[str]
) -> None:
    terms = [term(name) for name in "abcd"]
    found = failed(warehouse, stage(warehouse, terms=terms, edges=[edge(*each) for each in edges]))
    assert set(found) == {"edges_have_no_cycle", "ancestors_follow_every_edge"}
    named = {sample["child_iri"] for sample in found["edges_have_no_cycle"].samples}
    assert named == {iri(name) for name in on_cycle}


@pytest.mark.fault("P16")
def test_a_term_that_is_its_own_parent_is_a_cycle(warehouse: Warehouse) -> None:
    load = stage(warehouse, terms=[term("a")], edges=[edge("a", "a")])
    assert failed(warehouse, load)["edges_have_no_cycle"].offenders == 1


def test_a_cycle_over_part_of_is_none_over_is_a(warehouse: Warehouse) -> None:
    load = stage(
        warehouse,
        terms=[term("a"), term("b")],
        edges=[edge("a", "b", "part_of"), edge("b", "a", "part_of")],
    )
    found = failed(warehouse, load)
    assert set(found) == {"ancestors_follow_every_edge"}
    assert not found["ancestors_follow_every_edge"].check.blocking


@pytest.mark.fault("H27")
@pytest.mark.parametrize(
    ("published", "kept", "blocks"),
    [
        (600, 588, None),
        (600, 587, True),
        (200, 196, None),
        (200, 195, False),
        (200, 201 - FEW_ROWS, False),
        (200, 200 - FEW_ROWS, True),
        (40, 39, False),
        (10, 5, False),
        (10, 4, True),
        (1, 0, True),
    ],
)
def test_a_shrink_of_more_than_two_per_cent_of_terms_is_refused_unless_they_are_few(
    warehouse: Warehouse, published: int, kept: int, blocks: bool | None
) -> None:
    terms = [term(f"t{number}") for number in range(published)]
    publish(warehouse, terms=terms)
    found = failed(warehouse, stage(warehouse, "2", terms=terms[:kept]))
    verdicts = {name: verdict.blocks for name, verdict in found.items()}
    assert verdicts == ({} if blocks is None else {"terms_did_not_shrink": blocks})


def test_a_small_ontology_that_lost_one_of_forty_terms_is_published(warehouse: Warehouse) -> None:
    publish(warehouse, terms=MANY[:40])
    load = stage(warehouse, "2", terms=MANY[:39])
    (verdict,) = failed(warehouse, load).values()
    assert verdict.samples == [{"published": 40, "staged": 39}]
    assert warehouse.publish(load).rows["efo_terms"] == 39


@pytest.mark.fault("P11")
@pytest.mark.parametrize(
    ("unlabelled", "labelled", "blocks"),
    [(10, 0, False), (11, 0, True), (11, 10_989, False), (12, 10_988, True)],
)
def test_a_few_terms_may_lack_a_label_and_are_named_by_their_short_form(
    warehouse: Warehouse, unlabelled: int, labelled: int, blocks: bool
) -> None:
    names = [f"EX_{number:02}" for number in range(unlabelled)]
    # A label that is the short form is a label.
    terms = [term(name, name) for name in (*names, *(f"t{number}" for number in range(labelled)))]
    load = stage(
        warehouse, terms=terms, findings={"no_label": {"count": unlabelled, "samples": names[:5]}}
    )
    found = failed(warehouse, load)
    assert set(found) == {"terms_have_labels"}
    assert (found["terms_have_labels"].blocks, found["terms_have_labels"].offenders) == (
        blocks,
        unlabelled,
    )
    assert found["terms_have_labels"].samples[:2] == ["EX_00", "EX_01"]
    if blocks:
        with pytest.raises(AuditNotPassed, match=r"EFO_ALLOW_SHRINK=1"):
            warehouse.publish(load)
    else:
        assert warehouse.publish(load).rows["efo_terms"] == len(terms)


def test_a_refusal_names_checks_rows_two_samples_and_what_to_do(warehouse: Warehouse) -> None:
    publish(warehouse, terms=MANY)
    load = stage(
        warehouse,
        "2",
        terms=MANY[:100],
        edges=[edge("t001", "t002"), edge("t002", "t003"), edge("t003", "t001")],
    )
    warehouse.audit(load)
    with pytest.raises(AuditNotPassed) as refused:
        warehouse.publish(load)
    said = str(refused.value)
    assert said.startswith(
        "efo 2 is not published, and the release before stays, since the audit refuses it: "
        "terms_did_not_shrink (100 lost rows: published 200 staged 100); "
        "edges_have_no_cycle (3 rows: "
    )
    assert said.count("child_iri") == 2
    assert "EFO_ALLOW_SHRINK=1 publishes it for one run" in said
    assert "report the classes to the ontology's editors" in said
    assert "materialize" not in said, "running again would end here again"
    checks = ("terms_did_not_shrink", "edges_have_no_cycle", "changes_are_plausible")
    assert refused.value.checks == checks


def test_each_check_that_blocks_has_its_advice_and_only_staging_anew_is_run_again() -> None:
    same_again = ("shrink", "plausible", "labels", "cycle", "says")
    for check in CHECKS:
        assert check.overridable == ("EFO_ALLOW_SHRINK=1" in check.advice)
        if check.blocking:
            assert check.name.endswith(same_again) != (LOAD_COMMAND in check.advice)


@pytest.mark.fault("P13")
@pytest.mark.parametrize("allow", [False, True])
def test_a_column_that_fell_empty_is_refused_unless_allowed(
    warehouse: Warehouse,
    allow: bool,
) -> None:
    names = [f"t{number}" for number in range(FEW_ROWS)]
    publish(warehouse, terms=[term(name) for name in names])
    bare = [term(name, definition=None) for name in names]
    warehouse.allow_shrink = allow
    load = stage(warehouse, "2", terms=bare)
    (verdict,) = [
        each for each in warehouse.audit(load) if each.check.name == "terms_are_plausible"
    ]
    assert (verdict.passed, verdict.overridden, verdict.offenders) == (allow, allow, 1)
    assert verdict.samples == [{"column": "definition", "published": FEW_ROWS, "staged": 0}]
    assert verdict.check.blocking


def test_a_column_of_a_few_values_may_fall_empty(warehouse: Warehouse) -> None:
    publish(warehouse, terms=[term("a")])
    load = stage(warehouse, "2", terms=[term("a", definition=None)])
    assert failed(warehouse, load) == {}


def test_replacements_in_a_circle_are_told_when_they_are_new(warehouse: Warehouse) -> None:
    known = term("a", is_obsolete=True, replaced_by=["EX:a"])
    first = stage(warehouse, terms=[known])
    assert set(failed(warehouse, first)) == {"replacements_do_not_loop"}
    warehouse.publish(first)
    other = term("b", is_obsolete=True, replaced_by=["EX:b"])
    found = failed(warehouse, stage(warehouse, "2", terms=[known, other]))[
        "replacements_do_not_loop"
    ]
    assert not found.check.blocking
    assert found.samples == [{"iri": iri("b"), "path": [iri("b"), iri("b")]}]


@pytest.mark.fault("P13")
@pytest.mark.parametrize(("kept", "passes"), [(90, True), (89, False), (0, False)])
def test_a_shrink_of_more_than_ten_per_cent_of_synonyms_is_refused(
    warehouse: Warehouse, kept: int, passes: bool
) -> None:
    synonyms = [synonym("t000", f"s{number}") for number in range(100)]
    publish(warehouse, terms=MANY, synonyms=synonyms)
    found = failed(warehouse, stage(warehouse, "2", terms=MANY, synonyms=synonyms[:kept]))
    blocking = {name for name, verdict in found.items() if verdict.blocks}
    scope_is_lost = {"synonyms_are_plausible"} if kept < 50 else set()
    assert blocking == (set() if passes else {"synonyms_did_not_shrink", *scope_is_lost})


@pytest.mark.fault("P13")
def test_a_scope_that_loses_half_to_another_is_refused(warehouse: Warehouse) -> None:
    exact = [synonym("t000", f"s{number}") for number in range(20)]
    publish(warehouse, terms=MANY, synonyms=exact)
    related = [synonym("t000", f"s{number}", "related") for number in range(11)]
    load = stage(warehouse, "2", terms=MANY, synonyms=[*exact[11:], *related])
    found = failed(warehouse, load)["synonyms_are_plausible"]
    assert found.samples == [{"column": "scope exact", "published": 20, "staged": 9}]


def test_an_allowed_shrink_passes_and_says_so(database: DatabaseTarget) -> None:
    with Warehouse(database, allow_shrink=True) as warehouse:
        publish(warehouse, terms=MANY)
        load = stage(warehouse, "2", terms=MANY[:10])
        verdicts = {verdict.check.name: verdict for verdict in warehouse.audit(load)}
        assert verdicts["terms_did_not_shrink"].passed
        assert verdicts["terms_did_not_shrink"].overridden
        assert warehouse.publish(load).rows["efo_terms"] == 10
        assert ask(warehouse, "select allowed_shrink from releases order by release_id") == [
            (True,),
            (True,),
        ]


def test_a_partial_release_is_no_measure_of_a_whole_one(warehouse: Warehouse) -> None:
    publish(warehouse, terms=MANY, limit=200)
    load = stage(warehouse, "2", terms=MANY[:10], limit=10)
    assert failed(warehouse, load) == {}


def test_a_published_load_keeps_the_verdicts_that_it_was_published_by(
    warehouse: Warehouse,
) -> None:
    publish(warehouse, "1", terms=[term("a")])
    load = stage(warehouse, "2", terms=[term("a"), term("b")])
    warehouse.audit(load)
    warehouse.publish(load)
    checked = "select max(checked_at) from verdicts"
    before = ask(warehouse, checked)
    ask(warehouse, f"update {load.schema}.terms set label = null returning 1")
    assert all(verdict.passed for verdict in warehouse.audit(warehouse.latest()))
    assert ask(warehouse, checked) == before
    # A check that is new since then sees the rows as they are now.
    ask(
        warehouse,
        "delete from verdicts where check_name = 'labels_are_unique'"
        f" and load_id = '{load.load_id}' returning 1",
    )
    with pytest.raises(AuditNotPassed, match="changed after their publication"):
        warehouse.audit(warehouse.latest())
    assert ask(warehouse, checked) == before


LEADS_NOWHERE = "status = 'no_replacement', hops = 0, path = path[:1], target = null"
WRONG = {
    "ancestors_are_closed": [
        "truncate {}.ancestors",
        "delete from {}.ancestors where distance = 2",
        "delete from {}.ancestors where ctid = '(0,1)'",
        "update {}.ancestors set distance = 3 where distance = 2",
        "update {}.ancestors set is_a_distance = 1",
        "update {}.ancestors set is_a_distance = null",
        f"insert into {{}}.ancestors values ({key(iri('f'))}, {key(iri('a'))}, 1, 1)",
        f"insert into {{}}.ancestors values ({key(iri('f'))}, {key(iri('a'))}, 2, 2)",
    ],
    "replacements_are_of_every_obsolete_class": ["delete from {}.replacements where hops = 2"],
    "replacements_lead_where_they_say": [
        "update {}.replacements set status = 'dead_end'",
        "update {}.replacements set status = 'target_missing' where hops = 1",
        "update {}.replacements set status = 'target_missing', target_id = null where hops = 1",
        "update {}.replacements set target_id = null",
        "update {}.replacements set target_id = term_id",
        "update {}.replacements set hops = hops + 1",
        f"update {{}}.replacements set {LEADS_NOWHERE}",
    ],
    "mesh_terms_follow_from_xrefs": [
        "truncate {}.mesh_terms",
        "delete from {}.mesh_terms where not is_own",
        "update {}.mesh_terms set mesh_id = 'D000002'",
        "update {}.mesh_terms set is_own = not is_own",
        "update {}.mesh_terms set is_only_term = true",
        f"insert into {{}}.mesh_terms (term_id, mesh_id) values ({key(iri('f'))}, 'D000001')",
    ],
    "changes_agree_with_both_releases": [
        "truncate {}.changes",
        "delete from {}.changes where kind = 'removed'",
        "update {}.changes set kind = 'added' where kind = 'relabelled'",
        f"insert into {{}}.changes values ({key(iri('a'))}, 99, 'obsoleted', null, null)",
    ],
}
"""Check to changes of derived rows that it must find."""


@pytest.mark.fault("O20")
@pytest.mark.parametrize(
    ("check", "change"), [(check, change) for check, changes in WRONG.items() for change in changes]
)
def test_rows_that_were_derived_wrongly_are_found(
    warehouse: Warehouse, check: str, change: str
) -> None:
    warehouse.allow_shrink = True
    publish(warehouse, **DERIVED)
    others = [term("a", "relabelled"), *DERIVED["terms"][1:4], *DERIVED["terms"][5:], term("g")]
    load = stage(warehouse, "2", **{**DERIVED, "terms": others})
    derive_otherwise(warehouse, load, change)
    found = failed(warehouse, warehouse.latest())
    assert check in found
    assert found[check].check.blocking
    assert found[check].samples


def test_changes_without_a_release_to_compare_with_are_found(warehouse: Warehouse) -> None:
    load = stage(warehouse, **DERIVED)
    insert = f"insert into {{}}.changes values ({key(iri('a'))}, 1, 'added', null, null)"
    derive_otherwise(warehouse, load, insert)
    found = failed(warehouse, warehouse.latest())
    assert found["changes_agree_with_both_releases"].offenders == 1


def derive_otherwise(warehouse: Warehouse, load: Load, change: str) -> None:
    """Change rows as if they had been derived so."""
    with warehouse.connect() as connection:
        connection.execute(change.format(load.schema))
        _, ties = content(connection, load)
        connection.execute("update efo_meta.loads set sealed = %s", [Jsonb(ties)])


def test_rows_are_not_read_again_where_their_keys_stand(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "repeated", None)
    monkeypatch.setattr(audit, "without_terms", None)
    load = stage(warehouse, **DERIVED)
    assert not any(verdict.blocks for verdict in warehouse.audit(load))


ONCE_MORE = "drop index {0}.efo_xrefs_pkey; insert into {0}.xrefs select * from {0}.xrefs limit 1;"
OF_NONE = (
    "alter table {0}.xrefs drop constraint efo_xrefs_term_id_fkey;"
    "insert into {0}.xrefs (term_id, prefix, accession) values (-1, 'umls', 'C');"
)
ANOTHER_KEY = {
    "none": ("xrefs_are_unique", ONCE_MORE),
    "of some rows": (
        "xrefs_are_unique",
        ONCE_MORE
        + "create unique index on {0}.xrefs (term_id, prefix, accession) where term_id < 0",
    ),
    "over an expression": (
        "xrefs_are_unique",
        ONCE_MORE
        + "update {0}.xrefs set url = ctid::text;"
        + "create unique index on {0}.xrefs (term_id, prefix, accession, (url || ''))",
    ),
    "of other columns": (
        "xrefs_are_unique",
        ONCE_MORE
        + "update {0}.xrefs set url = ctid::text;"
        + "create unique index on {0}.xrefs (term_id, url)",
    ),
    "no reference": ("xrefs_have_terms", OF_NONE),
    "a reference that was not checked": (
        "xrefs_have_terms",
        OF_NONE
        + "alter table {0}.xrefs add foreign key (term_id) references {0}.terms (id) not valid",
    ),
    "a reference to others": (
        "xrefs_have_terms",
        OF_NONE
        + "create table public.other (id bigint primary key);"
        + "insert into public.other select distinct term_id from {0}.xrefs;"
        + "alter table {0}.xrefs add foreign key (term_id) references public.other",
    ),
}
"""Check to what makes its offenders, where no key is there that would refuse them."""


@pytest.mark.fault("O20")
@pytest.mark.parametrize(("check", "change"), ANOTHER_KEY.values(), ids=ANOTHER_KEY)
def test_a_key_that_is_not_there_or_is_another_answers_for_nothing(
    warehouse: Warehouse, check: str, change: str
) -> None:
    load = stage(warehouse, **DERIVED)
    derive_otherwise(warehouse, load, change)
    found = failed(warehouse, warehouse.latest())
    assert found[check].blocks
    assert found[check].offenders == 1
    assert found[check].samples


@pytest.mark.parametrize("number", range(20))
def test_ancestors_of_any_edges_are_closed(warehouse: Warehouse, number: int) -> None:
    chance = random.Random(number)
    names = [f"t{each}" for each in range(25)]
    predicates = ("is_a", "is_a", "part_of", "is_a_implied", "http://example.org/other")
    edges = {
        (
            *sorted(chance.sample(names, 2), reverse=chance.random() < 0.95),
            chance.choice(predicates),
        )
        for _ in range(60)
    }
    load = stage(
        warehouse, terms=[term(name) for name in names], edges=[edge(*each) for each in edges]
    )
    assert set(failed(warehouse, load)) <= {"edges_have_no_cycle", "ancestors_follow_every_edge"}


def audited(
    warehouse: Warehouse, load: Load, find: Find, connect: Callable[[], Connection] | None = None
) -> list[Verdict]:
    """Audit by two checks that find what `find` does, over connections of `connect`."""
    checks = [
        replace(check, find=find)
        for check in CHECKS
        if check.name in {"terms_are_unique", "synonyms_are_unique"}
    ]
    with warehouse.connect() as connection:
        connect = connect or warehouse.connect
        return audit.audit(connection, load, checks=checks, connect=connect)


def test_two_connections_share_the_checks_and_see_one_snapshot(warehouse: Warehouse) -> None:
    load, meeting = stage(warehouse, terms=[term("a")]), threading.Barrier(2, timeout=30)
    seen = []

    def find(connection: Connection, _: Load, __: Check) -> Offenders:
        meeting.wait()
        seen.append(connection.row("select pg_current_snapshot()::text, pg_backend_pid()"))
        return Offenders(0, [])

    def connect_later() -> Connection:
        connection = warehouse.connect()
        connection.execute("select pg_current_xact_id()")
        return connection

    audited(warehouse, load, find, connect_later)
    (snapshot, process), (other_snapshot, other_process) = seen
    assert snapshot == other_snapshot
    assert process != other_process


def test_what_fails_over_the_second_connection_stores_no_verdict(warehouse: Warehouse) -> None:
    load, meeting = stage(warehouse, terms=[term("a")]), threading.Barrier(2, timeout=30)

    def find(_: Connection, __: Load, ___: Check) -> Offenders:
        meeting.wait()
        if threading.current_thread() is not threading.main_thread():
            raise DatabaseFull("no room")
        return Offenders(0, [])

    with pytest.raises(DatabaseFull):
        audited(warehouse, load, find)
    assert ask(warehouse, "select count(*) from verdicts") == [(0,)]


def test_a_failure_does_not_wait_for_what_the_second_connection_does(warehouse: Warehouse) -> None:
    load, meeting = stage(warehouse, terms=[term("a")]), threading.Barrier(2, timeout=30)

    def find(connection: Connection, _: Load, __: Check) -> Offenders:
        meeting.wait()
        if threading.current_thread() is threading.main_thread():
            raise DatabaseFull("no room")
        connection.execute("select pg_sleep(600)")
        return Offenders(0, [])

    with pytest.raises(DatabaseFull):
        audited(warehouse, load, find)


@pytest.mark.parametrize("reason", ["none is left", "it gets no answer"])
def test_where_no_second_connection_can_be_had_one_does_all(
    warehouse: Warehouse, reason: str
) -> None:
    load = stage(warehouse, terms=[term("a")])

    def connect() -> Connection:
        if reason == "none is left":
            raise DatabaseUnavailable("no connection left")
        # As behind a pooler whose sessions are all in use.
        connection = warehouse.connect()
        connection.settings += SQL("; set local lock_timeout = 0; select pg_advisory_xact_lock(1)")
        return connection

    with warehouse.connect() as holder, holder.transaction():
        holder.execute("select pg_advisory_xact_lock(1)")
        verdicts = audited(warehouse, load, lambda *_: Offenders(0, []), connect)
    assert len(verdicts) == 2
