"""The rows that the database must hold for a generated release, made without the loader.

Columns are those of the row contract (`efo_assets.ols.records` documents it); this module shares no
code with it, so that a fault there can't hide here.
"""

from dataclasses import dataclass
from typing import Any

from efo_assets.sample.ontology import GeneratedClass, GeneratedRelease
from efo_assets_tests.oracle.derived import (
    expected_mesh_terms,
    expected_replacements,
)

Row = tuple[Any, ...]
PREFIXES = {
    "ADDED": "added",
    "DOID": "doid",
    "ICD10": "icd10",
    "MEDGEN": "medgen",
    "MESH": "mesh",
    "MSH": "mesh",
    "MEDDRA": "meddra",
    "NCIT": "ncit",
    "OMIM": "omim",
    "ORPHANET": "orpha",
    "SCTID": "snomedct",
    "UMLS": "umls",
}
"""The Bioregistry's name of each database that the generated ontology refers to."""
MESH_PAGES = ("https://meshb.nlm.nih.gov/record/ui?ui=", "http://identifiers.org/mesh/")
STRENGTH = ("exact", "close", "narrow", "broad", "related", "xref")


@dataclass(frozen=True)
class ExpectedRows:
    """The rows of each table, arrays as sorted tuples."""

    terms: frozenset[Row]
    synonyms: frozenset[Row]
    parent_edges: frozenset[Row]
    dangling_edges: frozenset[Row]
    xrefs: frozenset[Row]
    replacements: frozenset[Row]
    """iri, ordinal, kind, target, status, hops, path, evidence."""
    mesh_terms: frozenset[Row]
    """iri, mesh_id, kind, relation, is_own, via, sources, is_only_term, is_only_mesh_id."""


def expected_rows(release: GeneratedRelease) -> ExpectedRows:
    """All rows of a release."""
    listed = {each.iri for each in release.classes}
    edges = {edge for each in release.classes for edge in _edges(each)}
    inner = frozenset(edge for edge in edges if edge[1] in listed)
    xrefs = frozenset(row for each in release.classes for row in _xrefs(each))
    replacements = expected_replacements(release)
    return ExpectedRows(
        terms=frozenset(_term(each) for each in release.classes),
        synonyms=frozenset(row for each in release.classes for row in _synonyms(each)),
        parent_edges=inner,
        dangling_edges=frozenset(edges - inner),
        xrefs=xrefs,
        replacements=replacements,
        mesh_terms=expected_mesh_terms(release, xrefs, replacements),
    )


def _text(value: str | bool | float) -> str:  # a literal of the ontology
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.0f}" if value == int(value) else repr(value)
    return value.replace("\0", "\ufffd")


def _term(each: GeneratedClass) -> Row:
    labels = sorted({_text(label) for label in each.labels}, key=lambda text: (len(text), text))
    definitions = sorted(set(each.definitions), key=lambda text: (-len(text), text))
    return (
        each.iri,
        each.curie,
        labels[0],
        tuple(sorted(labels[1:])),
        definitions[0] if definitions else None,
        tuple(sorted(definitions[1:])),
        each.is_obsolete,
        not each.is_obsolete and not each.parents,
        each.is_defining,
        *(tuple(sorted(each.annotations.get(name, ()))) for name in ("replaced_by", "consider")),
        tuple(sorted(each.annotations.get("subset", ()))),
        "true" in each.annotations.get("gwas_trait", ()),
        min(each.annotations.get("obsoleted_in_version", ()), default=None),
        min(each.annotations.get("reason", ()), default=None),
    )


def _synonyms(each: GeneratedClass) -> set[Row]:
    merged: dict[tuple[str, str], tuple[set[str], set[str]]] = {}
    for synonym in each.synonyms:
        scope = "exact" if synonym.is_alternative_term else synonym.scope
        types, sources = merged.setdefault((_text(synonym.text), scope), (set(), set()))
        for its_types, its_sources in synonym.axioms:
            types.update(its_types)
            sources.update(its_sources)
    return {
        (
            each.iri,
            text,
            scope,
            min(types, default=None),
            tuple(sorted(types)[1:]),
            tuple(sorted(sources)),
        )
        for (text, scope), (types, sources) in merged.items()
    }


def _edges(each: GeneratedClass) -> set[Row]:
    is_a = {parent.iri for parent in each.parents if parent.predicate == "is_a"}
    return {
        (each.iri, parent.iri, parent.predicate)
        for parent in each.parents
        if parent.predicate != "is_a_implied" or parent.iri not in is_a
    }


def _xrefs(each: GeneratedClass) -> set[Row]:
    merged: dict[tuple[str, str], tuple[set[str], set[str], set[str], set[str]]] = {}
    stated = [
        (_split(xref.value), "xref", xref.value, xref.sources, xref.url) for xref in each.xrefs
    ]
    stated += [
        ((match.prefix, match.accession), match.relation, match.value, (), None)
        for match in each.matches
    ]
    for key, relation, value, its_sources, url in stated:
        sources, urls, found, relations = merged.setdefault(key, (set(), set(), set(), set()))
        sources.update(its_sources)
        urls.update([value] if value.startswith("http") else [url] if url else [])
        found.add(value)
        relations.add("exact" if "MONDO:equivalentTo" in its_sources else relation)
    return {
        (
            each.iri,
            prefix,
            accession,
            min(relations, key=STRENGTH.index),
            tuple(sorted(sources)),
            min(urls, default=None),
            tuple(sorted(found)),
        )
        for (prefix, accession), (sources, urls, found, relations) in merged.items()
    }


def _split(value: str) -> tuple[str, str]:
    for page in MESH_PAGES:
        if value.startswith(page):
            return "mesh", value.removeprefix(page)
    if value.startswith("https:"):
        return "url", value
    if ":" not in value:
        return "", value
    prefix, accession = value.split(":", 1)
    return PREFIXES[prefix.upper()], accession
