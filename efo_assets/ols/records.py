"""From the JSON of OLS v2 classes to the rows of four tables, in one pass.

`COLUMNS` names the values of each row; the specifications in `warehouse.tables` give their types
and meaning. A value in OLS is a scalar, a list (nested, too), or a reification: an object that
wraps the value and carries axioms about it. What can't become a row is counted with samples in
`Findings`; nothing is dropped in silence. This module knows neither files nor PostgreSQL.
"""

import hashlib
import json
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from operator import attrgetter
from types import GenericAlias
from typing import Any, NamedTuple, TypeAlias

import msgspec

from efo_assets.errors import RecordRejected
from efo_assets.ols.payload import Body, PayloadError, parse
from efo_assets.prefixes import Prefixes, registered

Sinks: TypeAlias = Mapping[str, Callable[[tuple[Any, ...]], None]]
"""Staged table to what takes its rows; their values are those that `COLUMNS` names."""
Axioms: TypeAlias = Sequence[dict[str, Any]]
_NotAnObject: TypeAlias = list[Any] | str | float | bool | None
_Said: TypeAlias = tuple[str, list[dict[str, Any]], list[str], list[str]]
"""Of an entry of another database: the relation that came first, which is the strongest since
annotations are read in that order; axioms, links and spellings."""

KEY_LIMIT_BYTES = 2600
"""PostgreSQL refuses index rows over 2,704 bytes; the rest is left to the key's other columns."""
_SHORT = KEY_LIMIT_BYTES // 4
"""A character is 4 bytes at most: only a longer text is worth encoding to know its bytes."""
SAMPLES_KEPT = 5
_visible = re.compile(r"[^\s\u200b\ufeff]").search
_WEB = ("http://", "https://")
_SHORT_FORM = re.compile(r".*[/#](?=.)")
"""What stands before the short form of an IRI."""

OWL_THING = "http://www.w3.org/2002/07/owl#Thing"
OBO = "http://purl.obolibrary.org/obo/"
OBO_IN_OWL = "http://www.geneontology.org/formats/oboInOwl#"
EFO = "http://www.ebi.ac.uk/efo/"
SKOS = "http://www.w3.org/2004/02/skos/core#"

SCOPES = {
    f"{OBO_IN_OWL}hasRelatedSynonym": "related",
    f"{OBO_IN_OWL}hasNarrowSynonym": "narrow",
    f"{OBO_IN_OWL}hasBroadSynonym": "broad",
    f"{OBO_IN_OWL}hasExactSynonym": "exact",
    f"{EFO}alternative_term": "exact",
}
"""Annotation property to the scope of the synonyms that it states."""
UNSCOPED = f"{OBO_IN_OWL}hasSynonym"
"""The annotation property of synonyms without a scope."""
NO_SCOPE = "related"
"""The scope of a synonym for which none is stated, as the OBO format has it."""
RELATIONS = {
    f"{SKOS}exactMatch": "exact",
    f"{SKOS}closeMatch": "close",
    f"{SKOS}narrowMatch": "narrow",
    f"{SKOS}broadMatch": "broad",
    f"{SKOS}relatedMatch": "related",
    f"{OBO_IN_OWL}hasDbXref": "xref",
}
"""Annotation property to the relation of the cross references that it states, strongest first."""
EXACT_EVIDENCE = "MONDO:equivalentTo"
"""The source by which MONDO marks a cross reference as the same concept."""
PREDICATES = {
    f"{OBO}BFO_0000050": "part_of",
    f"{OBO}RO_0002202": "develops_from",
    "http://www.w3.org/2000/01/rdf-schema#subClassOf": "is_a_implied",
}
"""Relation IRI of `childRelationToParent` to the predicate of an edge; others keep their IRI."""


def _joined(texts: list[str]) -> str | None:
    """One text of an annotation that may be stated several times; None without any."""
    return "; ".join(texts) or None


def _is_true(texts: list[str]) -> bool:
    return "true" in texts


