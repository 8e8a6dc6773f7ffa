"""The decoding pass: every value shape of OLS v2 becomes the rows that the contract says."""

import json
from array import array
from contextlib import suppress
from typing import Any

import pytest

from efo_assets.errors import RecordRejected
from efo_assets.ols.payload import PayloadError, parse, refuse_repeated_keys
from efo_assets.ols.records import (
    ANNOTATIONS,
    COLUMNS,
    KEY_LIMIT_BYTES,
    OWL_THING,
    RELATIONS,
    SCOPES,
    Findings,
    TermKeys,
    decode_page,
    iri_hash,
    parse_page,
)
from efo_assets.ols.release import OWL_VERSION_INFO, OWL_VERSION_IRI, Release, Totals

OIO = "http://www.geneontology.org/formats/oboInOwl#"
SKOS = "http://www.w3.org/2004/02/skos/core#"
EFO = "http://www.ebi.ac.uk/efo/"
IRI = "http://www.ebi.ac.uk/efo/EFO_0000001"
PART_OF = "http://purl.obolibrary.org/obo/BFO_0000050"
DEVELOPS_FROM = "http://purl.obolibrary.org/obo/RO_0002202"
SUBCLASS_OF = "http://www.w3.org/2000/01/rdf-schema#subClassOf"
DEFINITION = "http://purl.obolibrary.org/obo/IAO_0000115"


NEW = TermKeys(b"", b"", 1)


class Decoded:
    """The rows of one page, by IRI, and the findings; of terms the columns by name."""

    def __init__(self, *classes: dict[str, Any], body: bytes | None = None) -> None:
        rows: dict[str, list[Any]] = {name: [] for name in COLUMNS}
        self.findings = Findings()
        page = body or page_of(*classes)
        sinks = {name: table.append for name, table in rows.items()}
        self.count = decode_page(parse_page(page), sinks, self.findings, NEW)
        for name, columns in COLUMNS.items():
            assert {len(row) for row in rows[name]} <= {len(columns)}
        self.terms = [dict(zip(COLUMNS["terms"], row, strict=True)) for row in rows["terms"]]
        iris = {term["id"]: term["iri"] for term in self.terms}
        self.synonyms, self.parent_edges, self.xrefs = (
            [(iris[key], *values) for key, *values in rows[name]]
            for name in ("synonyms", "parent_edges", "xrefs")
        )


def page_of(*classes: dict[str, Any]) -> bytes:
    return json.dumps({"page": 0, "totalElements": 1, "elements": classes}).encode()


def a_class(**fields: Any) -> dict[str, Any]:
    return {"iri": IRI, "label": "a label", **fields}


def reified(value: Any, *axioms: dict[str, Any]) -> dict[str, Any]:
    return {"type": ["reification"], "value": value, "axioms": list(axioms)}


def test_a_plain_class_is_one_term() -> None:
    found = Decoded(
        a_class(
            curie="EFO:0000001",
            isObsolete=False,
            isDefiningOntology=True,
            **{DEFINITION: "What it is."},
        )
    )
    (term,) = found.terms
    assert {name: value for name, value in term.items() if value} == {
        "id": 1,
        "iri": IRI,
        "curie": "EFO:0000001",
        "label": "a label",
        "definition": "What it is.",
        "is_root": True,
        "is_defining": True,
    }
    assert found.count == 1
    assert not found.findings.counts


@pytest.mark.parametrize(
    "value",
    ["x", ["x"], [["x"]], reified("x"), [reified("x", {"p": "q"})], reified(["x"]), ["x", "x"]],
    ids=["scalar", "list", "nested", "reified", "reified in list", "list in reified", "twice"],
)
def test_every_shape_of_a_value_is_the_same_text(value: Any) -> None:
    (term,) = Decoded(a_class(label=value)).terms
    assert (term["label"], term["other_labels"]) == ("x", [])


