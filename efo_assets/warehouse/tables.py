"""Table specifications: the one source of DDL, COPY types, column docs, diffs and checks.

A `Table` stands twice in PostgreSQL: *staged*, in the schema of one load, without constraints, and
*published*, in the schema that people read, with keys, indexes and comments. Both hold terms by
the surrogate keys that survive releases. A new table is an entry in `TABLES`; this module holds no
SQL that runs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from unicodedata import normalize

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
    since: int = 1
    """The format of staged rows (`FORMAT_VERSION`) that brought it to a published table."""
    read_since: int = 1
    """The format since which the same document gives these values; earlier ones gave others."""
    is_identity: bool = False
    """Whether PostgreSQL numbers the rows."""


def _text(
    name: str, comment: str, *, nullable: bool = False, since: int = 1, read_since: int = 1
) -> Column:
    return Column(name, "text", comment, nullable=nullable, since=since, read_since=read_since)


def _texts(name: str, comment: str, *, since: int = 1) -> Column:
    """Several texts, of which a row may have none."""
    return Column(name, "text[]", comment, default="'{}'", since=since)


@dataclass(frozen=True, slots=True)
class Reference:
    """A column that holds a term, by its surrogate key."""

    name: str
    comment: str
    is_key: bool = True
    """Whether it helps to identify the row; one that doesn't may be null."""
    copied: str | None = None
    """The column that COPY brings instead, with an IRI: the class may come on a later page."""

    @property
    def column(self) -> Column:
        """The column that holds it."""
        return Column(self.name, TERM_KEY, self.comment, nullable=not self.is_key)


@dataclass(frozen=True, slots=True)
class Index:
    """A plain index of a published table, by the question that it serves."""

    name: str
    expression: str
    """What follows the table's name in CREATE INDEX; `{schema}` and `{prefix}` are the table's."""


@dataclass(frozen=True, slots=True)
class Kinds:
    """A column that holds one of a few words, whose rows are counted.

    None loses half of its rows from one release to the next, unless a server drops or renames a
    field, or the word is rare.
    """

    column: str
    least_share: float = 0.0
    """How much of the table's rows a word must lose for it to block. 0: our own words, of which
    each stands for a field. 1: words that come and go."""


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
    retired_indexes: tuple[str, ...] = ()
    """Names of those that earlier versions made; dropped where they are."""
    lifecycle: tuple[Column, ...] = ()
    """Columns that only the publisher writes; see `is_referenced`."""
    made_from: tuple[str, ...] = ()
    """The staged tables that SQL makes its staged rows from; without any, they are copied."""
    kinds: tuple[Kinds, ...] = ()
    is_history: bool = False
    """Whether each release adds rows, marked with its number, and leaves those of others alone."""

    @property
    def is_referenced(self) -> bool:
        """Whether other tables refer to its rows.

        Then each has a surrogate key, and stays when it vanishes, marked as removed.
        """
        return bool(self.lifecycle)

    @property
    def is_derived(self) -> bool:
        """Whether SQL makes its staged rows."""
        return bool(self.made_from)

    @property
    def values(self) -> tuple[str, ...]:
        """The published columns that may change while the row stays the same row."""
        return (
            *(ref.name for ref in self.references if not ref.is_key),
            *(column.name for column in self.columns if column.name not in self.key),
        )

    @property
    def staged_columns(self) -> tuple[Column, ...]:
        """All columns when staged; only keys are NOT NULL, checks see the rest."""
        surrogate = (TERM_ID,) if self.is_referenced else ()
        return (*surrogate, *(ref.column for ref in self.references), *self.columns)

    @property
    def copied_columns(self) -> tuple[Column, ...]:
        """All columns of a copied row; those of `staged_columns` but for a `Reference.copied`."""
        by_iri = {ref.name: ref.copied for ref in self.references if ref.copied}
        return tuple(
            Column(by_iri[column.name], "text", column.comment) if column.name in by_iri else column
            for column in self.staged_columns
        )

    @property
    def copied_name(self) -> str:
        """The table that COPY fills: the staged one, unless IRIs must be resolved first."""
        is_resolved_later = any(ref.copied for ref in self.references)
        return f"copied_{self.staged_name}" if is_resolved_later else self.staged_name

    @property
    def published_columns(self) -> tuple[Column, ...]:
        """All columns when published, in the table's order."""
        release = (RELEASE_ID,) if self.is_history else ()
        return (*release, *self.staged_columns, *self.lifecycle)

    @property
    def exported_columns(self) -> tuple[Column, ...]:
        """All columns of an exported row: terms by IRI, releases by version, no surrogate keys."""
        release = (RELEASE_VERSION,) if self.is_history else ()
        references = (
            Column(
                ref.name.removesuffix("_id") + "_iri",
                "text",
                f"IRI for {ref.name}: {ref.comment}",
                nullable=not ref.is_key,
            )
            for ref in self.references
        )
        return (*release, *references, *self.columns)

    def copy_types(self, columns: Sequence[str]) -> list[str]:
        """The types of a copied row's values, which stand in the order of `columns`.

        Raises:
            ValueError: the names are not those of the copied columns.
        """
        types = {column.name: column.type for column in self.copied_columns}
        if differing := sorted(types.keys() ^ set(columns)):
            raise ValueError(
                f"Rows of {self.staged_name} and their specification differ in "
                f"{', '.join(differing)}: a column needs a line in each (CONTRIBUTING.md)."
            )
        return [types[name] for name in columns]

    @property
    def staged_key(self) -> tuple[str, ...]:
        """The columns whose values identify a staged row."""
        return (*(ref.name for ref in self.references if ref.is_key), *self.key)

    @property
    def published_key(self) -> tuple[str, ...]:
        """The columns whose values identify a published row."""
        release = (RELEASE_ID.name,) if self.is_history else ()
        return (*release, *self.staged_key)