ANNOTATIONS: Mapping[str, tuple[str, Callable[[list[str]], Any]]] = {
    "replaced_by": (f"{OBO}IAO_0100001", list),
    "consider": (f"{OBO_IN_OWL}consider", list),
    "subsets": (f"{OBO_IN_OWL}inSubset", list),
    "is_gwas_trait": (f"{EFO}gwas_trait", _is_true),
    "obsoleted_in": (f"{EFO}obsoleted_in_version", _joined),
    "obsolescence_reason": (f"{EFO}reason_for_obsolescence", _joined),
}
"""Column of a term to the annotation property that it holds, and how its texts are read.

A new column begins here, with a line that names its property and reads it as `list` (`text[]`),
`_joined` (`text`) or `_is_true` (`boolean`). The other lines: `Column(…, since=N)` in
`warehouse.tables.TERMS`, a value in `sample.ontology.ANNOTATED`, and a field of `Term` in
`efo_assets_tests/oracle/tables.py`.
"""
COLUMNS: Mapping[str, Sequence[str]] = {
    "terms": (
        *("id", "iri", "curie", "label", "other_labels", "definition", "other_definitions"),
        *("is_obsolete", "is_root", "is_defining", *ANNOTATIONS),
    ),
    "synonyms": ("term_id", "synonym", "scope", "type", "other_types", "sources"),
    "parent_edges": ("child_id", "parent_iri", "predicate"),
    "xrefs": ("term_id", "prefix", "accession", "relation", "sources", "url", "found"),
}
"""The row contract: staged table to the names of a row's values, in order."""

KNOWN_FIELDS = frozenset(
    re.findall(
        r"\w+",
        "appearsIn curie definedBy definition definitionProperty directAncestor directParent "
        "hasDirectChildren hasDirectParents hasHierarchicalChildren hasHierarchicalParents "
        "hasIndividuals hierarchicalAncestor hierarchicalParent hierarchicalProperty imported iri "
        "isDefiningOntology isObsolete isPreferredRoot label linkedEntities numDescendants "
        "numHierarchicalDescendants ontologyId ontologyIri ontologyPreferredPrefix relatedFrom "
        "relatedTo searchableAnnotationValues shortForm synonym synonymProperty type",
    )
)
"""OLS's own fields of a class in 2024 to 2026; annotations are named by IRIs."""
_FIRST_CLASS = re.compile(rb'"elements"\s*:\s*\[\s*(?=\{)')
_FIRST_CLASS_BYTES = 1 << 20
"""A first class that is longer isn't looked at."""


class LinkedEntity(msgspec.Struct, gc=False):
    """What OLS knows of an entity that a class mentions; only its link is of use here."""

    url: Any = None


class OlsClass(msgspec.Struct, gc=False, rename="camel"):
    """OLS's own fields of a v2 class that become rows; msgspec skips all others."""

    iri: str
    curie: Any = None
    label: Any = None
    definition: Any = msgspec.field(default=None, name=f"{OBO}IAO_0000115")
    direct_parent: Any = None
    hierarchical_parent: Any = None
    synonym: Any = None
    """The union of all synonyms, of whatever property, without their scopes."""
    is_obsolete: bool | None = None
    is_defining: Any = msgspec.field(default=False, name="isDefiningOntology")
    linked_entities: dict[str, LinkedEntity | _NotAnObject] | _NotAnObject = None


_PROPERTIES = {
    iri: f"property_{number}"
    for number, iri in enumerate(
        (*SCOPES, UNSCOPED, *RELATIONS, *(iri for iri, _ in ANNOTATIONS.values()))
    )
}
"""Annotation property to the field of `_AnnotatedClass` that holds its value."""
_AnnotatedClass = msgspec.defstruct(
    "_AnnotatedClass",
    [(name, Any, msgspec.field(default=None, name=iri)) for iri, name in _PROPERTIES.items()],
    bases=(OlsClass,),
    gc=False,
)


class ClassPage(msgspec.Struct, gc=False, rename="camel"):
    """A v2 page: its number, the rows of the whole list, and its classes."""

    page: int
    total_elements: int
    elements: list[OlsClass]