@pytest.mark.parametrize(
    ("value", "text"), [(True, "true"), (False, "false"), (1.0, "1"), (1.5, "1.5"), (7, "7")]
)
@pytest.mark.fault("P10")
def test_a_literal_that_is_no_text_becomes_one(value: Any, text: str) -> None:
    assert Decoded(a_class(label=value)).terms[0]["label"] == text


def test_of_several_labels_the_shortest_is_chosen_and_the_others_kept() -> None:
    (term,) = Decoded(a_class(label=["longer", "bb", "aa"])).terms
    assert (term["label"], term["other_labels"]) == ("aa", ["bb", "longer"])


def test_of_several_definitions_the_longest_is_chosen_and_the_others_kept() -> None:
    (term,) = Decoded(a_class(**{DEFINITION: ["bb", "long one", "aa"]})).terms
    assert (term["definition"], term["other_definitions"]) == ("long one", ["aa", "bb"])


@pytest.mark.fault("P11")
@pytest.mark.parametrize("label", [None, "", [], " \u200b", {"no": "value"}], ids=repr)
@pytest.mark.parametrize(
    ("iri", "short_form"),
    [
        ("http://www.ebi.ac.uk/efo/EFO_0000408", "EFO_0000408"),
        ("http://example.org/ontology#Part", "Part"),
        ("urn:x:1", "urn:x:1"),
        ("http://example.org/ends/", "ends/"),
    ],
)
def test_the_short_form_stands_for_a_missing_label(label: Any, iri: str, short_form: str) -> None:
    assert Decoded({"iri": iri, "label": label}).terms[0]["label"] == short_form


def test_an_obsolete_class_is_no_root() -> None:
    (term,) = Decoded(a_class(isObsolete=True, directParent=OWL_THING)).terms
    assert (term["is_obsolete"], term["is_root"]) == (True, False)


def test_owl_thing_is_neither_parent_nor_term() -> None:
    found = Decoded(a_class(directParent=[OWL_THING]), {"iri": OWL_THING, "label": "Thing"})
    assert found.parent_edges == []
    assert [term["iri"] for term in found.terms] == [IRI]
    assert found.count == 1
    assert found.findings.counts == {"owl_thing": 1}


def test_each_synonym_predicate_has_its_scope() -> None:
    found = Decoded(
        a_class(
            **{
                f"{OIO}hasExactSynonym": "e",
                f"{OIO}hasRelatedSynonym": ["r"],
                f"{OIO}hasNarrowSynonym": [reified("n")],
                f"{OIO}hasBroadSynonym": "b",
                "http://www.ebi.ac.uk/efo/alternative_term": ["a", "e"],
            }
        )
    )
    assert {(row[1], row[2]) for row in found.synonyms} == {
        ("e", "exact"),
        ("a", "exact"),
        ("r", "related"),
        ("n", "narrow"),
        ("b", "broad"),
    }
    assert len(found.synonyms) == 5


SOURCE = f"{OIO}hasDbXref"
UNSCOPED = f"{OIO}hasSynonym"
EXACT = f"{OIO}hasExactSynonym"


@pytest.mark.fault("P33")
@pytest.mark.parametrize(
    "fields",
    [
        {UNSCOPED: "s"},
        {UNSCOPED: ["s", [reified("s")]]},
        {"synonym": "s"},
        {"synonym": [["s", "e"]], EXACT: "e"},
        {"synonym": [reified("s"), reified("e", {SOURCE: "X:1"})], EXACT: ["e"]},
        {"synonym": reified(["s", ["e"]]), EXACT: [reified("e")]},
        {"synonym": ["e", "s"], UNSCOPED: ["s", "e"], EXACT: "e"},
        {"synonym": ["e", "s", None], "http://unknown/property": "s", EXACT: reified(["e"])},
    ],
)
def test_a_synonym_without_a_scope_is_related(fields: dict[str, Any]) -> None:
    found = Decoded(a_class(**fields))
    wanted = {("s", "related"), ("e", "exact")} if EXACT in fields else {("s", "related")}
    assert {row[1:3] for row in found.synonyms} == wanted
    assert len(found.synonyms) == len(wanted)
    assert not found.findings.counts