MESH_ID = "^[CDQ]([0-9]{6}|[0-9]{9})$"
"""MeSH's unique ids: https://www.nlm.nih.gov/mesh/mesh_ids.html"""
NAMES = r'(https?://[^\s<>"|,;]+|\m[A-Za-z][A-Za-z0-9.]*[:_][A-Za-z0-9_-]+)'
"""IRIs, CURIEs and short forms within a text."""
CLOSURE_PREDICATES = ("is_a", "is_a_implied", "part_of", "develops_from")
"""The relations whose parents are ancestors."""

PUNCTUATION = r"[\s!-/:-@[-`{-~\u2010-\u2015\u2018-\u201f\u2032-\u2037]+"
"""ASCII's and Unicode's dashes, quotation marks and primes, as PostgreSQL's regular expressions
spell them; `[:punct:]` would depend on the database's collation, and white space beyond ASCII,
which `folding` maps, does."""

CURIE_KEY = """lower(translate(curie, '_', ':') collate "C")"""
"""A CURIE and the short form of the same class, in any case, have the same."""
_LEXEMES = "using gin (to_tsvector('pg_catalog.english', {schema}.{prefix}folded(%s)))"
LOST_SYNONYM = "substr(before, strpos(before, ': ') + 2)"
"""The text of a synonym that `efo_changes` tells with its scopes."""

BLANKS = "".join(filter(str.isspace, map(chr, range(0x80, 0x3001)))) + "\u200b\ufeff"
"""White space beyond ASCII, with two characters of no width that stand between words."""


@cache
def folding() -> tuple[str, str]:
    """Characters beyond ASCII that lookup takes for others, and those, as `translate` wants them.

    Letters by Unicode's simple case folding (none is later than U+1E921), white space by a space.
    """
    beyond_ascii = map(chr, range(0x80, 0x1E922))
    pairs = {c: folded for c in beyond_ascii if (folded := c.casefold()) != c}
    # Where folding makes several letters of one, the simple kind is lower case or none.
    pairs = {c: folded if len(folded) == 1 else c.lower() for c, folded in pairs.items()}
    pairs = {c: folded for c, folded in pairs.items() if len(folded) == 1 and folded != c}
    pairs |= dict.fromkeys(BLANKS, " ")
    return "".join(pairs), "".join(pairs.values())