_AnnotatedPage: type[Any] = msgspec.defstruct(
    "_AnnotatedPage",
    [("elements", GenericAlias(list, (_AnnotatedClass,)))],
    bases=(ClassPage,),
    gc=False,
)


class ParsedPage(NamedTuple):
    """A page as msgspec gives it, and what its text tells about the values."""

    page: ClassPage
    surrogates: int
    """How many lone surrogates became U+FFFD."""


_synonym_values = attrgetter(*(_PROPERTIES[iri] for iri in SCOPES))
_unscoped_value = attrgetter(_PROPERTIES[UNSCOPED])
_xref_values = attrgetter(*(_PROPERTIES[iri] for iri in RELATIONS))
_annotation_values = attrgetter(*(_PROPERTIES[iri] for iri, _ in ANNOTATIONS.values()))
_READINGS = [(read, read([])) for _, read in ANNOTATIONS.values()]
"""How the texts of each annotation are read, and what none of them gives."""
_ENTITY = {LinkedEntity}


@dataclass(slots=True)
class Findings:
    """What was left out or replaced, by kind, with the first samples of each."""

    counts: Counter[str] = field(default_factory=Counter)
    samples: dict[str, list[str]] = field(default_factory=dict)

    def note(self, kind: str, sample: str, times: int = 1) -> None:
        """Count `times` findings of `kind` and keep the sample if there is room."""
        self.counts[kind] += times
        kept = self.samples.setdefault(kind, [])
        if len(kept) < SAMPLES_KEPT:
            kept.append(sample[:300])

    def add(self, facts: Mapping[str, Any]) -> None:
        """Add the findings of another page, which `as_facts` gave."""
        for kind, fact in facts.items():
            self.counts[kind] += fact["count"]
            kept = self.samples.setdefault(kind, [])
            kept += fact["samples"][: SAMPLES_KEPT - len(kept)]

    def as_facts(self) -> dict[str, Any]:
        """Counts and samples by kind, as JSON."""
        return {
            kind: {"count": count, "samples": self.samples[kind]}
            for kind, count in sorted(self.counts.items())
        }


def parse_page(body: Body) -> ParsedPage:
    """Parse the JSON text of a page, which is not compressed; once, for acceptance and for rows.

    Raises:
        PayloadError: the body is no v2 page.
    """
    page, surrogates = parse(body, _AnnotatedPage)
    return ParsedPage(page, surrogates)


class TermKeys(msgspec.Struct, frozen=True, tag=True):
    """The surrogate keys of terms: those that were given before, and what new ones begin with.

    A new term's key follows from its place in the lists, so that pages may be read in any order.
    Every process that reads pages has all of them, so they take 16 bytes each and not the 200 of a
    dictionary. An IRI that has the hash of another would get its key; publication refuses that.
    """

    hashes: bytes
    """Of IRIs, in ascending order, as `iri_hash` gives them: native integers of 8 bytes."""
    keys: bytes
    """In the order of the hashes, of the same kind."""
    first_new: int

    def of(self, iri: str, row: int) -> int:
        """The key of a term whose class has this place in the lists."""
        hashes, sought = _integers(self.hashes), iri_hash(iri)
        place = bisect_left(hashes, sought)
        if place < len(hashes) and hashes[place] == sought:
            return _integers(self.keys)[place]
        return self.first_new + row


@lru_cache(maxsize=2)
def _integers(native: bytes) -> "memoryview[int]":
    return memoryview(native).cast("Q")


def iri_hash(iri: str) -> int:
    """What PostgreSQL makes of an IRI, too; see `keys_given`."""
    return int.from_bytes(hashlib.sha256(iri.encode()).digest()[:8], "big")


