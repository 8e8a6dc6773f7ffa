"""Views and functions over the published tables, on small made-up releases."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from efo_assets.warehouse import embedded
from efo_assets.warehouse.views import VIEWS
from efo_assets.warehouse.warehouse import Warehouse
from efo_assets_tests.databases import connected
from efo_assets_tests.warehouse.loads import ask, edge, iri, publish, synonym, term, xref

MAJORS = (18, 16)
ALLOW_SHRINK = True


@pytest.fixture
def warehouse_with_trigrams(monkeypatch: pytest.MonkeyPatch) -> Iterator[Warehouse]:
    """On a PostgreSQL of this machine's own, since the embedded one comes without pg_trgm."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/lib/pg_trgm.so"))
    if not found:
        pytest.skip("no PostgreSQL with pg_trgm on this machine: apt install postgresql")
    installation = found[-1].parents[1]
    major = int(installation.name)
    monkeypatch.setattr(embedded, "_installation", lambda _: installation)
    folder = Path(tempfile.mkdtemp(prefix="efo-v-"))
    folder.chmod(0o755)
    try:
        with embedded.embedded_server(folder, major=major, is_durable=False) as target:
            with connected(target) as admin:
                admin.execute("create schema trigrams")
                admin.execute("create extension pg_trgm schema trigrams")
            with Warehouse(target, allow_shrink=True) as made:
                yield made
    finally:
        embedded.remove(folder, major=major)
        shutil.rmtree(folder)


def lookup(warehouse: Warehouse, text: str) -> list[Any]:
    return ask(
        warehouse,
        "select right(curie, 1), kind, inherited_from is not null, is_ambiguous"
        f" from efo_lookup($${text}$$)",
    )


def test_a_text_is_found_whatever_its_case_and_punctuation(warehouse: Warehouse) -> None:
    publish(
        warehouse,
        terms=[term("a", "Crohn's disease"), term("b", "b"), term("c", "c")],
        synonyms=[
            synonym("b", "Crohn\u2019s  Disease", "exact"),
            synonym("c", "crohn s disease", "broad"),
        ],
    )
    found = [
        ("a", "label", False, False),
        ("b", "exact", False, False),
        ("c", "broad", False, False),
    ]
    for text in (
        "Crohn's disease",
        "CROHN\u2019S DISEASE",
        "crohn-s disease",
        " Crohn's, disease. ",
    ):
        assert lookup(warehouse, text) == found
    assert lookup(warehouse, "crohns disease") == []


def test_two_terms_of_the_same_standing_are_ambiguous(warehouse: Warehouse) -> None:
    publish(
        warehouse,
        terms=[term("a", "x"), term("b", "b"), term("c", "c")],
        synonyms=[synonym("b", "x"), synonym("c", "x")],
    )
    assert lookup(warehouse, "X") == [
        ("a", "label", False, False),
        ("b", "exact", False, True),
        ("c", "exact", False, True),
    ]


def test_names_of_what_a_term_replaces_lead_to_it(warehouse: Warehouse) -> None:
    publish(
        warehouse,
        terms=[
            term("a", "new name"),
            term("b", "old name", is_obsolete=True, replaced_by=["EX:c"]),
            term("c", "older name", is_obsolete=True, replaced_by=["EX:a"]),
            term("d", "lost name", is_obsolete=True),
        ],
        synonyms=[synonym("b", "nick name", "related")],
    )
    assert lookup(warehouse, "old name") == [("a", "label", True, False)]
    assert lookup(warehouse, "older name") == [("a", "label", True, False)]
    assert lookup(warehouse, "nick name") == [("a", "related", True, False)]
    assert lookup(warehouse, "lost name") == []
    assert ask(
        warehouse,
        "select text, inherited_from from efo_labels join efo_terms on id = term_id"
        " where curie = 'EX:a' order by text",
    ) == [
        ("new name", None),
        ("nick name", iri("b")),
        ("old name", iri("b")),
        ("older name", iri("c")),
    ]


@pytest.mark.fault("P31")
@pytest.mark.parametrize("mark", ["obsolete_", "obsolete ", "OBSOLETE: ", "obsolete:"])
def test_a_replaced_class_is_found_by_its_name_without_the_mark(
    warehouse: Warehouse, mark: str
) -> None:
    name = "filaggrin gene expression measurement"
    replaced = {"is_obsolete": True, "replaced_by": ["EX:a"]}
    publish(
        warehouse,
        terms=[
            term("a", "filaggrin amount"),
            term("b", mark + name, **replaced),
            term("c", "other", other_labels=[f"{mark}second name"], **replaced),
            term("d", f"{mark}thing"),
        ],
        synonyms=[synonym("c", f"{mark}nick name", "related")],
    )
    assert lookup(warehouse, name) == [("a", "label", True, False)]
    assert lookup(warehouse, mark + name) == [("a", "label", True, False)]
    assert lookup(warehouse, "Second name") == [("a", "other label", True, False)]
    assert lookup(warehouse, "nick name") == [("a", "related", True, False)]
    assert lookup(warehouse, f"{mark}thing") == [("d", "label", False, False)]
    assert lookup(warehouse, "thing") == [], "a current class bears its whole name"
    assert ask(warehouse, f"select kind from efo_labels where text = '{mark}{name}'"), "as it is"


def test_a_label_that_was_not_chosen_is_found(warehouse: Warehouse) -> None:
    publish(warehouse, terms=[term("a", "short", other_labels=["much longer"])])
    assert lookup(warehouse, "Much Longer") == [("a", "other label", False, False)]