@pytest.mark.fault("P33")
def test_a_synonym_without_a_scope_keeps_its_axioms() -> None:
    kind = f"{OIO}hasSynonymType"
    found = Decoded(
        a_class(
            **{
                EXACT: reified("e", {SOURCE: "X:1"}),
                UNSCOPED: [reified("e", {SOURCE: "X:2"}), reified("s", {SOURCE: "X:3"})],
                "synonym": [True, reified("u", {kind: "http://t/a"}, {SOURCE: ["X:5", "X:4"]})],
            }
        )
    )
    assert sorted(found.synonyms) == [
        (IRI, "e", "exact", None, [], ["X:1", "X:2"]),
        (IRI, "s", "related", None, [], ["X:3"]),
        (IRI, "true", "related", None, [], []),
        (IRI, "u", "related", "http://t/a", [], ["X:4", "X:5"]),
    ]


@pytest.mark.fault("P33")
def test_what_can_be_no_synonym_is_counted_once() -> None:
    node, other = {"type": ["class"], "unionOf": [1]}, {"type": ["class"], "unionOf": [2]}
    found = Decoded(
        a_class(**{EXACT: [node, "a\0"], UNSCOPED: [other], "synonym": [[node, other, {}, "a\0"]]})
    )
    assert [row[1:3] for row in found.synonyms] == [("a\ufffd", "exact")]
    assert found.findings.counts == {"anonymous_node": 3, "text_replaced": 1}


@pytest.mark.fault("P32")
def test_a_blank_synonym_is_counted_and_no_row() -> None:
    blanks = [" ", "\u00a0\u2003", reified("\u200b"), "\ufeff\t", ""]
    found = Decoded(
        a_class(**{f"{OIO}hasExactSynonym": [*blanks, " s\u00a0"], f"{OIO}hasBroadSynonym": " "})
    )
    assert [(row[1], row[2]) for row in found.synonyms] == [(" s\u00a0", "exact")], "as it stands"
    assert found.findings.counts == {"blank_synonym": 5, "empty_text": 1}
    assert found.findings.samples["blank_synonym"][0] == f"{IRI}: ' '"


def test_axioms_of_one_synonym_are_merged_over_all_mentions() -> None:
    kind = f"{OIO}hasSynonymType"
    source = f"{OIO}hasDbXref"
    found = Decoded(
        a_class(
            **{
                f"{OIO}hasExactSynonym": [
                    reified("s", {source: ["MONDO:2", "DOID:1"]}, {kind: "http://t/b"}),
                    reified("s", {kind: ["http://t/a"], source: "DOID:1"}),
                ]
            }
        )
    )
    assert found.synonyms == [
        (IRI, "s", "exact", "http://t/a", ["http://t/b"], ["DOID:1", "MONDO:2"])
    ]


def test_provenance_on_a_direct_parent_is_no_other_relation() -> None:
    found = Decoded(
        a_class(
            directParent=[reified("http://p/1", {f"{OIO}source": "DOID:1"}), "http://p/2"],
            hierarchicalParent=[reified("http://p/1", {f"{OIO}source": "DOID:1"}), "http://p/2"],
        )
    )
    assert found.parent_edges == [(IRI, "http://p/1", "is_a"), (IRI, "http://p/2", "is_a")]


def test_the_axiom_names_the_relation_of_a_hierarchical_parent() -> None:
    found = Decoded(
        a_class(
            directParent="http://p/1",
            hierarchicalParent=[
                "http://p/1",
                reified("http://p/2", {"childRelationToParent": PART_OF}),
                reified("http://p/3", {"childRelationToParent": DEVELOPS_FROM}),
                reified("http://p/4", {"childRelationToParent": SUBCLASS_OF}),
                reified("http://p/1", {"childRelationToParent": SUBCLASS_OF}),
                reified("http://p/5", {"childRelationToParent": "http://r/other"}),
                reified("http://p/2", {"childRelationToParent": [PART_OF, DEVELOPS_FROM]}),
            ],
        )
    )
    assert set(found.parent_edges) == {
        (IRI, "http://p/1", "is_a"),
        (IRI, "http://p/2", "part_of"),
        (IRI, "http://p/2", "develops_from"),
        (IRI, "http://p/3", "develops_from"),
        (IRI, "http://p/4", "is_a_implied"),
        (IRI, "http://p/5", "http://r/other"),
    }
    assert len(found.parent_edges) == 6