def decode_page(
    parsed: ParsedPage,
    sinks: Sinks,
    findings: Findings,
    keys: TermKeys,
    *,
    first_row: int = 0,
    most: int | None = None,
) -> int:
    """Send the rows of one v2 page to their sinks; return the number of terms.

    Args:
        parsed: the page.
        sinks: what takes the rows of each table, called once per row.
        findings: receives what was left out or replaced.
        keys: the keys of terms.
        first_row: place of the page's first class in all lists, one after the other.
        most: decode only the first classes of the page.

    Raises:
        PayloadError: a value is nested too deep.
        RecordRejected: a value can't be a key in PostgreSQL; the message names the class.
    """
    if parsed.surrogates:
        findings.note("text_replaced", "lone surrogates in a page", parsed.surrogates)
    reader = _ClassReader(sinks, findings, keys)
    try:
        rows = enumerate(parsed.page.elements[:most], first_row)
        return sum(reader.read(ols_class, row) for row, ols_class in rows)
    except RecursionError:
        raise PayloadError("a value is nested too deep") from None


def unknown_fields(page: Body) -> set[str]:
    """Fields of the first class of a page that OLS didn't use before.

    A field that OLS adds stands in every class, and looking at each would decode all of them twice.
    """
    if begin := _FIRST_CLASS.search(page):
        text = bytes(page[begin.end() : begin.end() + _FIRST_CLASS_BYTES]).decode(errors="replace")
        with suppress(ValueError, RecursionError):
            names, _ = json.JSONDecoder().raw_decode(text)
            return {name for name in names if "://" not in name and name not in KNOWN_FIELDS}
    return set()


