"""The rows that the database must hold for a generated release, made without the loader.

This module shares no code with `efo_assets.ols.records`, so that a fault there can't hide here.
"""

import re
from collections.abc import Iterator
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from efo_assets.sample.ontology import GeneratedClass, GeneratedRelease, Scalar
from efo_assets_tests.oracle.derived import expected_mesh_terms, expected_replacements, words
from efo_assets_tests.oracle.tables import (
    STRENGTH,
    ExpectedRows,
    ParentEdge,
    Synonym,
    Term,
    Texts,
    Xref,
)

PREFIXES = {
    "ADDED": "added",
    "DOID": "doid",
    "ICD-9": "icd9",
    "ICD10": "icd10",
    "ICD10-CM": "icd10cm",
    "KEGG_COMPOUND": "kegg.compound",
    "MEDGEN": "medgen",
    "MESH": "mesh",
    "MSH": "mesh",
    "MEDDRA": "meddra",
    "NCBI_GENE": "ncbigene",
    "NCIT": "ncit",
    "OMIM": "omim",
    "ORPHANET": "orpha",
    "SCTID": "snomedct",
    "UMLS": "umls",
}
"""The Bioregistry's name of each database that the generated ontology refers to."""
SCOPES = {"exact", "related", "narrow", "broad"}
MESH_PAGES = ("https://meshb.nlm.nih.gov/record/ui?ui=", "http://identifiers.org/mesh/")
ANNOTATED = {
    name: get_args(hint)
    for name, hint in get_type_hints(Term, include_extras=True).items()
    if get_origin(hint) is Annotated
}
"""Column of a term to its type and the annotation property that it holds."""


def expected_rows(release: GeneratedRelease) -> ExpectedRows:
    """All rows of a release."""
    listed = {each.iri for each in release.classes}
    edges = frozenset(edge for each in release.classes for edge in _edges(each))
    inner = frozenset(edge for edge in edges if edge.parent_iri in listed)
    xrefs = frozenset(row for each in release.classes for row in _xrefs(each))
    replacements = expected_replacements(release)
    return ExpectedRows(
        terms=frozenset(_term(each) for each in release.classes),
        synonyms=frozenset(row for each in release.classes for row in _synonyms(each)),
        parent_edges=inner,
        dangling_edges=edges - inner,
        xrefs=xrefs,
        replacements=replacements,
        mesh_terms=expected_mesh_terms(release, xrefs, replacements),
    )


def _text(value: Scalar) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.0f}" if value == int(value) else repr(value)
    if isinstance(value, int):
        return f"{value:d}"
    return value.replace("\0", "\ufffd")


def _term(each: GeneratedClass) -> Term:
    labels = {_text(label) for label in each.labels} or {each.short_form}
    label, *other_labels = sorted(labels, key=lambda text: (len(text), text))
    definitions = sorted(
        {_text(each) for each in each.definitions}, key=lambda text: (-len(text), text)
    )
    return Term(
        iri=each.iri,
        curie=each.curie,
        label=label,
        other_labels=tuple(sorted(other_labels)),
        definition=definitions[0] if definitions else None,
        other_definitions=tuple(sorted(definitions[1:])),
        is_obsolete=each.is_obsolete,
        is_root=not each.is_obsolete and not each.parents,
        is_defining=each.is_defining,
        **{
            column: _annotation(sorted(map(_text, each.annotations.get(iri, ()))), kind)
            for column, (kind, iri) in ANNOTATED.items()
        },
    )


def _annotation(values: list[str], kind: Any) -> Any:
    """The values of an annotation as a column of this type."""
    if kind is bool:
        return "true" in values
    return tuple(values) if kind == Texts else "; ".join(values) or None


def _synonyms(each: GeneratedClass) -> Iterator[Synonym]:
    merged: dict[tuple[str, str], tuple[set[str], set[str]]] = {}
    scopes: dict[str, set[str]] = {}
    stated = [
        (text, {"exact"} if synonym.is_alternative_term else {synonym.scope} & SCOPES, synonym)
        for synonym in each.synonyms
        if words(text := _text(synonym.text))
    ]
    for text, its_scopes, _ in stated:
        scopes.setdefault(text, set()).update(its_scopes)
    for text, its_scopes, synonym in stated:
        for scope in its_scopes or scopes[text] or {"related"}:
            types, sources = merged.setdefault((text, scope), (set(), set()))
            for its_types, its_sources in synonym.axioms:
                types.update(its_types)
                sources.update(its_sources)
    for (text, scope), (types, sources) in merged.items():
        yield Synonym(
            iri=each.iri,
            synonym=text,
            scope=scope,
            type=min(types, default=None),
            other_types=tuple(sorted(types)[1:]),
            sources=tuple(sorted(sources)),
        )


def _edges(each: GeneratedClass) -> Iterator[ParentEdge]:
    is_a = {parent.iri for parent in each.parents if parent.predicate == "is_a"}
    for parent in each.parents:
        if parent.predicate != "is_a_implied" or parent.iri not in is_a:
            yield ParentEdge(each.iri, parent.iri, parent.predicate)


def _xrefs(each: GeneratedClass) -> Iterator[Xref]:
    merged: dict[tuple[str, str], tuple[set[str], set[str], set[str], set[str]]] = {}
    stated = [
        (_split(reference), "xref", reference, xref.value, xref.sources, xref.url)
        for xref in each.xrefs
        for reference in _references(xref.value)
    ]
    stated += [
        ((match.prefix, match.accession), match.relation, match.value, match.value, (), None)
        for match in each.matches
    ]
    for key, relation, reference, value, its_sources, url in stated:
        sources, urls, spellings, relations = merged.setdefault(key, (set(), set(), set(), set()))
        sources.update(its_sources)
        urls.update([reference] if reference.startswith("http") else [url] if url else [])
        spellings.add(value)
        relations.add("exact" if "MONDO:equivalentTo" in its_sources else relation)
    for (prefix, accession), (sources, urls, spellings, relations) in merged.items():
        yield Xref(
            iri=each.iri,
            prefix=prefix,
            accession=accession,
            relation=min(relations, key=STRENGTH.index),
            sources=tuple(sorted(sources)),
            url=min(urls, default=None),
            found=tuple(sorted(spellings)),
        )


def _references(value: str) -> list[str]:
    """The references in a value: several where each is an address or has a known prefix."""
    separated = value if "://" in value else re.sub("[,;|]", " ", value)
    references = words(separated)
    if all("://" in each or each.partition(":")[0].upper() in PREFIXES for each in references):
        return references
    return [value.strip()]


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