@pytest.mark.parametrize(
    ("value", "prefix", "accession"),
    [
        ("ICD10:E73", "icd10", "E73"),
        ("MSH:D001", "mesh", "D001"),
        ("MeSH: D001 ", "mesh", "D001"),
        ("UMLS:CUI:C01", "umls", "CUI:C01"),
        ("Nobody's:1", "nobody's", "1"),
        ("https://example.org/a:b", "url", "https://example.org/a:b"),
        ("http://identifiers.org/mesh/D001", "mesh", "D001"),
        ("https://meshb.nlm.nih.gov/record/ui?ui=D001", "mesh", "D001"),
        ("http://purl.obolibrary.org/obo/DOID_1", "doid", "1"),
        ("https://omim.org/phenotypicSeries/PS1", "omim.ps", "1"),
        ("http://identifiers.org/nobody/1", "url", "http://identifiers.org/nobody/1"),
    ],
)
def test_a_cross_reference_is_split_at_its_first_colon(
    value: str, prefix: str, accession: str
) -> None:
    found = Decoded(a_class(**{f"{OIO}hasDbXref": value}))
    assert found.xrefs[0][1:3] == (prefix, accession)


@pytest.mark.parametrize(
    "linked", [None, [], "x", 1, True, {"MESH:D1": {"url": "http://a"}, "x": 1}], ids=repr
)
def test_linked_entities_of_another_shape_give_no_link(linked: Any) -> None:
    (xref,) = Decoded(a_class(linkedEntities=linked, **{f"{OIO}hasDbXref": "MESH:D1"})).xrefs
    assert xref == (IRI, "mesh", "D1", "xref", [], None, ["MESH:D1"])


def test_spellings_of_one_database_are_one_cross_reference() -> None:
    found = Decoded(
        a_class(
            linkedEntities={"MSH:D1": {"url": "http://b"}, "MESH:D1": {"url": "http://a"}},
            **{
                f"{OIO}hasDbXref": [
                    reified("MSH:D1", {f"{OIO}source": "MONDO:equivalentTo"}),
                    reified("MESH:D1", {f"{OIO}source": ["DOID:1"]}),
                ]
            },
        )
    )
    sources = ["DOID:1", "MONDO:equivalentTo"]
    spelled = ["MESH:D1", "MSH:D1"]
    assert found.xrefs == [(IRI, "mesh", "D1", "exact", sources, "http://a", spelled)]


@pytest.mark.fault("P35")
def test_each_reference_of_a_value_is_a_row_and_what_cannot_be_parted_is_counted() -> None:
    several = reified("MESH:D1; UMLS:C1", {f"{OIO}source": "X:1"})
    found = Decoded(a_class(**{f"{OIO}hasDbXref": [several, "OMIM:1,2", " http://x/1 "]}))
    spelled = ["MESH:D1; UMLS:C1"]
    assert found.xrefs == [
        (IRI, "mesh", "D1", "xref", ["X:1"], None, spelled),
        (IRI, "umls", "C1", "xref", ["X:1"], None, spelled),
        (IRI, "omim", "1,2", "xref", [], None, ["OMIM:1,2"]),
        (IRI, "url", "http://x/1", "xref", [], "http://x/1", [" http://x/1 "]),
    ]
    assert found.findings.counts == {"several_references": 1}


