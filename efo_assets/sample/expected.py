"""The rows that the database must hold for a generated release, made without the loader.

Columns are those of the row contract (`efo_assets.ols.records` documents it); this module shares no
code with it, so that a fault there can't hide here.
"""

from dataclasses import dataclass
from typing import Any

from efo_assets.sample.ontology import GeneratedClass, GeneratedRelease

Row = tuple[Any, ...]


@dataclass(frozen=True)
class ExpectedRows:
    """The rows of each table, arrays as sorted tuples."""

    terms: frozenset[Row]
    synonyms: frozenset[Row]
    parent_edges: frozenset[Row]
    dangling_edges: frozenset[Row]
    xrefs: frozenset[Row]


def expected_rows(release: GeneratedRelease) -> ExpectedRows:
    """All rows of a release."""
    listed = {each.iri for each in release.classes}
    edges = {edge for each in release.classes for edge in _edges(each)}
    return ExpectedRows(
        terms=frozenset(_term(each) for each in release.classes),
        synonyms=frozenset(row for each in release.classes for row in _synonyms(each)),
        parent_edges=frozenset(edge for edge in edges if edge[1] in listed),
        dangling_edges=frozenset(edge for edge in edges if edge[1] not in listed),
        xrefs=frozenset(row for each in release.classes for row in _xrefs(each)),
    )


def _text(value: str | bool | float) -> str:  # noqa: FBT001  # a literal of the ontology
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
    merged: dict[tuple[str, str], tuple[set[str], set[str]]] = {}
    for xref in each.xrefs:
        sources, urls = merged.setdefault(_split(xref.value), (set(), set()))
        sources.update(xref.sources)
        url = xref.value if xref.value.startswith("https:") else xref.url
        urls.update([url] if url else [])
    return {
        (
            each.iri,
            prefix,
            accession,
            "exact" if "MONDO:equivalentTo" in sources else "xref",
            tuple(sorted(sources)),
            min(urls, default=None),
        )
        for (prefix, accession), (sources, urls) in merged.items()
    }


def _split(value: str) -> tuple[str, str]:
    if value.startswith("https:"):
        return "URL", value
    if ":" not in value:
        return "", value
    prefix, accession = value.split(":", 1)
    prefix = prefix.upper()
    return ("MESH" if prefix == "MSH" else prefix), accession