@dataclass(slots=True)
class _ClassReader:
    """Turns the classes of one page into rows."""

    sinks: Sinks
    findings: Findings
    keys: TermKeys
    prefixes: Prefixes = field(default_factory=registered)
    iri: str = ""
    """Of the class that is being read."""
    key: int = 0
    """Of the class that is being read."""

    def read(self, ols_class: OlsClass, row: int) -> int:
        """Emit all rows of one class; 1, or 0 for `owl#Thing`, which is no term."""
        if ols_class.iri == OWL_THING:
            self.findings.note("owl_thing", ols_class.iri)
            return 0
        self.iri = self._key("iri", self._clean(ols_class.iri))
        self.key = self.keys.of(self.iri, row)
        edges = self._edges(ols_class)
        self._term(ols_class, is_root=not edges)
        for parent, predicate in edges:
            self.sinks["parent_edges"]((self.key, parent, predicate))
        self._synonyms(ols_class)
        self._xrefs(ols_class)
        return 1

    def _term(self, ols_class: OlsClass, *, is_root: bool) -> None:
        labels = self._texts(ols_class.label)
        if not any(map(_visible, labels)):
            labels = [_SHORT_FORM.sub("", self.iri)]
            self.findings.note("no_label", labels[0])
        label, other_labels = _chosen(labels, shortest=True)
        definition, other_definitions = _chosen(self._texts(ols_class.definition), shortest=False)
        curies = self._texts(ols_class.curie)
        is_obsolete = ols_class.is_obsolete is True
        self.sinks["terms"](
            (
                self.key,
                self.iri,
                self._key("curie", curies[0]) if curies else None,
                self._key("label", label or ""),
                other_labels,
                definition,
                other_definitions,
                is_obsolete,
                is_root and not is_obsolete,
                ols_class.is_defining is True,
                *[
                    nothing if value is None else read(_distinct(self._texts(value)))
                    for value, (read, nothing) in zip(
                        _annotation_values(ols_class), _READINGS, strict=True
                    )
                ],
            )
        )

    def _edges(self, ols_class: OlsClass) -> list[tuple[str, str]]:
        """Parent and predicate of each edge, each once, in a stable order."""
        edges = {(parent, "is_a"): None for parent in self._texts(ols_class.direct_parent)}
        for parent, axioms in self._values(ols_class.hierarchical_parent):
            for predicate in _predicates(axioms) if axioms else ("is_a",):
                if predicate not in ("is_a", "is_a_implied") or (parent, "is_a") not in edges:
                    edges[parent, predicate] = None
        return [
            (self._key("parent", parent), predicate)
            for parent, predicate in edges
            if parent != OWL_THING
        ]

    def _synonyms(self, ols_class: OlsClass) -> None:
        emit, key = self.sinks["synonyms"], self.key
        for (scope, text), axioms in self._axioms_of_synonyms(ols_class).items():
            if not _visible(text):
                self.findings.note("blank_synonym", f"{self.iri}: {text!r}")
                continue
            synonym = self._key("synonym", text)
            if axioms:
                types = self._stated(axioms, f"{OBO_IN_OWL}hasSynonymType")
                sources = self._stated(axioms, f"{OBO_IN_OWL}hasDbXref")
                emit((key, synonym, scope, types[0] if types else None, types[1:], sources))
            else:
                emit((key, synonym, scope, None, [], []))

    def _axioms_of_synonyms(self, ols_class: OlsClass) -> dict[tuple[str, str], Axioms]:
        """By scope and text, which are those of the rows."""
        axioms_of: dict[tuple[str, str], Axioms] = {}
        stated = _synonym_values(ols_class)
        for scope, value in zip(SCOPES.values(), stated, strict=True):
            if value is not None:
                for text, axioms in self._values(value):
                    known = axioms_of.get((scope, text))
                    axioms_of[scope, text] = [*known, *axioms] if known else axioms
        union, without_scope = ols_class.synonym, _unscoped_value(ols_class)
        if rest := _besides(union, (*stated, without_scope)) + _items(without_scope):
            scopes: dict[str, list[str]] = {}
            for scope, text in axioms_of:
                scopes.setdefault(text, []).append(scope)
            for text, axioms in self._values(rest):
                for scope in scopes.get(text, [NO_SCOPE]):
                    axioms_of[scope, text] = [*axioms_of.get((scope, text), ()), *axioms]
        return axioms_of

    def _stated(self, axioms: Axioms, predicate: str) -> list[str]:
        """What axioms state by a predicate, each text once and in order."""
        texts: list[str] = []
        for axiom in axioms:
            if (value := axiom.get(predicate)) is not None:
                texts += self._texts(value)
        return _distinct(texts)

    def _xrefs(self, ols_class: OlsClass) -> None:
        emit, key = self.sinks["xrefs"], self.key
        for (prefix, accession), said in self._said_of_entries(ols_class).items():
            relation, axioms, urls, spellings = said
            sources = self._stated(axioms, f"{OBO_IN_OWL}source") if axioms else []
            emit(
                (
                    key,
                    self._key("prefix of a cross reference", prefix),
                    self._key("cross reference", accession),
                    "exact" if EXACT_EVIDENCE in sources else relation,
                    sources,
                    min(urls) if urls else None,
                    _distinct(spellings),
                )
            )

    def _said_of_entries(self, ols_class: OlsClass) -> dict[tuple[str, str], _Said]:
        """What all annotations say of each entry of another database, by prefix and accession."""
        entries: dict[tuple[str, str], _Said] = {}
        links = _links(ols_class)
        for relation, values in zip(RELATIONS.values(), _xref_values(ols_class), strict=True):
            if values is None:
                continue
            for value, axioms in self._values(values):
                for reference, entry in self._entries(value):
                    _, stated, urls, spellings = entries.setdefault(entry, (relation, [], [], []))
                    stated += axioms
                    spellings.append(value)
                    if reference.startswith(_WEB):
                        urls.append(reference)
                    elif linked := links.get(value) or links.get(reference):
                        urls += self._texts(linked.url)
        return entries

    def _entries(self, value: str) -> list[tuple[str, tuple[str, str]]]:
        """Each cross reference in a value, with its prefix and accession."""
        references, may_be_more = self.prefixes.references(value)
        if may_be_more:
            self.findings.note("several_references", f"{self.iri}: {value}")
        entries = []
        for reference in references:
            entry = self.prefixes.split(reference)
            if entry is None:
                self.findings.note("malformed_xref", f"{self.iri}: {value}")
            entries.append((reference, entry or ("", value)))
        return entries

    def _values(self, value: Any, axioms: Axioms = ()) -> list[tuple[str, Axioms]]:
        """Every text of a value with the axioms about it, whatever its shape."""
        if isinstance(value, list):
            return self._listed_values(value, axioms)
        if value is None or value == "":
            if value is not None:
                self.findings.note("empty_text", self.iri)
            return []
        if isinstance(value, str):
            return [(self._clean(value), axioms)]
        if isinstance(value, dict):
            if "value" in value:
                return self._values(value["value"], _axioms(value) or axioms)
            self.findings.note("anonymous_node", f"{self.iri}: {sorted(value)[:3]}")
            return []
        return [(_scalar_text(value), axioms)]

    def _listed_values(self, values: list[Any], axioms: Axioms) -> list[tuple[str, Axioms]]:
        """As `_values`; plain texts, most of them reified, are taken without another call."""
        pairs: list[tuple[str, Axioms]] = []
        for value in values:
            text, about = value, axioms
            if type(value) is dict and type(bare := value.get("value")) is str:
                text, about = bare, _axioms(value) or axioms
            if type(text) is str and text and "\0" not in text:
                pairs.append((text, about))
            else:
                pairs += self._values(text, about)
        return pairs

    def _texts(self, value: Any) -> list[str]:
        if type(value) is list and len(value) == 1:
            value = value[0]
        if type(value) is str and value and "\0" not in value:
            return [value]
        return [text for text, _ in self._values(value)]

    def _clean(self, text: str) -> str:
        if "\0" not in text:
            return text
        self.findings.note("text_replaced", f"{self.iri}: {text!r}")
        return text.replace("\0", "\N{REPLACEMENT CHARACTER}")

    def _key(self, what: str, text: str) -> str:
        if len(text) <= _SHORT or len(text.encode()) <= KEY_LIMIT_BYTES:
            return text
        raise RecordRejected(
            f"The class {self.iri[:200]} has a {what} of {len(text.encode()):,} bytes "
            f"({text[:60]!r}…), and PostgreSQL indexes {KEY_LIMIT_BYTES:,} at most: nothing was "
            f"published, the pages are kept; report the class to the ontology's editors."
        )


