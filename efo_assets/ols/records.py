"""From the JSON of OLS v2 classes to the rows of four tables, in one pass.

The row contract, which the table specifications of the warehouse name column by column:

- `terms`: iri, curie, label, other_labels, definition, other_definitions, is_obsolete, is_root,
  is_defining, replaced_by, consider, subsets, is_gwas_trait, obsoleted_in, obsolescence_reason
- `synonyms`: iri, synonym, scope, type, other_types, sources
- `parent_edges`: child_iri, parent_iri, predicate
- `xrefs`: iri, prefix, accession, relation, sources, url, found

A value in OLS is a scalar, a list (nested, too), or a reification: an object that wraps the value
and carries axioms about it. What can't become a row is counted with samples in `Findings`; nothing
is dropped in silence. This module knows neither files nor PostgreSQL.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import msgspec

from efo_assets.errors import RecordRejected
from efo_assets.ols.payload import Body, PayloadError, parse
from efo_assets.ols.prefixes import registered

Row: TypeAlias = tuple[Any, ...]
Sink: TypeAlias = Callable[[Row], None]
Axioms: TypeAlias = Sequence[dict[str, Any]]

NO_AXIOMS: Axioms = ()

_TRUE = "true"
_NEXT = "; "
"""Between texts of an annotation that is to be stated once and was stated more often."""

OWL_THING = "http://www.w3.org/2002/07/owl#Thing"
OBO_IN_OWL = "http://www.geneontology.org/formats/oboInOwl#"
EFO = "http://www.ebi.ac.uk/efo/"
SKOS = "http://www.w3.org/2004/02/skos/core#"
PREDICATES = {
    "http://purl.obolibrary.org/obo/BFO_0000050": "part_of",
    "http://purl.obolibrary.org/obo/RO_0002202": "develops_from",
    "http://www.w3.org/2000/01/rdf-schema#subClassOf": "is_a_implied",
}
"""Relation IRI of `childRelationToParent` to the predicate of an edge; others keep their IRI."""
EXACT_EVIDENCE = "MONDO:equivalentTo"
"""The source by which MONDO marks a cross reference as the same concept."""
RELATIONS = ("exact", "close", "narrow", "broad", "related", "xref")
"""Of a term to what it is matched with, the strongest first; `xref` says nothing of the kind."""
KEY_LIMIT_BYTES = 2600
"""PostgreSQL refuses index rows over 2,704 bytes; the rest is left to the key's other columns."""
SAMPLES_KEPT = 5
_NUL_ESCAPE = re.compile(rb"\\u0000")
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


class LinkedEntity(msgspec.Struct, gc=False):
    """What OLS knows of an entity that a class mentions; only its link is of use here."""

    url: Any = None


class OlsClass(msgspec.Struct, gc=False):
    """The fields of a v2 class that become rows; msgspec skips all others."""

    iri: str
    curie: Any = None
    label: Any = None
    definition: Any = msgspec.field(default=None, name="http://purl.obolibrary.org/obo/IAO_0000115")
    exact: Any = msgspec.field(default=None, name=f"{OBO_IN_OWL}hasExactSynonym")
    related: Any = msgspec.field(default=None, name=f"{OBO_IN_OWL}hasRelatedSynonym")
    narrow: Any = msgspec.field(default=None, name=f"{OBO_IN_OWL}hasNarrowSynonym")
    broad: Any = msgspec.field(default=None, name=f"{OBO_IN_OWL}hasBroadSynonym")
    alternative: Any = msgspec.field(default=None, name=f"{EFO}alternative_term")
    xrefs: Any = msgspec.field(default=None, name=f"{OBO_IN_OWL}hasDbXref")
    exact_match: Any = msgspec.field(default=None, name=f"{SKOS}exactMatch")
    close_match: Any = msgspec.field(default=None, name=f"{SKOS}closeMatch")
    narrow_match: Any = msgspec.field(default=None, name=f"{SKOS}narrowMatch")
    broad_match: Any = msgspec.field(default=None, name=f"{SKOS}broadMatch")
    related_match: Any = msgspec.field(default=None, name=f"{SKOS}relatedMatch")
    replaced_by: Any = msgspec.field(
        default=None, name="http://purl.obolibrary.org/obo/IAO_0100001"
    )
    consider: Any = msgspec.field(default=None, name=f"{OBO_IN_OWL}consider")
    subsets: Any = msgspec.field(default=None, name=f"{OBO_IN_OWL}inSubset")
    gwas_trait: Any = msgspec.field(default=None, name=f"{EFO}gwas_trait")
    obsoleted_in: Any = msgspec.field(default=None, name=f"{EFO}obsoleted_in_version")
    obsolescence_reason: Any = msgspec.field(default=None, name=f"{EFO}reason_for_obsolescence")
    direct_parent: Any = msgspec.field(default=None, name="directParent")
    hierarchical_parent: Any = msgspec.field(default=None, name="hierarchicalParent")
    is_obsolete: Any = msgspec.field(default=False, name="isObsolete")
    is_defining: Any = msgspec.field(default=False, name="isDefiningOntology")
    linked_entities: msgspec.Raw = msgspec.field(default=msgspec.Raw(), name="linkedEntities")


