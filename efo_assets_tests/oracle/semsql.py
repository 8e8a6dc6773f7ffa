"""What SemSQL must hold of a release: statements, prefixes and what the edges entail.

Worked out from the expected rows by walking, class by class, without SQL and without the loader.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from efo_assets_tests.oracle.tables import ExpectedRows

IS_A = "rdfs:subClassOf"
RELATIONS = {"is_a": IS_A, "is_a_implied": IS_A, "part_of": "BFO:0000050"}
RELATIONS["develops_from"] = "RO:0002202"
TRANSITIVE = {"BFO:0000050", "RO:0002202", "RO:0001025"}
LABELS = {"BFO:0000050": "part of", "RO:0002202": "develops from"}
SCOPES = {scope: f"oio:has{scope.title()}Synonym" for scope in ("exact", "related", "narrow")}
SCOPES["broad"] = "oio:hasBroadSynonym"
EFO = "http://www.ebi.ac.uk/efo/"
PROPERTIES = {
    "IAO:0000115": "definition",
    "IAO:0100001": "term replaced by",
    "oio:consider": "consider",
    "oio:hasDbXref": "database_cross_reference",
    "oio:inSubset": "in_subset",
    "skos:altLabel": "alternative label",
    **{predicate: f"has_{scope}_synonym" for scope, predicate in sorted(SCOPES.items())},
    **{
        f"skos:{relation}Match": f"has {relation} match"
        for relation in ("exact", "close", "narrow", "broad", "related")
    },
    **{
        f"<{EFO}{name}>": name
        for name in ("gwas_trait", "obsoleted_in_version", "reason_for_obsolescence")
    },
}
BASES = {
    "http://identifiers.org/snomedct/": "SCTID",
    "http://identifiers.org/mesh/": "MESH",
    "http://linkedlifedata.com/resource/umls/id/": "UMLS",
    "https://omim.org/phenotypicSeries/PS": "OMIMPS",
}


class Statement(NamedTuple):
    """A triple, or an annotation with a text."""

    subject: str
    predicate: str
    object: str | None = None
    value: str | None = None
    datatype: str | None = None


Edge = tuple[str, str, str]


def curie(iri: str) -> str:
    """The CURIE that SemSQL makes of the IRI of something that is no listed class."""
    obo = re.fullmatch("http://purl.obolibrary.org/obo/([A-Za-z]+)_([A-Za-z0-9]+)", iri)
    if obo:
        return f"{obo[1]}:{obo[2]}"
    for base, prefix in BASES.items():
        if iri.startswith(base):
            return f"{prefix}:{iri.removeprefix(base)}"
    for base, prefix in (("http://purl.obolibrary.org/obo/", "obo"), (f"{EFO}EFO_", "EFO")):
        if iri.startswith(base):
            return f"{prefix}:{iri.removeprefix(base)}"
    return f"<{iri}>"


def nodes(rows: ExpectedRows) -> dict[str, str]:
    """IRI of a class to its id; of several with one CURIE, one has it."""
    taken: set[str] = set()
    ids = {}
    ranks = (
        (t.curie is None, t.is_obsolete, not t.is_defining, t.iri, t.curie) for t in rows.terms
    )
    for *_, iri, stated in sorted(ranks, key=lambda rank: rank[:4]):
        wanted = stated or curie(iri)
        ids[iri] = f"<{iri}>" if wanted in taken else wanted
        taken.add(ids[iri])
    return ids


def edges(rows: ExpectedRows) -> set[Edge]:
    """Every parent of every class."""
    ids = nodes(rows)
    return {
        (
            ids[edge.child_iri],
            RELATIONS.get(edge.predicate) or curie(edge.predicate),
            ids[edge.parent_iri],
        )
        for edge in rows.parent_edges
    }


def entailed(ids: set[str], stated: set[Edge]) -> set[Edge]:
    """What follows: is_a reflexive, each relation over is_a, some over themselves."""
    parents = defaultdict(list)
    for child, relation, parent in stated:
        parents[child].append((relation, parent))
    found: set[Edge] = set()
    for each in ids:
        start = (IS_A, each)
        reached, waiting = {start}, [start]
        while waiting:
            so_far, place = waiting.pop()
            for relation, parent in parents[place]:
                if IS_A in (so_far, relation):
                    over = relation if so_far == IS_A else so_far
                elif so_far == relation and relation in TRANSITIVE:
                    over = relation
                else:
                    continue
                if (over, parent) not in reached:
                    reached.add((over, parent))
                    waiting.append((over, parent))
        found |= {(each, relation, place) for relation, place in reached}
    return found


def statements(
    rows: ExpectedRows, ontology: str, version: str | None, version_iri: str | None
) -> set[Statement]:
    """Every statement, the parts of restrictions left out; see `restrictions`."""
    return {
        *_of_terms(rows),
        *_of_synonyms_and_xrefs(rows),
        *(Statement(*edge) for edge in edges(rows) if edge[1] == IS_A),
        *_of_properties(rows),
        *_of_ontology(ontology, version, version_iri),
    }


def _text(subject: str, predicate: str, value: str) -> Statement:
    return Statement(subject, predicate, None, value, "xsd:string")


def _true(subject: str, predicate: str) -> Statement:
    return Statement(subject, predicate, None, "true", "xsd:boolean")


def _of_terms(rows: ExpectedRows) -> Iterator[Statement]:  # noqa: C901  # a line for each column
    ids = nodes(rows)
    for term in rows.terms:
        subject = ids[term.iri]
        yield Statement(subject, "rdf:type", "owl:Class")
        yield _text(subject, "rdfs:label", term.label)
        yield from (_text(subject, "skos:altLabel", label) for label in term.other_labels)
        for definition in (term.definition, *term.other_definitions):
            if definition is not None:
                yield _text(subject, "IAO:0000115", definition)
        if term.is_obsolete:
            yield _true(subject, "owl:deprecated")
        if term.is_gwas_trait:
            yield _true(subject, f"<{EFO}gwas_trait>")
        if term.obsoleted_in is not None:
            yield _text(subject, f"<{EFO}obsoleted_in_version>", term.obsoleted_in)
        if term.obsolescence_reason is not None:
            yield _text(subject, f"<{EFO}reason_for_obsolescence>", term.obsolescence_reason)
        for predicate, values in (
            ("IAO:0100001", term.replaced_by),
            ("oio:consider", term.consider),
            ("oio:inSubset", term.subsets),
        ):
            for value in values:
                if re.match("https?://", value):
                    yield Statement(subject, predicate, ids.get(value) or curie(value))
                else:
                    yield _text(subject, predicate, value)


def _of_synonyms_and_xrefs(rows: ExpectedRows) -> Iterator[Statement]:
    ids = nodes(rows)
    for synonym in rows.synonyms:
        yield _text(ids[synonym.iri], SCOPES[synonym.scope], synonym.synonym)
    for xref in rows.xrefs:
        for found in xref.found:
            is_address = re.match("https?://", found) is not None
            if xref.relation == "xref" or not is_address:
                yield _text(ids[xref.iri], "oio:hasDbXref", found)
            if xref.relation != "xref":
                match = curie(found) if is_address else found
                yield Statement(ids[xref.iri], f"skos:{xref.relation}Match", match)


def _of_properties(rows: ExpectedRows) -> Iterator[Statement]:
    for relation in {relation for _, relation, _ in edges(rows)} - {IS_A}:
        yield Statement(relation, "rdf:type", "owl:ObjectProperty")
        if relation in TRANSITIVE:
            yield Statement(relation, "rdf:type", "owl:TransitiveProperty")
        if relation in LABELS:
            yield _text(relation, "rdfs:label", LABELS[relation])
    for name, label in PROPERTIES.items():
        yield Statement(name, "rdf:type", "owl:AnnotationProperty")
        yield _text(name, "rdfs:label", label)


def _of_ontology(
    ontology: str, version: str | None, version_iri: str | None
) -> Iterator[Statement]:
    node = f"<{EFO}efo.owl>" if ontology == "efo" else f"obo:{ontology}.owl"
    yield Statement(node, "rdf:type", "owl:Ontology")
    if version is not None:
        yield _text(node, "owl:versionInfo", version)
    if version_iri is not None:
        yield Statement(node, "owl:versionIRI", f"<{version_iri}>")


def restrictions(stated: set[Edge]) -> Iterator[Statement]:
    """What states an edge of another relation than is_a: a blank node and its three parts."""
    others = sorted(edge for edge in stated if edge[1] != IS_A)
    for number, (child, relation, parent) in enumerate(others):
        blank = f"_:restriction{number}"
        yield Statement(child, IS_A, blank)
        yield Statement(blank, "rdf:type", "owl:Restriction")
        yield Statement(blank, "owl:onProperty", relation)
        yield Statement(blank, "owl:someValuesFrom", parent)
