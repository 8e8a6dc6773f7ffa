"""Table specifications: the one source of DDL, COPY types, column docs, diffs and checks.

A `Table` stands twice in PostgreSQL. *Staged*, in the schema of one load, it holds natural keys
(IRIs) and no constraints. *Published*, in the schema that people read, IRIs of terms are replaced
by surrogate keys that survive releases, and constraints, indexes and comments apply. A new table
is an entry in `TABLES`; this module holds no SQL that runs.
"""

from dataclasses import dataclass

TERM_KEY = "bigint"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a staged or published table."""

    name: str
    type: str
    """PostgreSQL's name of the type, as `format_type` prints it."""
    comment: str
    nullable: bool = False
    default: str | None = None


@dataclass(frozen=True, slots=True)
class Reference:
    """A column that holds a term: its IRI when staged, its surrogate key when published."""

    staged: str
    published: str
    comment: str


@dataclass(frozen=True, slots=True)
class Index:
    """A plain index of a published table, by the question that it serves."""

    name: str
    expression: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table that is staged and published.

    `key` and `values` name columns other than the references; the references together with the
    key columns identify a row in either form.
    """

    staged_name: str
    name: str
    comment: str
    references: tuple[Reference, ...]
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    indexes: tuple[Index, ...] = ()
    lifecycle: tuple[Column, ...] = ()
    """Columns that only the publisher writes."""

    @property
    def values(self) -> tuple[str, ...]:
        """The columns that may change while the row stays the same row."""
        return tuple(column.name for column in self.columns if column.name not in self.key)

    @property
    def staged_columns(self) -> tuple[Column, ...]:
        """All columns when staged, in COPY's order; only keys are NOT NULL, checks see the rest."""
        references = (Column(ref.staged, "text", ref.comment) for ref in self.references)
        return (*references, *self.columns)

    @property
    def published_columns(self) -> tuple[Column, ...]:
        """All columns when published, in the table's order."""
        references = (Column(ref.published, TERM_KEY, ref.comment) for ref in self.references)
        surrogate = (TERM_ID,) if self is TERMS else ()
        return (*surrogate, *references, *self.columns, *self.lifecycle)

    @property
    def copy_types(self) -> tuple[str, ...]:
        """The types of a staged row, for binary COPY."""
        return tuple(column.type for column in self.staged_columns)

    @property
    def published_key(self) -> tuple[str, ...]:
        """The columns whose values identify a published row."""
        return (*(ref.published for ref in self.references), *self.key)


TERM_ID = Column("id", TERM_KEY, "Surrogate key; stays with the IRI over all releases.")

_TERM = Reference("iri", "term_id", "The term (`efo_terms.id`; staged: its IRI).")

TERMS = Table(
    staged_name="terms",
    name="efo_terms",
    comment="Every class of the ontology, obsolete ones included; one row per IRI, kept for ever.",
    references=(),
    columns=(
        Column("iri", "text", "The class's IRI, its only reliable identifier."),
        Column("curie", "text", "OLS's compact form, such as EFO:0000408.", nullable=True),
        Column(
            "label", "text", "The label; of several the shortest, then the first by code point."
        ),
        Column("other_labels", "text[]", "The labels that were not chosen.", default="'{}'"),
        Column(
            "definition",
            "text",
            "IAO:0000115; of several the longest, then the first by code point.",
            nullable=True,
        ),
        Column(
            "other_definitions", "text[]", "The definitions that were not chosen.", default="'{}'"
        ),
        Column("is_obsolete", "boolean", "Whether the ontology marks the class as obsolete."),
        Column("is_root", "boolean", "Current, and no parent but owl:Thing."),
        Column("is_defining", "boolean", "Whether this ontology, not an imported one, defines it."),
    ),
    key=("iri",),
    lifecycle=(
        Column("first_release", "bigint", "The release that brought it (`efo_meta.releases`)."),
        Column("changed_release", "bigint", "The release that last changed this row."),
        Column(
            "removed_in",
            "bigint",
            "The release in which the class vanished; null while it is listed.",
            nullable=True,
        ),
    ),
    indexes=(
        Index("curie", "(curie)"),
        Index("lower_label", "(lower(label))"),
    ),
)

SYNONYMS = Table(
    staged_name="synonyms",
    name="efo_synonyms",
    comment="Synonyms of listed terms; one row per term, scope and text.",
    references=(_TERM,),
    columns=(
        Column("synonym", "text", "The synonym, byte for byte."),
        Column(
            "scope", "text", "exact, related, narrow or broad; EFO's alternative_term is exact."
        ),
        Column(
            "type",
            "text",
            "IRI of the synonym type (an abbreviation, say); of several the first by code point.",
            nullable=True,
        ),
        Column("other_types", "text[]", "The types that were not chosen.", default="'{}'"),
        Column("sources", "text[]", "Where the synonym comes from, as CURIEs.", default="'{}'"),
    ),
    key=("scope", "synonym"),
    indexes=(Index("lower_synonym", "(lower(synonym))"),),
)

PARENT_EDGES = Table(
    staged_name="parent_edges",
    name="efo_parent_edges",
    comment="Every parent of every listed term, each with its relation.",
    references=(
        Reference("child_iri", "child_id", "The child (`efo_terms.id`; staged: its IRI)."),
        Reference("parent_iri", "parent_id", "The parent (`efo_terms.id`; staged: its IRI)."),
    ),
    columns=(
        Column(
            "predicate",
            "text",
            "is_a, part_of, develops_from, is_a_implied (by an intersection), or a relation's IRI.",
        ),
    ),
    key=("predicate",),
    indexes=(Index("parent", "(parent_id, predicate)"),),
)

XREFS = Table(
    staged_name="xrefs",
    name="efo_xrefs",
    comment="Cross references of listed terms to other vocabularies.",
    references=(_TERM,),
    columns=(
        Column(
            "prefix",
            "text",
            "The database in one spelling (MESH for MESH, MeSH, MSH); URL for a web address; "
            "empty where the value has no prefix.",
        ),
        Column("accession", "text", "The identifier there: all after the first colon."),
        Column("relation", "text", "exact where MONDO says equivalentTo, else xref."),
        Column("sources", "text[]", "Who states the cross reference.", default="'{}'"),
        Column("url", "text", "A link, where OLS knows one.", nullable=True),
    ),
    key=("prefix", "accession"),
    indexes=(Index("accession", "(prefix, accession)"),),
)

TABLES: tuple[Table, ...] = (TERMS, SYNONYMS, PARENT_EDGES, XREFS)
"""In the order of publication: terms first, since all others refer to them."""

BY_STAGED_NAME = {table.staged_name: table for table in TABLES}

MESH_VIEW = "efo_mesh_xrefs"
MESH_VIEW_COMMENT = "MeSH cross references of current terms, by accession."