_WEB = ("http://", "https://")
_LINKED = msgspec.json.Decoder(dict[str, LinkedEntity])


class _ClassPage(msgspec.Struct, gc=False):
    elements: list[OlsClass]


@dataclass(slots=True)
class Findings:
    """What was left out or mended on the way, by kind, with the first samples of each."""

    counts: Counter[str] = field(default_factory=Counter)
    samples: dict[str, list[str]] = field(default_factory=dict)

    def note(self, kind: str, sample: str, times: int = 1) -> None:
        """Count `times` findings of `kind` and keep the sample if there is room."""
        self.counts[kind] += times
        kept = self.samples.setdefault(kind, [])
        if len(kept) < SAMPLES_KEPT:
            kept.append(sample[:300])

    def add(self, others: "Findings") -> None:
        """Count what was found elsewhere, too."""
        self.counts.update(others.counts)
        for kind, samples in others.samples.items():
            kept = self.samples.setdefault(kind, [])
            kept += samples[: SAMPLES_KEPT - len(kept)]

    def as_facts(self) -> dict[str, Any]:
        """Counts and samples by kind, as JSON."""
        return {
            kind: {"count": count, "samples": self.samples[kind]}
            for kind, count in sorted(self.counts.items())
        }

    @classmethod
    def from_facts(cls, facts: dict[str, Any]) -> "Findings":
        """What `as_facts` told."""
        return cls(
            Counter({kind: each["count"] for kind, each in facts.items()}),
            {kind: list(each["samples"]) for kind, each in facts.items()},
        )


@dataclass(frozen=True, slots=True)
class Sinks:
    """Where the rows of each table go."""

    terms: Sink
    synonyms: Sink
    parent_edges: Sink
    xrefs: Sink


def decode_page(body: Body, sinks: Sinks, findings: Findings, most: int | None = None) -> int:
    """Send the rows of one decoded v2 page to their sinks; return the number of terms.

    Args:
        body: the JSON text of a page, not compressed.
        sinks: one callable per table, called once per row.
        findings: receives what was left out or mended.
        most: decode only the first classes of the page.

    Raises:
        PayloadError: the body is no v2 page.
        RecordRejected: a value can't be a key in PostgreSQL; the message names the class.
    """
    page, replaced = parse(body, _ClassPage)
    if replaced:
        findings.note("text_replaced", "lone surrogates in a page", replaced)
    # Only a page that spells the escape can hold a NUL, which PostgreSQL refuses in text.
    reader = _ClassReader(sinks, findings, may_hold_nul=_NUL_ESCAPE.search(body) is not None)
    try:
        return sum(reader.read(found) for found in page.elements[:most])
    except RecursionError:
        raise PayloadError("a value is nested too deep") from None


@dataclass(slots=True)
class _Xref:
    """What all annotations of a class say of one entry of another database."""

    relation: str
    """The strongest, since annotations are read in that order."""
    axioms: Axioms = NO_AXIOMS
    urls: list[str] = field(default_factory=list)
    found: list[str] = field(default_factory=list)


