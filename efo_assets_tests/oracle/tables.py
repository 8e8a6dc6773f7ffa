"""The rows that tests expect, by column name; arrays are sorted tuples, so that rows can be hashed.

The columns are listed here once more, apart from the loader's specification: a column that one of
both lacks is an error, and one that is filled wrongly a difference.
"""

from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, TypeAlias

from efo_assets.sample.ontology import CONSIDER, REPLACED_BY

Texts: TypeAlias = tuple[str, ...]
OIO = "http://www.geneontology.org/formats/oboInOwl#"
EFO = "http://www.ebi.ac.uk/efo/"


class Term(NamedTuple):
    """A class; an annotated column holds what the class states by that property."""

    iri: str
    curie: str | None
    label: str
    other_labels: Texts
    definition: str | None
    other_definitions: Texts
    is_obsolete: bool
    is_root: bool
    is_defining: bool
    replaced_by: Annotated[Texts, REPLACED_BY] = ()
    consider: Annotated[Texts, CONSIDER] = ()
    subsets: Annotated[Texts, f"{OIO}inSubset"] = ()
    is_gwas_trait: Annotated[bool, f"{EFO}gwas_trait"] = False
    obsoleted_in: Annotated[str | None, f"{EFO}obsoleted_in_version"] = None
    obsolescence_reason: Annotated[str | None, f"{EFO}reason_for_obsolescence"] = None


class Synonym(NamedTuple):
    """A synonym of a class."""

    iri: str
    synonym: str
    scope: str
    type: str | None
    other_types: Texts
    sources: Texts


class ParentEdge(NamedTuple):
    """A class, one of its parents, and the relation."""

    child_iri: str
    parent_iri: str
    predicate: str


class Xref(NamedTuple):
    """A cross reference of a class."""

    iri: str
    prefix: str
    accession: str
    relation: str
    sources: Texts
    url: str | None
    found: Texts


class Replacement(NamedTuple):
    """Where one way of replacements of an obsolete class ends."""

    iri: str
    target_iri: str | None
    ordinal: int
    kind: str | None
    target: str | None
    status: str
    hops: int
    path: Texts
    evidence: str | None


class MeshTerm(NamedTuple):
    """A MeSH id and a current class that it leads to."""

    iri: str
    mesh_id: str
    mesh_kind: str
    relation: str
    is_own: bool
    via: Texts
    sources: Texts
    is_only_term: bool
    is_only_mesh_id: bool


class Ancestor(NamedTuple):
    """A class, one of its ancestors, and the distances over all walked relations and over is_a."""

    iri: str
    ancestor_iri: str
    distance: int
    is_a_distance: int | None


class Change(NamedTuple):
    """One difference between two releases."""

    iri: str
    kind: str
    before: str | None
    after: str | None


@dataclass(frozen=True)
class ExpectedRows:
    """The rows of each table for one release."""

    terms: frozenset[Term]
    synonyms: frozenset[Synonym]
    parent_edges: frozenset[ParentEdge]
    dangling_edges: frozenset[ParentEdge]
    xrefs: frozenset[Xref]
    replacements: frozenset[Replacement]
    mesh_terms: frozenset[MeshTerm]


ROW_TYPES: dict[str, Any] = {
    "terms": Term,
    "synonyms": Synonym,
    "parent_edges": ParentEdge,
    "xrefs": Xref,
    "replacements": Replacement,
    "mesh_terms": MeshTerm,
}
"""Staged name of a table to the type of its rows."""
STRENGTH = ("exact", "close", "narrow", "broad", "related", "xref")
"""Relations of a term to an entry of another database, the strongest first."""
