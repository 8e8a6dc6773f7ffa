"""What a class lost as it became obsolete, handed on to what replaces it."""

from typing import Any

import pytest

from efo_assets.sample.ontology import release
from efo_assets.warehouse.warehouse import Warehouse
from efo_assets_tests.databases import connected
from efo_assets_tests.oracle.derived import expected_inherited_xrefs, expected_labels
from efo_assets_tests.oracle.rows import expected_rows
from efo_assets_tests.warehouse.loads import ask, edge, expected, publish, synonym, term, xref

ALLOW_SHRINK = True
MAJORS = (18, 16)
CLASSES = 120
RELEASES = 10
LOST = (
    "select right(curie, 1), synonym, scope, right(inherited_from, 1), lost_in"
    " from efo_inherited_synonyms join efo_terms on id = term_id order by 2, 3"
)
LOST_XREFS = (
    "select right(curie, 1), prefix, accession, lost_in"
    " from efo_inherited_xrefs join efo_terms on id = term_id order by 2, 3"
)


def test_over_ten_releases_it_is_what_the_generator_dropped(warehouse: Warehouse) -> None:
    made = [expected_rows(release(CLASSES, 3, number)) for number in range(1, RELEASES + 1)]
    for number, rows in enumerate(made, 1):
        publish(warehouse, str(number), **expected(rows))
    found = ask(
        warehouse,
        "select t.iri, l.kind, l.text, l.inherited_from, l.lost_in from efo_labels as l"
        " join efo_terms as t on t.id = l.term_id",
    )
    assert set(found) == expected_labels(made[-1], made[:-1])
    assert len(found) == len(set(found))
    lost = [row for row in found if row[-1] is not None]
    assert len({row[-1] for row in lost}) > 1
    for of_term, kind, text, inherited_from, _ in lost:
        hits = ask(
            warehouse, f"select iri, matched, kind, inherited_from from efo_lookup($q${text}$q$)"
        )
        assert (of_term, text, kind, inherited_from) in hits
        (first, *_) = ask(warehouse, f"select iri, matched, kind from efo_search($q${text}$q$)")
        assert first == (of_term, text, f"{kind} (inherited)")
    xrefs = ask(
        warehouse,
        "select t.iri, x.prefix, x.accession, x.inherited_from, x.lost_in"
        " from efo_inherited_xrefs as x join efo_terms as t on t.id = x.term_id",
    )
    assert set(xrefs) == expected_inherited_xrefs(made[-1], made[:-1])
    assert len(xrefs) == len(set(xrefs)) > 3


def states(*, is_obsolete: bool, leads_to: str = "a", **others: Any) -> dict[str, Any]:
    """A release in which EX:o is current, or replaced."""
    old = term("o", is_obsolete=is_obsolete, replaced_by=[f"EX:{leads_to}"] * is_obsolete)
    rows = {"terms": [term("a"), term("b"), term("c"), old], "edges": [edge("b", "a")]}
    return {**rows, **others}


def test_only_what_was_lost_as_it_became_obsolete_is_handed_on(warehouse: Warehouse) -> None:
    names = [
        synonym("o", "lost: one"),
        synonym("o", "lost: one", "related"),
        synonym("o", "kept"),
        synonym("o", "early"),
        synonym("o", "moved"),
        synonym("c", "other"),
    ]
    references = [
        xref("o", "mesh", "D000001"),
        xref("o", "", "no: prefix"),
        xref("o", "umls", "C1"),
    ]
    current = states(is_obsolete=False, synonyms=names, xrefs=references)
    publish(warehouse, "1", **current)
    publish(warehouse, "2", **current | {"synonyms": [*names[:3], *names[4:]]})
    kept = [synonym("o", "kept"), synonym("o", "moved", "broad")]
    replaced = states(is_obsolete=True, synonyms=kept, xrefs=references[2:])
    publish(warehouse, "3", **replaced)
    publish(warehouse, "4", **replaced | {"synonyms": [], "xrefs": []})
    both = [("a", "lost: one", "exact", "o", 3), ("a", "lost: one", "related", "o", 3)]
    assert ask(warehouse, LOST) == both, "what it lost before or later is gone"
    assert ask(warehouse, LOST_XREFS) == [("a", "", "no: prefix", 3), ("a", "mesh", "D000001", 3)]
    assert ask(warehouse, "select count(*) from efo_mesh_terms") == [(0,)]
    assert ask(warehouse, "select synonyms from efo_as_of(4, array['EX:a'])") == [([],)]
    assert ask(warehouse, "select curie, is_ambiguous from efo_lookup('Lost: ONE')") == [
        ("EX:a", False)
    ]
    publish(warehouse, "5", **states(is_obsolete=True, leads_to="b", synonyms=names[:1]))
    assert ask(warehouse, LOST) == [("b", "lost: one", "related", "o", 3)], "it has the other again"
    publish(warehouse, "6", **current)
    assert ask(warehouse, LOST) == [], "it is current"
    publish(warehouse, "7", **states(is_obsolete=True, synonyms=names[2:4]))
    assert ask(warehouse, LOST) == [(*row[:4], 7) for row in (*both, ("a", "moved", "exact", "o"))]


@pytest.mark.parametrize(
    ("condition", "index"),
    [
        ("efo_normalised(synonym) = 'lost name'", "lost_synonym_key"),
        (
            "to_tsvector('pg_catalog.english', efo_folded(synonym)) @@ 'lost'",
            "lost_synonym_lexemes",
        ),
    ],
)
def test_a_lost_name_is_found_by_an_index(warehouse: Warehouse, condition: str, index: str) -> None:
    publish(warehouse, "1", **states(is_obsolete=False, synonyms=[synonym("o", "lost name")]))
    publish(warehouse, "2", **states(is_obsolete=True))
    ask(
        warehouse,
        "insert into efo_changes (release_id, term_id, ordinal, kind, before)"
        " select 1, (select min(id) from efo_terms), n, 'synonym removed', 'exact: name ' || n"
        " from generate_series(1, 20000) as n returning 1",
    )
    with connected(warehouse.target, autocommit=True) as connection:
        connection.execute("analyze public.efo_changes")
    plan = ask(warehouse, f"explain select * from efo_inherited_synonyms where {condition}")
    assert f"efo_changes_{index}_idx" in str(plan)
    assert ask(warehouse, f"select synonym from efo_inherited_synonyms where {condition}") == [
        ("lost name",)
    ]