@cache
def unaccenting() -> tuple[str, str]:
    """Latin letters with accents, in lower case, and those without, as `translate` wants them."""
    latin = map(chr, (*range(0xE0, 0x250), *range(0x1E00, 0x1F00)))
    decomposed = {c: normalize("NFD", c)[0] for c in latin if c.islower()}
    pairs = {c: base for c, base in decomposed.items() if base.isascii()}
    pairs |= {"ø": "o", "ł": "l", "đ": "d", "ħ": "h", "ŧ": "t", "\u0131": "i"}
    return "".join(pairs), "".join(pairs.values())


RELEASE_ID = Column("release_id", TERM_KEY, "The release (`efo_release`).")
RELEASE_VERSION = _text("release", "The version of the release.")
TERM_ID = Column(
    "id", TERM_KEY, "Surrogate key; stays with the IRI over all releases.", is_identity=True
)

_TERM = Reference("term_id", "The term (`efo_terms.id`).")

TERMS = Table(
    staged_name="terms",
    name="efo_terms",
    comment="Every class of the ontology, obsolete ones included; one row per IRI, kept for ever.",
    references=(),
    columns=(
        _text("iri", "The class's IRI, its only reliable identifier."),
        _text("curie", "OLS's compact form, such as EFO:0000408.", nullable=True),
        _text(
            "label",
            "The label; of several the shortest, then the first by code point; without any, the "
            "short form of the IRI.",
        ),
        _texts("other_labels", "The labels that were not chosen."),
        _text(
            "definition",
            "IAO:0000115; of several the longest, then the first by code point.",
            nullable=True,
        ),
        _texts("other_definitions", "The definitions that were not chosen."),
        Column("is_obsolete", "boolean", "Whether the ontology marks the class as obsolete."),
        Column("is_root", "boolean", "Current, and no parent but owl:Thing."),
        Column("is_defining", "boolean", "Whether this ontology, not an imported one, defines it."),
        _texts(
            "replaced_by", "IAO:0100001 as found; `efo_replacements` says where it leads.", since=2
        ),
        _texts("consider", "oboInOwl:consider as found, the weaker kind.", since=2),
        _texts("subsets", "oboInOwl:inSubset: IRIs of its subsets.", since=2),
        Column(
            "is_gwas_trait",
            "boolean",
            "EFO's gwas_trait: a trait of the GWAS Catalog.",
            default="false",
            since=2,
        ),
        _text("obsoleted_in", "EFO's obsoleted_in_version.", nullable=True, since=2),
        _text("obsolescence_reason", "EFO's reason_for_obsolescence.", nullable=True, since=2),
    ),
    key=("iri",),
    lifecycle=(
        Column("first_release", "bigint", "The release that brought it (`efo_release`)."),
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
        Index("curie_key", f"(({CURIE_KEY}))"),
        Index("lower_label", "(lower(label))"),
        Index("label_key", "({schema}.{prefix}normalised(label))"),
        Index("other_labels", "(id) where other_labels <> '{{}}'"),
        Index("label_lexemes", _LEXEMES % "label"),
    ),
    retired_indexes=("normalised_label", "label_words"),
)

SYNONYMS = Table(
    staged_name="synonyms",
    name="efo_synonyms",
    comment="Synonyms of listed terms; one row per term, scope and text.",
    references=(_TERM,),
    columns=(
        _text("synonym", "The synonym, byte for byte."),
        _text(
            "scope",
            "exact, related, narrow or broad; EFO's alternative_term is exact, and what has no "
            "scope is related.",
            read_since=3,
        ),
        _text(
            "type",
            "IRI of the synonym type (an abbreviation, say); of several the first by code point.",
            nullable=True,
        ),
        _texts("other_types", "The types that were not chosen."),
        _texts("sources", "Where the synonym comes from, as CURIEs."),
    ),
    key=("scope", "synonym"),
    kinds=(Kinds("scope"),),
    indexes=(
        Index("lower_synonym", "(lower(synonym))"),
        Index("synonym_key", "({schema}.{prefix}normalised(synonym))"),
        Index("synonym_lexemes", _LEXEMES % "synonym"),
    ),
    retired_indexes=("normalised_synonym", "synonym_words"),
)