class _ClassReader:
    """Turns the classes of one page into rows."""

    def __init__(self, sinks: Sinks, findings: Findings, *, may_hold_nul: bool) -> None:
        self._sinks = sinks
        self._findings = findings
        self._may_hold_nul = may_hold_nul
        self._prefixes = registered()
        self._iri = ""

    def read(self, found: OlsClass) -> int:
        """Emit all rows of one class; 1, or 0 for `owl#Thing`, which is no term."""
        if found.iri == OWL_THING:
            self._findings.note("owl_thing", found.iri)
            return 0
        self._iri = self._key("iri", self._clean(found.iri))
        edges = self._edges(found)
        self._term(found, is_root=not edges)
        for parent, predicate in edges:
            self._sinks.parent_edges((self._iri, parent, predicate))
        self._synonyms(found)
        matched = self._matched(found)
        if matched:
            self._xrefs(matched, found.linked_entities)
        return 1

    def _term(self, found: OlsClass, *, is_root: bool) -> None:
        label, other_labels = _chosen(self._texts(found.label), shortest=True)
        definition, other_definitions = _chosen(self._texts(found.definition), shortest=False)
        curie = next(iter(self._texts(found.curie)), None)
        is_obsolete = found.is_obsolete is True
        self._sinks.terms(
            (
                self._iri,
                curie and self._key("curie", curie),
                label and self._key("label", label),
                other_labels,
                definition,
                other_definitions,
                is_obsolete,
                is_root and not is_obsolete,
                found.is_defining is True,
                self._distinct(found.replaced_by),
                self._distinct(found.consider),
                self._distinct(found.subsets),
                _TRUE in self._distinct(found.gwas_trait),
                _NEXT.join(self._distinct(found.obsoleted_in)) or None,
                _NEXT.join(self._distinct(found.obsolescence_reason)) or None,
            )
        )

    def _distinct(self, value: Any) -> list[str]:
        """Every text of a value, each once and in order."""
        if value is None:
            return []
        texts = self._texts(value)
        return sorted(set(texts)) if len(texts) > 1 else texts

    def _edges(self, found: OlsClass) -> list[tuple[str, str]]:
        """Parent and predicate of each edge, each once, in a stable order."""
        if found.direct_parent is None and found.hierarchical_parent is None:
            return []
        edges = {(parent, "is_a"): None for parent, _ in self._values(found.direct_parent)}
        for parent, axioms in self._values(found.hierarchical_parent):
            for predicate in _relations(axioms):
                known = predicate in ("is_a", "is_a_implied") and (parent, "is_a") in edges
                if not known:
                    edges[parent, predicate] = None
        return [
            (self._key("parent", parent), predicate)
            for parent, predicate in edges
            if parent != OWL_THING
        ]

    def _synonyms(self, found: OlsClass) -> None:
        for scope, value in (
            ("related", found.related),
            ("narrow", found.narrow),
            ("broad", found.broad),
        ):
            if value is not None:
                self._scoped_synonyms(scope, value)
        if found.exact is not None or found.alternative is not None:
            self._scoped_synonyms("exact", [found.exact, found.alternative])

    def _scoped_synonyms(self, scope: str, value: Any) -> None:
        merged: dict[str, Axioms] = {}
        for text, axioms in self._values(value):
            merged[text] = [*merged[text], *axioms] if text in merged else axioms
        for text, axioms in merged.items():
            types = self._stated(axioms, f"{OBO_IN_OWL}hasSynonymType")
            sources = self._stated(axioms, f"{OBO_IN_OWL}hasDbXref")
            first, others = (types[0], types[1:]) if types else (None, types)
            key = self._key("synonym", text)
            self._sinks.synonyms((self._iri, key, scope, first, others, sources))

    def _stated(self, axioms: Axioms, predicate: str) -> list[str]:
        """What axioms state by a predicate, each once and in order."""
        found: list[str] = []
        for axiom in axioms:
            value = axiom.get(predicate)
            if value is not None:
                found += self._texts(value)
        return sorted(set(found)) if len(found) > 1 else found

    def _matched(self, found: OlsClass) -> list[tuple[str, Any]]:
        """What the class is matched with: relation and value of each annotation that says so."""
        stated = zip(
            RELATIONS,
            (
                found.exact_match,
                found.close_match,
                found.narrow_match,
                found.broad_match,
                found.related_match,
                found.xrefs,
            ),
            strict=True,
        )
        return [(relation, value) for relation, value in stated if value is not None]

    def _xrefs(self, matched: list[tuple[str, Any]], linked: msgspec.Raw) -> None:
        merged: dict[tuple[str, str], _Xref] = {}
        links = _links(linked)
        for relation, stated in matched:
            for value, axioms in self._values(stated):
                prefix, accession = self._split(value)
                xref = merged.setdefault((prefix, accession), _Xref(relation))
                xref.found.append(value)
                xref.axioms = [*xref.axioms, *axioms] if xref.axioms else axioms
                if value.startswith(_WEB):
                    xref.urls.append(value)
                elif value in links:
                    xref.urls += self._texts(links[value].url)
        for (prefix, accession), xref in merged.items():
            sources = self._stated(xref.axioms, f"{OBO_IN_OWL}source")
            self._sinks.xrefs(
                (
                    self._iri,
                    self._key("prefix of a cross reference", prefix),
                    self._key("cross reference", accession),
                    RELATIONS[0] if EXACT_EVIDENCE in sources else xref.relation,
                    sources,
                    min(xref.urls, default=None),
                    sorted(set(xref.found)) if len(xref.found) > 1 else xref.found,
                )
            )

    def _split(self, value: str) -> tuple[str, str]:
        """Prefix and accession; a malformed value has an empty prefix."""
        parts = self._prefixes.split(value)
        if parts is not None:
            return parts
        self._findings.note("malformed_xref", f"{self._iri}: {value}")
        return "", value

    def _values(self, value: Any, axioms: Axioms = NO_AXIOMS) -> list[tuple[str, Axioms]]:
        """Every text of a value with the axioms about it, whatever its shape."""
        if value is None or value == "":
            return []
        if isinstance(value, str):
            return [(self._clean(value) if self._may_hold_nul else value, axioms)]
        if isinstance(value, list):
            return self._listed_values(value, axioms)
        if isinstance(value, dict):
            if "value" in value:
                return self._values(value["value"], _axioms(value) or axioms)
            self._findings.note("anonymous_node", f"{self._iri}: {sorted(value)[:3]}")
            return []
        return [(_scalar_text(value), axioms)]

    def _listed_values(self, values: list[Any], axioms: Axioms) -> list[tuple[str, Axioms]]:
        """As `_values`; plain texts, which most are, are taken without another call."""
        found: list[tuple[str, Axioms]] = []
        is_plain = not self._may_hold_nul
        for value in values:
            if is_plain and type(value) is str and value:
                found.append((value, axioms))
            else:
                found += self._values(value, axioms)
        return found

    def _texts(self, value: Any) -> list[str]:
        if type(value) is str and value and not self._may_hold_nul:
            return [value]
        return [text for text, _ in self._values(value)]

    def _clean(self, text: str) -> str:
        if "\0" not in text:
            return text
        self._findings.note("text_replaced", f"{self._iri}: {text!r}")
        return text.replace("\0", REPLACEMENT)

    def _key(self, what: str, text: str) -> str:
        # A character is 4 bytes at most: only a text this long is worth encoding.
        if len(text) * 4 <= KEY_LIMIT_BYTES or len(text.encode()) <= KEY_LIMIT_BYTES:
            return text
        raise RecordRejected(
            f"The class {self._iri[:200]} has a {what} of {len(text.encode()):,} bytes "
            f"({text[:60]!r}…), and PostgreSQL indexes {KEY_LIMIT_BYTES:,} at most: nothing was "
            f"published, the pages are kept; report the class to the ontology's editors."
        )


