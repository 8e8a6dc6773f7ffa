"""The generated ontology: EFO's shape, the same every time, every kind of change in each step."""

import re
import statistics
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
import pytest

from efo_assets.sample.documents import Documents
from efo_assets.sample.ontology import (
    CHANGE_KINDS,
    CONSIDER,
    EFO,
    ODD_SPACES,
    OIO,
    REPLACED_BY,
    SAMPLE,
    SCRIPTS,
    GeneratedClass,
    GeneratedRelease,
    Parent,
    Synonym,
    Xref,
    release,
)
from efo_assets.warehouse import schema, succession
from efo_assets_tests.oracle.derived import words
from efo_assets_tests.oracle.rows import expected_rows
from efo_assets_tests.oracle.tables import Term


def test_the_same_seed_gives_the_same_ontology() -> None:
    first = release(300, 5)
    release.cache_clear()
    assert release(300, 5) == first
    assert release(300, 6) != first


@pytest.mark.fault("D40")
@pytest.mark.parametrize("number", [1, 2])
def test_the_sample_has_no_name_of_efo(number: int) -> None:
    sample, efo = (release(2_000, 1, number, identity) for identity in (SAMPLE, EFO))
    names = {name for each in efo.classes for name in (each.iri, each.curie, each.short_form)}
    for each in sample.classes:
        assert not names & {each.curie or each.iri, each.short_form}
        iris = [each.iri, *(parent.iri for parent in each.parents)]
        for value in (*each.annotations.get(REPLACED_BY, ()), *each.annotations.get(CONSIDER, ())):
            named = words(str(value))
            assert not names & set(named)
            iris += [word for word in named if word.startswith("http")]
        assert all(iri.startswith("http://example.org/") for iri in iris)
    assert (SAMPLE.ontology, SAMPLE.home) == (schema.SAMPLE, succession.SAMPLES)
    documents = [Documents(each, "C").ontology() for each in (sample, efo)]
    owl = "http://www.w3.org/2002/07/owl#"
    for name in ("ontologyId", "iri", "title", f"{owl}versionIRI", f"{owl}versionInfo"):
        assert documents[0][name] != documents[1][name]


@pytest.mark.parametrize("classes", [60, 400])
def test_each_release_has_every_kind_of_change(classes: int) -> None:
    for number in (2, 3):
        before, after = release(classes, 3, number - 1), release(classes, 3, number)
        assert set(after.changes) == set(CHANGE_KINDS)
        old = {each.iri: each for each in before.classes}
        new = {each.iri: each for each in after.classes}
        for kind, iris in after.changes.items():
            assert iris, kind
            for iri in iris:
                assert old.get(iri) != new.get(iri), kind
        differing = {iri for iri in old.keys() | new.keys() if old.get(iri) != new.get(iri)}
        assert differing == {iri for iris in after.changes.values() for iri in iris}


def test_a_release_changes_about_a_quarter_of_a_per_cent() -> None:
    changes = release(8_000, 1, 2).changes
    assert sum(map(len, changes.values())) == pytest.approx(8_000 * 0.0025, rel=0.2)


def test_no_class_is_its_own_ancestor_and_only_deliberate_parents_are_missing() -> None:
    for number in (1, 2, 3):
        made = release(2_000, 4, number)
        assert all(each.iri not in made.ancestors(each) for each in made.classes)
        listed = {each.iri for each in made.classes}
        missing = {p.iri for each in made.classes for p in each.parents} - listed
        assert missing
        assert all("NOWHERE" in iri for iri in missing)


