"""A release that is whole but not plausible is refused; a large one that may be true is not."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, TypeAlias

import pytest

from efo_assets.errors import AuditNotPassed
from efo_assets.sample.ontology import release
from efo_assets.warehouse.audit import refusal
from efo_assets.warehouse.load import Load
from efo_assets.warehouse.profile import FEW_CLASSES, FEW_ROWS
from efo_assets.warehouse.warehouse import Warehouse
from efo_assets_tests.oracle.rows import expected_rows
from efo_assets_tests.oracle.tables import ExpectedRows, Term
from efo_assets_tests.warehouse.loads import ask, expected, publish, stage, synonym, term

CLASSES, SEED = 1200, 5
Edit: TypeAlias = Callable[[ExpectedRows], ExpectedRows]


@cache
def rows(number: int = 1) -> ExpectedRows:
    return expected_rows(release(CLASSES, SEED, number))


def each_row(table: str, edit: Callable[[Any], Any]) -> Edit:
    """An edit of every row of a table; None drops the row."""

    def edited(made: ExpectedRows) -> ExpectedRows:
        changed = frozenset(map(edit, getattr(made, table))) - {None}
        return replace(made, **{table: changed})

    return edited


def some_terms(share: float, edit: Callable[[Term], Term]) -> Edit:
    """An edit of this share of the terms."""

    def edited(made: ExpectedRows) -> ExpectedRows:
        terms = sorted(made.terms)
        count = round(len(terms) * share)
        return replace(made, terms=frozenset([*map(edit, terms[:count]), *terms[count:]]))

    return edited


def part_of(change: Callable[[Any], Any]) -> Edit:
    return each_row(
        "parent_edges", lambda edge: change(edge) if edge.predicate == "part_of" else edge
    )


IMPLAUSIBLE: dict[str, tuple[Edit, str, str]] = {
    "all labels are IRIs": (
        each_row("terms", lambda each: each._replace(label=each.iri)),
        "changes_are_plausible",
        r"published 1,200 touched 1,200, relabelled 1,200",
    ),
    "all labels are equal": (
        each_row("terms", lambda each: each._replace(label="a label")),
        "changes_are_plausible",
        r"published 1,200 touched 1,200, relabelled 1,200",
    ),
    "99 % of definitions are gone": (
        some_terms(0.99, lambda each: each._replace(definition=None, other_definitions=())),
        "terms_are_plausible",
        r"column definition published \d+ staged \d+",
    ),
    "every part_of is gone": (
        part_of(lambda _: None),
        "parent_edges_are_plausible",
        r"column predicate part_of published \d+ staged 0",
    ),
    "every part_of is is_a": (
        part_of(lambda edge: edge._replace(predicate="is_a")),
        "parent_edges_are_plausible",
        r"column predicate part_of published \d+ staged 0",
    ),
    "all exact synonyms are related": (
        each_row(
            "synonyms",
            lambda each: each._replace(scope="related") if each.scope == "exact" else each,
        ),
        "synonyms_are_plausible",
        r"column scope exact published [\d,]+ staged 0",
    ),
    "every MeSH reference has another prefix": (
        each_row(
            "xrefs", lambda each: each._replace(prefix="msh2") if each.prefix == "mesh" else each
        ),
        "mesh_terms_are_plausible",
        r"column rows published \d+ staged 0",
    ),
    "every replacement leads nowhere": (
        each_row(
            "terms",
            lambda each: each._replace(
                replaced_by=tuple(
                    f"http://nowhere.example/{number}" for number, _ in enumerate(each.replaced_by)
                ),
                consider=(),
            ),
        ),
        "replacements_are_plausible",
        r"column target_id published \d+ staged 0",
    ),
    "all sources of synonyms are gone": (
        each_row("synonyms", lambda each: each._replace(sources=())),
        "synonyms_are_plausible",
        r"column sources published [\d,]+ staged 0",
    ),
    "all relations of references are plain": (
        each_row("xrefs", lambda each: each._replace(relation="xref")),
        "xrefs_are_plausible",
        r"column relation exact published [\d,]+ staged 0",
    ),
    "every class is obsolete": (
        each_row("terms", lambda each: each._replace(is_obsolete=True)),
        "changes_are_plausible",
        r"obsoleted 1,0\d\d",
    ),
    "no class is defining": (
        each_row("terms", lambda each: each._replace(is_defining=False)),
        "terms_are_plausible",
        r"column is_defining published \d+ staged 0",
    ),
    "no CURIEs": (
        each_row("terms", lambda each: each._replace(curie=None)),
        "terms_are_plausible",
        r"column curie published 1,[\d]+ staged 0",
    ),
}


def next_release(warehouse: Warehouse, edit: Edit, number: int = 1) -> Load:
    """Publish the first release, then stage the edited one."""
    publish(warehouse, **distinct(rows()))
    return stage(warehouse, "2", **distinct(edit(rows(number))))


def distinct(made: ExpectedRows) -> dict[str, Any]:
    """The rows to be staged, each key once, as the decoder gives them."""
    staged = expected(made)
    keys = {
        "terms": slice(0, 1),
        "synonyms": slice(0, 3),
        "edges": slice(0, 3),
        "xrefs": slice(0, 3),
    }
    return {
        name: list({tuple(row[keys[name]]): row for row in each}.values())
        for name, each in staged.items()
    }


def found(warehouse: Warehouse, load: Load) -> dict[str, bool]:
    """The checks of plausibility that found something, and whether each blocks."""
    return {
        verdict.check.name: verdict.blocks
        for verdict in warehouse.audit(load)
        if not verdict.passed and verdict.check.name.endswith("_are_plausible")
    }


@pytest.mark.fault("P45")
@pytest.mark.parametrize("case", IMPLAUSIBLE)
def test_an_implausible_release_is_refused_unless_allowed(warehouse: Warehouse, case: str) -> None:
    edit, check, said = IMPLAUSIBLE[case]
    load = next_release(warehouse, edit)
    assert found(warehouse, load)[check]
    before = ask(warehouse, "select count(*), sum(hashtext(t::text)) from efo_terms as t")
    with pytest.raises(AuditNotPassed, match=rf"{check} \(.*{said}") as refused:
        warehouse.publish(load)
    assert "EFO_ALLOW_SHRINK=1" in str(refused.value)
    assert ask(warehouse, "select count(*), sum(hashtext(t::text)) from efo_terms as t") == before
    warehouse.allow_shrink = True
    warehouse.audit(load)
    assert warehouse.publish(load).is_new
    assert (check, True) in ask(
        warehouse,
        "select check_name, (detail ->> 'overridden')::boolean from verdicts"
        f" where load_id = '{load.load_id}'",
    )


def test_a_release_that_was_let_pass_is_not_refused_by_an_upgrade(warehouse: Warehouse) -> None:
    """A version with a check more audits what stands anew, without the override of that time."""
    publish(warehouse, "1", **expected(rows()))
    edited = each_row("terms", lambda each: each._replace(label=each.iri))(rows())
    warehouse.allow_shrink = True
    load = stage(warehouse, "2", **expected(edited))
    warehouse.audit(load)
    warehouse.publish(load)
    warehouse.allow_shrink = False
    with warehouse.connect() as connection:
        connection.execute("delete from efo_meta.verdicts where check_name = 'terms_are_unique'")
    again = warehouse.reusable(load.source)
    assert again is not None
    assert again.state == "published"
    assert refusal(again, warehouse.audit(again)) is None
    assert not warehouse.publish(again).is_new


def test_the_generators_releases_are_plausible(warehouse: Warehouse) -> None:
    for number in range(1, 5):
        load = stage(warehouse, str(number), **distinct(rows(number)))
        assert found(warehouse, load) == {}
        warehouse.publish(load)


@pytest.mark.parametrize(
    ("share", "expected_to_be"),
    [(0.1, {}), (0.15, {"changes_are_plausible": False}), (0.21, {"changes_are_plausible": True})],
)
def test_a_large_release_passes_a_larger_one_warns_and_one_beyond_belief_is_refused(
    warehouse: Warehouse, share: float, expected_to_be: dict[str, bool]
) -> None:
    edit = some_terms(share, lambda each: each._replace(label=f"{each.label}, said otherwise"))
    load = next_release(warehouse, edit)
    assert found(warehouse, load) == expected_to_be
    if not any(expected_to_be.values()):
        assert warehouse.publish(load).is_new


def test_new_classes_of_any_number_are_plausible(warehouse: Warehouse) -> None:
    publish(warehouse, terms=[term(f"t{number}") for number in range(100)])
    load = stage(warehouse, "2", terms=[term(f"t{number}") for number in range(300)])
    assert found(warehouse, load) == {}


@pytest.mark.parametrize(
    ("before", "after", "blocks"),
    [
        ([("exact", 9)], [("related", 9)], None),
        ([("exact", FEW_ROWS)], [("related", FEW_ROWS)], True),
        ([("exact", 100)], [("exact", 80), ("related", 20)], False),
    ],
)
def test_what_an_editor_can_do_in_a_small_ontology_does_not_block(
    warehouse: Warehouse,
    before: Sequence[tuple[str, int]],
    after: Sequence[tuple[str, int]],
    blocks: bool | None,
) -> None:
    def rows_of(scopes: Sequence[tuple[str, int]]) -> dict[str, Any]:
        return {
            "terms": [term("a")],
            "synonyms": [
                synonym("a", f"s{number}", scope)
                for scope, count in scopes
                for number in range(count)
            ],
        }

    publish(warehouse, **rows_of(before))
    verdicts = found(warehouse, stage(warehouse, "2", **rows_of(after)))
    assert verdicts == ({} if blocks is None else {"synonyms_are_plausible": blocks})


@pytest.mark.parametrize(("count", "blocks"), [(FEW_CLASSES, None), (FEW_CLASSES + 1, True)])
def test_a_small_ontology_may_be_renamed_whole(
    warehouse: Warehouse, count: int, blocks: bool | None
) -> None:
    names = [f"t{number}" for number in range(count)]
    publish(warehouse, terms=[term(name) for name in names])
    load = stage(warehouse, "2", terms=[term(name, f"new {name}") for name in names])
    assert found(warehouse, load) == ({} if blocks is None else {"changes_are_plausible": blocks})


def test_a_release_of_another_format_is_not_compared(warehouse: Warehouse) -> None:
    publish(warehouse, **distinct(rows()))
    ask(warehouse, "update loads set format_version = 1 returning 1")
    edit, _, _ = IMPLAUSIBLE["all exact synonyms are related"]
    assert found(warehouse, stage(warehouse, "2", **distinct(edit(rows())))) == {}


def test_the_profile_of_a_release_is_kept_with_its_verdicts(warehouse: Warehouse) -> None:
    done = publish(warehouse, **distinct(rows()))
    profiles = warehouse.digest().profiles
    for scope, count in ask(warehouse, "select scope, count(*) from efo_synonyms group by scope"):
        assert profiles["synonyms"][f"scope {scope}"] == count
    ((definitions,),) = ask(warehouse, "select count(definition) from efo_terms")
    assert profiles["terms"]["definition"] == definitions
    assert profiles["mesh_terms"]["rows"] == done.rows["efo_mesh_terms"]