PARENT_EDGES = Table(
    staged_name="parent_edges",
    name="efo_parent_edges",
    comment="Every parent of every listed term, each with its relation.",
    references=(
        Reference("child_id", "The child (`efo_terms.id`)."),
        Reference("parent_id", "The parent (`efo_terms.id`).", copied="parent_iri"),
    ),
    columns=(
        _text(
            "predicate",
            "is_a, part_of, develops_from, is_a_implied (by an intersection), or a relation's IRI.",
        ),
    ),
    key=("predicate",),
    kinds=(Kinds("predicate", 0.001),),
    indexes=(Index("parent", "(parent_id, predicate)"),),
)

XREFS = Table(
    staged_name="xrefs",
    name="efo_xrefs",
    comment="Cross references of listed terms to other vocabularies.",
    references=(_TERM,),
    columns=(
        _text(
            "prefix",
            "The database, by the Bioregistry's prefix (mesh for MESH, MeSH, MSH and MeSH's URLs); "
            "url for another web address; empty where the value has no prefix.",
            read_since=3,
        ),
        _text("accession", "The identifier there: all after the first colon."),
        _text(
            "relation",
            "exact (skos:exactMatch, or MONDO says equivalentTo), close, narrow, broad, related, "
            "else xref; of several the first.",
        ),
        _texts("sources", "Who states the cross reference."),
        _text("url", "A link, where OLS knows one.", nullable=True),
        _texts("found", "The values as the ontology spells them.", since=2),
    ),
    key=("prefix", "accession"),
    kinds=(Kinds("relation"), Kinds("prefix", 0.01)),
    indexes=(Index("accession", "(prefix, accession)"),),
)

REPLACEMENTS = Table(
    staged_name="replacements",
    name="efo_replacements",
    comment="What replaces each obsolete class today: one row per class and final target.",
    references=(
        Reference("term_id", "The obsolete class (`efo_terms.id`)."),
        Reference(
            "target_id", "Where its replacements lead in the end (`efo_terms.id`).", is_key=False
        ),
    ),
    columns=(
        Column("ordinal", "integer", "From 1 on: replaced_by first, then fewer hops."),
        _text("kind", "replaced_by, or the weaker consider; null without either.", nullable=True),
        _text("target", "The target's IRI; as found where no term has it.", nullable=True),
        _text(
            "status",
            "resolved (a current term), ambiguous (one of several), dead_end (obsolete, replaced "
            "by nothing), cycle (back to a class on the path), target_missing, no_replacement.",
        ),
        Column("hops", "integer", "Replacements on the path; 0 where there is none."),
        Column("path", "text[]", "IRIs from the class to the target, both included."),
        _text("evidence", "The class's own value that leads there.", nullable=True),
    ),
    key=("ordinal",),
    kinds=(Kinds("status", 1.0),),
    indexes=(Index("target", "(target_id)"), Index("status", "(status)")),
    made_from=("terms",),
)

ANCESTORS = Table(
    staged_name="ancestors",
    name="efo_ancestors",
    comment="Every ancestor of every term, with the shortest distance to it; no term is its own.",
    references=(
        _TERM,
        Reference("ancestor_id", "Its ancestor (`efo_terms.id`)."),
    ),
    columns=(
        Column(
            "distance",
            "smallint",
            "Edges on the shortest way over is_a, is_a_implied, part_of and develops_from.",
        ),
        Column(
            "is_a_distance", "smallint", "The same over is_a alone; null without.", nullable=True
        ),
    ),
    key=(),
    indexes=(Index("ancestor", "(ancestor_id, term_id) include (distance, is_a_distance)"),),
    made_from=("terms", "parent_edges"),
)