def test_a_match_by_skos_is_a_cross_reference_of_its_strength() -> None:
    found = Decoded(
        a_class(
            **{
                f"{SKOS}exactMatch": "http://identifiers.org/snomedct/1",
                f"{SKOS}closeMatch": ["UMLS:C1", "http://identifiers.org/snomedct/1"],
                f"{SKOS}broadMatch": "DOID:2",
                f"{OIO}hasDbXref": [
                    "UMLS:C1",
                    reified("DOID:2", {f"{OIO}source": "MONDO:equivalentTo"}),
                    "ICD10:A",
                ],
            }
        )
    )
    url = "http://identifiers.org/snomedct/1"
    assert found.xrefs == [
        (IRI, "snomedct", "1", "exact", [], url, [url]),
        (IRI, "umls", "C1", "close", [], None, ["UMLS:C1"]),
        (IRI, "doid", "2", "exact", ["MONDO:equivalentTo"], None, ["DOID:2"]),
        (IRI, "icd10", "A", "xref", [], None, ["ICD10:A"]),
    ]


def test_replacements_subsets_and_flags_are_kept_as_found() -> None:
    (term,) = Decoded(
        a_class(
            **{
                "http://purl.obolibrary.org/obo/IAO_0100001": ["MONDO:1", reified("HP_2")],
                f"{OIO}consider": "http://x/3",
                f"{OIO}inSubset": ["http://s/b", "http://s/a"],
                f"{EFO}gwas_trait": True,
                f"{EFO}obsoleted_in_version": "2.31",
                f"{EFO}reason_for_obsolescence": ["moved", "merged"],
            }
        )
    ).terms
    annotations = {
        "replaced_by": ["HP_2", "MONDO:1"],
        "consider": ["http://x/3"],
        "subsets": ["http://s/a", "http://s/b"],
        "is_gwas_trait": True,
        "obsoleted_in": "2.31",
        "obsolescence_reason": "merged; moved",
    }
    assert annotations.items() <= term.items()


def test_a_malformed_cross_reference_is_kept_and_counted() -> None:
    found = Decoded(a_class(**{f"{OIO}hasDbXref": ["no colon", "X:", ":7"]}))
    assert [row[1:3] for row in found.xrefs] == [("", "no colon"), ("", "X:"), ("", ":7")]
    assert found.findings.counts == {"malformed_xref": 3}
    assert found.findings.samples["malformed_xref"][0] == f"{IRI}: no colon"


def test_an_anonymous_node_is_dropped_and_counted() -> None:
    found = Decoded(a_class(directParent=[{"type": ["class"], "intersectionOf": []}, "http://p"]))
    assert found.parent_edges == [(IRI, "http://p", "is_a")]
    assert found.findings.counts == {"anonymous_node": 1}


@pytest.mark.fault("P03")
def test_a_nul_becomes_the_replacement_character_everywhere_and_is_counted() -> None:
    found = Decoded(a_class(label="a\0b", **{f"{OIO}hasExactSynonym": "c\0"}))
    assert found.terms[0]["label"] == "a\ufffdb"
    assert found.synonyms[0][1] == "c\ufffd"
    assert found.findings.counts == {"text_replaced": 2}


@pytest.mark.fault("P04")
def test_a_lone_surrogate_becomes_the_replacement_character_and_is_counted() -> None:
    body = (
        b'{"page": 0, "totalElements": 1, "elements": [{"iri": "http://x", "label": "a\\ud800b"}]}'
    )
    found = Decoded(body=body)
    assert found.terms[0]["label"] == "a\ufffdb"
    assert found.findings.counts == {"text_replaced": 1}