def test_terms_below_and_above_by_iri_or_curie(warehouse: Warehouse) -> None:
    publish(
        warehouse,
        terms=[term(name) for name in "abcd"],
        edges=[edge("b", "a"), edge("c", "b"), edge("d", "c", "part_of")],
    )
    below = "select right(curie, 1), distance from efo_descendants({}) order by 2"
    assert ask(warehouse, below.format("'EX:a'")) == [("b", 1), ("c", 2)]
    assert ask(warehouse, below.format(f"'{iri('a')}'")) == [("b", 1), ("c", 2)]
    assert ask(warehouse, below.format("'EX:a', true")) == [("b", 1), ("c", 2), ("d", 3)]
    above = "select right(curie, 1), distance from efo_ancestors_of({}) order by 2"
    assert ask(warehouse, above.format("'EX:c'")) == [("b", 1), ("a", 2)]
    assert ask(warehouse, above.format("'EX:d'")) == []
    assert ask(warehouse, above.format("'EX:d', true")) == [("c", 1), ("b", 2), ("a", 3)]
    assert ask(warehouse, below.format("'EX:nobody'")) == []


def test_words_are_found_in_labels_and_synonyms(warehouse: Warehouse) -> None:
    publish(
        warehouse,
        terms=[
            term("a", "chronic kidney diseases"),
            term("b", "b"),
            term("c", "obsolete kidney disease", is_obsolete=True),
        ],
        synonyms=[synonym("b", "disease of the kidney")],
    )
    found = ask(warehouse, "select right(curie, 1), kind from efo_search('kidney disease')")
    assert found == [("a", "label"), ("b", "exact")]
    assert ask(warehouse, "select count(*) from efo_search('kidney disease', 1)") == [(1,)]
    assert ask(warehouse, "select count(*) from efo_search('kidney -chronic')") == [(1,)]
    assert ask(warehouse, "select count(*) from efo_search('')") == [(0,)]


def mesh(warehouse: Warehouse) -> list[Any]:
    return ask(
        warehouse,
        "select mesh_id, right(curie, 1), mesh_kind, relation, is_own, via, is_only_term,"
        " is_only_mesh_id from efo_mesh_terms join efo_terms on id = term_id order by 1, 2",
    )


def test_mesh_leads_to_current_terms_by_the_strongest_evidence(warehouse: Warehouse) -> None:
    exact = (*xref("a", "mesh", "D000001")[:3], "exact", ["MONDO:equivalentTo"], None, [])
    publish(
        warehouse,
        terms=[
            term("a"),
            term("b"),
            term("o", is_obsolete=True, replaced_by=["EX:a"]),
            term("p", is_obsolete=True, replaced_by=["EX:a", "EX:b"]),
        ],
        xrefs=[
            exact,
            xref("b", "mesh", "D000001"),
            xref("o", "mesh", "D000001"),
            xref("o", "mesh", "c000000002"),
            xref("p", "mesh", "Q000003"),
            xref("b", "mesh", "C04.588"),
            xref("b", "umls", "D000009"),
        ],
    )
    assert mesh(warehouse) == [
        ("C000000002", "a", "supplementary", "xref", False, [iri("o")], True, False),
        ("D000001", "a", "descriptor", "exact", True, [iri("o")], False, False),
        ("D000001", "b", "descriptor", "xref", True, [], False, True),
    ]
    assert ask(
        warehouse,
        "select offenders, blocking from verdicts where check_name = 'mesh_ids_are_well_formed'",
    ) == [(1, False)]


def test_what_is_made_tells_its_purpose_and_is_made_once(warehouse: Warehouse) -> None:
    publish(warehouse, terms=[term("a")])
    oids = ask(warehouse, "select oid from pg_proc where pronamespace = 'public'::regnamespace")
    publish(warehouse, "2", terms=[term("a"), term("b")])
    assert (
        ask(warehouse, "select oid from pg_proc where pronamespace = 'public'::regnamespace")
        == oids
    )
    comments = {
        each[0]
        for each in ask(
            warehouse,
            "select description from pg_description join pg_proc on pg_proc.oid = objoid"
            " union all select description from pg_description"
            " join pg_class on pg_class.oid = objoid where relkind = 'v' and objsubid = 0",
        )
    }
    assert comments >= {view.comment for view in VIEWS}


def test_an_older_definition_is_replaced(warehouse: Warehouse) -> None:
    publish(warehouse, terms=[term("a")])
    with warehouse.connect() as connection:
        connection.execute("comment on view public.efo_mesh_xrefs is 'as it was'")
        connection.execute("comment on function public.efo_lookup (text) is null")
    publish(warehouse, "2", terms=[term("a"), term("b")])
    assert ask(
        warehouse, "select obj_description('efo_mesh_xrefs'::regclass) like '%definition 2)'"
    ) == [(True,)]
    assert ask(
        warehouse, "select obj_description('efo_lookup(text)'::regprocedure) like 'Current terms%'"
    ) == [(True,)]


MISSPELT = "select right(curie, 1), kind from efo_search('cronic kidny diseese')"


def test_with_pg_trgm_what_is_spelled_alike_is_found_too(
    warehouse_with_trigrams: Warehouse,
) -> None:
    publish(
        warehouse_with_trigrams,
        terms=[
            term("a", "chronic kidney disease"),
            term("b", "b"),
            term("c", "liver failure"),
            term("d", "chronic kidney disease (old)", is_obsolete=True),
        ],
        synonyms=[synonym("b", "a chronic disease of the kidney", "related")],
    )
    assert ask(warehouse_with_trigrams, MISSPELT) == [
        ("a", "label (fuzzy)"),
        ("b", "related (fuzzy)"),
    ]


def test_without_pg_trgm_only_words_are_found(warehouse: Warehouse) -> None:
    publish(warehouse, terms=[term("a", "chronic kidney disease")])
    assert ask(warehouse, MISSPELT) == []