MESH_TERMS = Table(
    staged_name="mesh_terms",
    name="efo_mesh_terms",
    comment="MeSH to EFO: one row per well-formed MeSH id and current term that it leads to.",
    references=(Reference("term_id", "The current term (`efo_terms.id`)."),),
    columns=(
        _text("mesh_id", "Unique id in MeSH, such as D006973; never a tree number."),
        _text("mesh_kind", "descriptor (D…), supplementary (C…) or qualifier (Q…)."),
        _text("relation", "The strongest evidence: exact, close, narrow, broad, related, xref."),
        Column("is_own", "boolean", "Whether the term itself carries the id."),
        Column("via", "text[]", "IRIs of classes that carry the id and that the term replaces."),
        Column("sources", "text[]", "Who states it."),
        Column("is_only_term", "boolean", "Whether the id leads to no other term."),
        Column("is_only_mesh_id", "boolean", "Whether no other id leads to the term."),
    ),
    key=("mesh_id",),
    indexes=(Index("mesh_id", "(mesh_id)"),),
    made_from=("terms", "xrefs", "replacements"),
)

CHANGES = Table(
    staged_name="changes",
    name="efo_changes",
    comment="What each release changed against the one before; nothing for the first.",
    references=(_TERM,),
    columns=(
        Column("ordinal", "integer", "From 1 on within a release."),
        _text(
            "kind",
            "added, removed, obsoleted, restored, relabelled, redefined, replacement changed, "
            "synonym added, synonym removed, synonym scope moved, xref added, xref removed, "
            "parent added, parent removed.",
        ),
        _text("before", "What stood before; null where nothing did.", nullable=True),
        _text("after", "What stands since; null where nothing does.", nullable=True),
    ),
    key=("ordinal",),
    kinds=(Kinds("kind", 1.0),),
    indexes=(
        Index("term", "(term_id)"),
        Index("kind", "(release_id, kind)"),
        Index(
            "lost_synonym_key",
            f"({{schema}}.{{prefix}}normalised({LOST_SYNONYM})) where kind = 'synonym removed'",
        ),
        Index(
            "lost_synonym_lexemes",
            f"{_LEXEMES % LOST_SYNONYM} where kind = 'synonym removed'",
        ),
    ),
    made_from=("terms", "synonyms", "parent_edges", "xrefs", "replacements"),
    is_history=True,
)

TABLES: tuple[Table, ...] = (
    TERMS,
    SYNONYMS,
    PARENT_EDGES,
    XREFS,
    REPLACEMENTS,
    ANCESTORS,
    MESH_TERMS,
    CHANGES,
)
"""In the order of derivation and of publication: terms first, since all others refer to them."""

COPIED = tuple(table for table in TABLES if not table.is_derived)
DERIVED = tuple(table for table in TABLES if table.is_derived)

READ_VERSION = max(
    max(column.since, column.read_since) for table in TABLES for column in table.columns
)
"""The format since which a document gives the same values in the same columns as today."""
KEYED_VERSION = 4
"""The format since which staged rows hold terms by their surrogate keys and hashes cover these;
before, both held IRIs, and a hash was often the same where two rows had swapped a value."""
FORMAT_VERSION = max(KEYED_VERSION, READ_VERSION)
"""Of the staged rows; a load of another version is never reused."""

CLASS_HASHES = "class_hashes"
"""The table of a load that holds a hash of each class's copied rows, equal for equal rows in any
order; beside a published load it tells the next which classes it changes."""
CLASS_HASH_COLUMNS = (
    Column("term_id", TERM_KEY, "The term."),
    Column("hash", "bigint", "Of its rows of all copied tables as COPY's bytes."),
)

BY_STAGED_NAME = {table.staged_name: table for table in TABLES}