def test_counts_and_sizes_are_near_those_of_efo() -> None:
    made = release(4_000, 1)
    rows = expected_rows(made)
    assert len(rows.terms) == 4_000
    assert len(rows.synonyms) / 4_000 == pytest.approx(255 / 94, rel=0.1)
    assert len(rows.parent_edges) / 4_000 == pytest.approx(150 / 94, rel=0.15)
    assert len(rows.xrefs) / 4_000 == pytest.approx(320 / 94, rel=0.2)
    obsolete = sum(each.is_obsolete for each in made.classes)
    assert obsolete / 4_000 == pytest.approx(0.105, rel=0.2)
    documents = Documents(made, "C")
    sizes = [
        len(msgspec.json.format(msgspec.json.encode(documents.v2_class(each)), indent=2))
        for each in made.classes
    ]
    assert 8_000 <= statistics.mean(sizes) <= 10_500


def test_the_awkward_is_there() -> None:
    made = release(3_000, 1)
    kinds = Counter(type(label).__name__ for each in made.classes for label in each.labels)
    assert kinds["bool"]
    assert kinds["float"]
    texts = [str(synonym.text) for each in made.classes for synonym in each.synonyms]
    for mark in ("\t", "\n", "\\N", "\0", "🧬", "\u202e"):
        assert any(mark in text for text in texts), mark
    values = [xref.value for each in made.classes for xref in each.xrefs]
    assert any(":" not in value for value in values)
    assert any(value.startswith("https://") for value in values)
    assert {value.split(":")[0] for value in values} >= {"MESH", "MeSH", "MSH"}
    assert any(each.has_anonymous_parent for each in made.classes)
    assert any(len(each.labels) > 1 for each in made.classes)


DIRT: dict[str, Callable[[GeneratedClass], bool]] = {
    **{
        f"label with {mark!r}": partial(lambda mark, c: _labelled(c).startswith(mark), mark)
        for mark in ("obsolete_", "obsolete ", "OBSOLETE: ", "obsolete:")
    },
    **{
        f"label with U+{ord(space):04X}": partial(lambda space, c: space in _labelled(c), space)
        for space in ODD_SPACES
    },
    "synonym with odd white space": lambda c: bool(set(_synonymous(c)) & set(ODD_SPACES)),
    **{
        f"label with {script}": partial(lambda script, c: script in _labelled(c), script)
        for script in SCRIPTS
    },
    "another script in a synonym": lambda c: any(each in _synonymous(c) for each in SCRIPTS),
    "no label": lambda c: not c.labels,
    "no CURIE": lambda c: c.curie is None,
    "labels that differ by case": lambda c: len({str(x).lower() for x in c.labels}) < len(c.labels),
    "synonyms that differ by case": lambda c: (
        len({str(s.text).lower() for s in c.synonyms}) < len({str(s.text) for s in c.synonyms})
    ),
    "oboInOwl:hasSynonym": lambda c: f"{OIO}hasSynonym" in _document(c),
    "synonym of another property": lambda c: f"{OIO}hasOtherSynonym" in _document(c),
    "blank synonym": lambda c: any(not words(str(s.text)) for s in c.synonyms),
    "synonyms stripped": lambda c: c.is_obsolete and not c.synonyms,
    "two sources in one axiom": lambda c: any(
        len(x.sources) == 2 and "MONDO:equivalentTo" in x.sources for x in c.xrefs
    ),
    "several references": lambda c: any(re.match("MESH:[^ ]+, UMLS:", x.value) for x in c.xrefs),
    "several addresses": lambda c: any(x.value.count("://") == 2 for x in c.xrefs),
    "references and words": lambda c: any("and others" in x.value for x in c.xrefs),
    "white space round a reference": lambda c: any(x.value != x.value.strip() for x in c.xrefs),
    **{
        f"prefix {prefix}": partial(
            lambda prefix, c: any(x.value.startswith(f"{prefix}:") for x in c.xrefs), prefix
        )
        for prefix in ("KEGG_COMPOUND", "ICD10-CM", "ICD-9", "NCBI_Gene")
    },
    **{
        f"{kind.__name__} for a text": partial(
            lambda kind, c: any(
                type(value) is kind
                for value in (
                    *(*c.labels, *c.definitions, *(s.text for s in c.synonyms)),
                    *(value for values in c.annotations.values() for value in values),
                )
            ),
            kind,
        )
        for kind in (bool, int, float)
    },
    "null, empty text and node without value": lambda c: (
        None in _document(c)["label"] and "" in _document(c)["label"]
    ),
    "odd white space in a replacement": lambda c: any(
        "\u00a0" in str(value) for value in c.annotations.get(REPLACED_BY, ())
    ),
}