@pytest.mark.fault("P05")
def test_a_text_too_long_for_an_index_is_refused_by_name() -> None:
    with pytest.raises(RecordRejected, match=r"EFO_0000001 has a synonym of 2,602 bytes"):
        Decoded(a_class(**{f"{OIO}hasExactSynonym": "é" * (KEY_LIMIT_BYTES // 2 + 1)}))


def test_a_long_definition_is_no_key_and_passes() -> None:
    (term,) = Decoded(a_class(**{DEFINITION: "x" * 1_000_000})).terms
    assert len(term["definition"]) == 1_000_000


@pytest.mark.fault("P12")
def test_unknown_fields_are_skipped() -> None:
    assert Decoded(a_class(somethingNew={"a": [1]}, linkedEntities=None)).count == 1


def test_a_body_that_is_no_page_is_an_error_of_the_payload() -> None:
    with pytest.raises(PayloadError):
        Decoded(body=page_of({"label": "no iri"}))


def test_most_cuts_the_page() -> None:
    findings = Findings()
    terms: list[Any] = []
    page = page_of(*({"iri": f"http://x/{n}"} for n in range(5)))
    sinks = dict.fromkeys(COLUMNS, terms.append)
    assert decode_page(parse_page(page), sinks, findings, NEW, most=2) == 2
    assert [row[1] for row in terms] == ["http://x/0", "http://x/1"]


def test_a_known_class_keeps_its_key_and_a_new_one_has_that_of_its_place() -> None:
    rows: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    fields = {"synonym": ["other"], "directParent": [IRI]}
    page = parse_page(page_of(*(a_class(iri=f"http://x/{n}", **fields) for n in range(3))))
    sinks = {name: table.append for name, table in rows.items()}
    given = sorted((iri_hash(f"http://x/{n}"), key) for n, key in ((1, 7), (8, 9)))
    hashes, keys = (array("Q", each).tobytes() for each in zip(*given, strict=True))
    decode_page(page, sinks, Findings(), TermKeys(hashes, keys, 100), first_row=500)
    for table in ("terms", "synonyms", "parent_edges"):
        assert [row[0] for row in rows[table]] == [600, 7, 602]


DIGITS = "1" * 5000
ODD_VALUES = [
    *(DIGITS, f"-{DIGITS}", f"{DIGITS}.5", "1" * 4300, "1e308", "1e999", "-0.0", "1e22", "true"),
    *("null", "{}", "[]", '""', "[[{}]]", '{"value": null}', '{"value": {"value": [3]}}'),
    *("[" * depth + "7" + "]" * depth for depth in (100, 400, 900, 5000)),
    '{"value": "x", "axioms": 5}',
    '{"value": "x", "axioms": [[], 1, {"childRelationToParent": [{}, 1, [2]]}]}',
    f'{{"value": "x", "axioms": {{"{OIO}source": 1e99, "{OIO}hasDbXref": {{"a": 1}}}}}}',
    f'{{"a": {{"url": {DIGITS}}}}}',
]
FIELDS = [
    *("iri", "label", "curie", "directParent", "hierarchicalParent", "isObsolete"),
    *("isDefiningOntology", "linkedEntities", "synonym", "somethingNew", DEFINITION, UNSCOPED),
    *(*SCOPES, *RELATIONS, *(iri for iri, _ in ANNOTATIONS.values())),
]


@pytest.mark.fault("P36")
@pytest.mark.parametrize("field", FIELDS)
def test_any_json_in_any_field_is_a_row_a_finding_or_a_sentence(field: str) -> None:
    for value in ODD_VALUES:
        iri = "" if field == "iri" else f'"iri": "{IRI}", '
        elements = f'"elements": [{{{iri}"{field}": {value}}}]'
        body = f'{{"page": 0, "totalElements": 1, "elements": [], {elements}}}'.encode()
        with suppress(PayloadError, RecordRejected):
            Decoded(body=body)
        with suppress(PayloadError):
            refuse_repeated_keys(body, ("page",), "elements", "iri")


@pytest.mark.fault("P36")
@pytest.mark.parametrize("field", [OWL_VERSION_IRI, OWL_VERSION_INFO, "loaded"])
def test_any_json_as_a_version_is_text_or_a_sentence(field: str) -> None:
    for value in ODD_VALUES:
        with suppress(PayloadError):
            document, _ = parse(f'{{"{field}": {value}}}'.encode(), dict[str, Any])
            release = Release.from_document("efo", document, Totals(1, 0, 1))
            assert len(release.fingerprint) == 16