def _items(value: Any) -> list[Any]:
    """The values of a list, nested or not, or the one value that there is."""
    if not isinstance(value, list):
        return [] if value is None else [value]
    if list not in map(type, value):
        return value
    return [item for each in value for item in _items(each)]


def _besides(union: Any, others: Iterable[Any]) -> list[Any]:
    """The values of a union that no other value holds; axioms about a text don't count."""
    if union is None:
        return []
    known = {_bare(item) for other in others if other is not None for item in _items(other)}
    return [item for item in _items(union) if _bare(item) not in known]


def _bare(item: Any) -> object:
    """What makes two values the same: the text, reified or not, else all that it says."""
    value = item.get("value", item) if type(item) is dict else item
    return value if type(value) is str else (repr(value),)


def _distinct(texts: list[str]) -> list[str]:
    """Each text once and in order."""
    return sorted(set(texts)) if len(texts) > 1 else texts


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


def _predicates(axioms: Axioms) -> list[str]:
    """The predicates that the axioms of a hierarchicalParent name; is_a where they name none."""
    named = [axiom["childRelationToParent"] for axiom in axioms if "childRelationToParent" in axiom]
    flat = [iri for name in named for iri in (name if isinstance(name, list) else [name])]
    return [PREDICATES.get(iri, iri) for iri in flat if isinstance(iri, str)] or ["is_a"]


def _axioms(reification: dict[str, Any]) -> Axioms:
    axioms = reification.get("axioms")
    listed: list[Any] = axioms if isinstance(axioms, list) else [axioms]
    if len(listed) == 1 and type(listed[0]) is dict:
        return listed
    return [axiom for axiom in listed if isinstance(axiom, dict)]


def _links(ols_class: OlsClass) -> dict[str, Any]:
    """The entities that a class mentions; none unless each is an object, as in OLS."""
    linked = ols_class.linked_entities
    if isinstance(linked, dict) and set(map(type, linked.values())) == _ENTITY:
        return linked
    return {}


def _scalar_text(value: object) -> str:
    """Booleans as OLS's literals spell them, whole floats without their `.0`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