def _labelled(each: GeneratedClass) -> str:
    return " ".join(map(str, each.labels[:1]))


def _synonymous(each: GeneratedClass) -> str:
    return "".join(str(synonym.text) for synonym in each.synonyms)


def _document(each: GeneratedClass) -> Any:
    return Documents(GeneratedRelease(1, (each,)), "C").v2_class(each)


@pytest.mark.parametrize("kind", DIRT)
def test_each_kind_of_dirt_is_in_a_release_of_2_000_classes(kind: str) -> None:
    assert any(map(DIRT[kind], release(2_000, 1).classes))


def test_two_classes_differ_by_case_alone() -> None:
    classes = release(2_000, 1).classes
    for value in ("iri", "curie"):
        values = [getattr(each, value) for each in classes if each.curie]
        assert len(set(values)) == len(values) > len({value.lower() for value in values})
    labels = Counter(str(each.labels[0]).lower() for each in classes if len(each.labels) == 1)
    assert max(labels.values()) > 1


def test_synonyms_go_when_a_class_is_obsoleted() -> None:
    stripped = [
        iri
        for number in (2, 3, 4)
        for iri in release(400, 3, number).changes["obsoleted"]
        for each in release(400, 3, number).classes
        if each.iri == iri and not each.synonyms
    ]
    assert stripped


def test_expected_rows_of_a_class_made_by_hand() -> None:
    each = GeneratedClass(
        iri="http://x/A_1",
        curie="A:1",
        labels=("long label", "b", "a"),
        definitions=("short", "the longest"),
        is_obsolete=False,
        is_defining=True,
        parents=(Parent("http://x/A_2", "part_of"), Parent("http://x/gone", "is_a")),
        synonyms=(
            Synonym("s", "exact", False, ((("t2",), ("S:2",)), (("t1",), ("S:1",)))),
            Synonym("alt\0", "broad", True, ()),
        ),
        xrefs=(
            Xref("MSH:D1", (), "http://b"),
            Xref("MeSH:D1", ("MONDO:equivalentTo",), "http://a"),
            Xref("https://x/y", (), None),
            Xref("bare", (), None),
        ),
    )
    other = GeneratedClass("http://x/A_2", "A:2", (2.5,), (), True, False, (), (), ())
    rows = expected_rows(GeneratedRelease(1, (each, other)))
    assert rows.terms == {
        Term(
            iri="http://x/A_1",
            curie="A:1",
            label="a",
            other_labels=("b", "long label"),
            definition="the longest",
            other_definitions=("short",),
            is_obsolete=False,
            is_root=False,
            is_defining=True,
        ),
        Term("http://x/A_2", "A:2", "2.5", (), None, (), True, False, False),
    }
    assert rows.synonyms == {
        ("http://x/A_1", "s", "exact", "t1", ("t2",), ("S:1", "S:2")),
        ("http://x/A_1", "alt\ufffd", "exact", None, (), ()),
    }
    assert rows.parent_edges == {("http://x/A_1", "http://x/A_2", "part_of")}
    assert rows.dangling_edges == {("http://x/A_1", "http://x/gone", "is_a")}
    assert rows.xrefs == {
        (
            "http://x/A_1",
            "mesh",
            "D1",
            "exact",
            ("MONDO:equivalentTo",),
            "http://a",
            ("MSH:D1", "MeSH:D1"),
        ),
        ("http://x/A_1", "url", "https://x/y", "xref", (), "https://x/y", ("https://x/y",)),
        ("http://x/A_1", "", "bare", "xref", (), None, ("bare",)),
    }