def _chosen(texts: list[str], *, shortest: bool) -> tuple[str | None, list[str]]:
    """The shortest (or longest) of the distinct texts, ties by code point; the others sorted.

    OLS gives no order among several labels or definitions, so the rule must not depend on one.
    """
    if len(texts) <= 1:
        return (texts[0] if texts else None), []
    distinct = sorted(set(texts))
    chosen = min(distinct, key=lambda text: len(text) if shortest else -len(text))
    distinct.remove(chosen)
    return chosen, distinct


def _relations(axioms: Axioms) -> list[str]:
    """The predicates that the axioms of a hierarchicalParent name; is_a where they name none."""
    named = [axiom["childRelationToParent"] for axiom in axioms if "childRelationToParent" in axiom]
    flat = [iri for name in named for iri in (name if isinstance(name, list) else [name])]
    return [PREDICATES.get(iri, iri) for iri in flat if isinstance(iri, str)] or ["is_a"]


def _axioms(reification: dict[str, Any]) -> Axioms:
    given = reification.get("axioms")
    listed = given if isinstance(given, list) else [given]
    return [axiom for axiom in listed if isinstance(axiom, dict)]


def _links(raw: msgspec.Raw) -> dict[str, LinkedEntity]:
    try:
        return _LINKED.decode(raw) if memoryview(raw).nbytes else {}
    except msgspec.ValidationError:
        return {}


def _scalar_text(value: object) -> str:
    """Booleans as OLS's literals spell them, whole floats without their `.0`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
