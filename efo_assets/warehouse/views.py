"""Views and functions over the published tables: nothing stored twice, one query per question.

Each is the statement `view_<name>` or `function_<name>` of `sql/` (two that look at the same rows
from either side share one), made in the schema of the tables. Its comment says what it is for, and
ends with the version of its definition: it is made again where that is another and no later one.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from psycopg import errors as pg
from psycopg import sql

from efo_assets.privacy.logs import logger
from efo_assets.warehouse.schema import ANCESTOR_EDGES, ANCESTORS, FUNCTION, TABLE, Schema
from efo_assets.warehouse.session import Connection
from efo_assets.warehouse.statements import compose, statement
from efo_assets.warehouse.tables import CURIE_KEY

COMMENTED = ["%(efo_assets, definition %)", "MeSH cross references of current terms, by accession."]
"""What comments of ours are LIKE, the first release's too; nothing else is replaced or dropped."""

_log = logger(__name__)


@dataclass(frozen=True, slots=True)
class View:
    """A view, or a function where it has arguments."""

    name: str
    purpose: str
    version: int = 1
    arguments: str | None = None
    """Types of a function's arguments; None for a view."""
    template: str = ""
    """The statement of its definition, where that is not its own."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Columns that fill placeholders of the template."""
    ancestors: str | None = None
    """The way of giving ancestors that it is for; None: for any."""

    def called(self, schema: Schema) -> str:
        """Its name in a schema, where no table is called so."""
        return schema.prefix + self.name

    def comment(self, schema: Schema) -> str:
        """What COMMENT ON says of it."""
        return f"{schema.told(self.purpose)} (efo_assets, definition {self.version})"

    def is_served_by(self, comment: str | None, schema: Schema) -> bool:
        """Whether what has this comment is this definition, or a later efo_assets' one."""
        later = re.search(r"\(efo_assets, definition ([0-9]+)\)$", comment or "")
        return comment == self.comment(schema) or (
            later is not None and int(later[1]) > self.version
        )


MESH_XREFS = View(
    "mesh_xrefs", "MeSH cross references of current terms as stated, by accession.", version=2
)

FOLDS = (
    View(
        "folded",
        "A text in lower case, each white space a space; the same in every locale.",
        arguments="text",
    ),
    View(
        "normalised",
        "A text as `efo_lookup` compares it: in lower case, without punctuation, a space between "
        "words.",
        arguments="text",
    ),
    View(
        "unaccented",
        "A text of `efo_normalised` with Latin letters without accents; `efo_search` compares so.",
        arguments="text",
    ),
)
"""What indexes of published tables and `efo_words` hold, so these are made before the tables."""
WORDS = View(
    "words",
    "Every word of three letters or more in labels and synonyms: `word` in lower case, `plain` "
    "without accents, `weight` the binary logarithm of how often it is there. `efo_search` takes a "
    "word that isn't among them for those that are spelled alike.",
)
"""A table, which `words.keep` makes."""
VIEWS: tuple[View, ...] = (
    *FOLDS,
    MESH_XREFS,
    View(
        "inherited_synonyms",
        "Synonyms that a class lost in the very release (`lost_in`) in which it became obsolete, "
        "for the term that replaces it.",
    ),
    View(
        "inherited_xrefs",
        "Cross references that a class lost in the very release (`lost_in`) in which it became "
        "obsolete, for the term that replaces it; `efo_mesh_terms`, which is of one release alone, "
        "has none of them.",
    ),
    View(
        "labels",
        "Every label and synonym of every listed term, with those of the classes that it replaces: "
        "what these have, and synonyms that they lost as they became obsolete, in release "
        "`lost_in`.",
        version=3,
    ),
    View(
        "resolve",
        "Each of many ids, in their order: IRI, CURIE or short form, in any case, and where it "
        "leads today. `status` is current, replaced (by the term that the row names), ambiguous "
        "(several replace it), obsolete, vanished or unknown; `candidates` are those several, or "
        "what to consider instead.",
        version=2,
        arguments="text[]",
        template="function_resolve_all",
    ),
    View(
        "resolve",
        "The term of an id: IRI, CURIE or short form, in any case; of a replaced class what "
        "replaces it, with the class's IRI as `followed_from`. An id that no listed class has, or "
        "that several replace, is an error.",
        version=3,
        arguments="text",
    ),
    View(
        "check",
        "An annotation: where its id leads today, as `efo_resolve` tells, and whether its label is "
        "that of the class or of what replaces it. `agreement` is exact, normalised (but for case, "
        "punctuation and the mark of obsolete classes), synonym or none; null where the id is "
        "unknown. For a whole table by a lateral join.",
        arguments="text, text",
    ),
    View(
        "release",
        "What each release number means: ontology, version, when it was published, from which "
        "server, whole or partial, rows by table, hash. `is_current` is what the tables hold now, "
        "`compared_with` the release against which `efo_changes` tells what changed.",
        version=2,
    ),
    View(
        "as_of",
        "Every listed term as it was at a release, or those of these IRIs and CURIEs, undoing what "
        "`efo_changes` tells: synonyms with their scopes, parents with predicates, cross "
        "references. An error where the changes since aren't known.",
        arguments="bigint, text[]",
    ),
    View(
        "diff",
        "What a release has other than an earlier one, in the words of `efo_changes`; what came "
        "and went in between is not told, and another replacement where the class was obsolete all "
        "the while.",
        version=2,
        arguments="bigint, bigint",
    ),
    View("change_digest", "How many changes of each kind each release brought."),
    View(
        ANCESTORS,
        "Every ancestor of every term, with the shortest distance to it, found along "
        "`efo_ancestor_edges` whenever it is asked for: quick for terms that are named, and slow "
        "for all above which one stands, which `efo_descendants` finds.",
        ancestors=FUNCTION,
    ),
    *(
        View(
            name,
            f"All terms {where} one, which `efo_resolve` finds: over is_a, or over part_of, "
            "develops_from and implied edges too; `followed_from` is the IRI of the replaced class "
            f"that was named.{remark}",
            version=2,
            arguments="text, boolean",
            template=f"function_over_{source}",
            columns={"start": start, "result": result},
            ancestors=way,
        )
        for way, source, remark in (
            (TABLE, ANCESTORS, ""),
            (FUNCTION, ANCESTOR_EDGES, " It follows `efo_ancestor_edges`."),
        )
        for name, where, start, result in (
            ("descendants", "below", "ancestor_id", "term_id"),
            ("ancestors_of", "above", "term_id", "ancestor_id"),
        )
    ),
    View(
        "lookup",
        "Current terms with this label or synonym, whatever its case and punctuation; labels "
        "first, then exact synonyms, then others, of each the inherited last, with or without "
        "their obsolete_.",
        version=5,
        arguments="text",
    ),
    View(
        "search",
        "Current terms whose label or synonym holds these words, with or without accents, or words "
        "that are spelled alike: the same name first, then what begins with it, then what holds "
        "its words, then the rest (`kind` ends with fuzzy). A synonym that a replaced class lost "
        "as it became obsolete is found, too (inherited).",
        version=6,
        arguments="text, integer",
    ),
)
"""In the order in which they can be made."""


def views_of(schema: Schema) -> tuple[View, ...]:
    """Those that a schema has."""
    return tuple(view for view in VIEWS if view.ancestors in (None, schema.ancestors))


def create_views(
    connection: Connection, schema: Schema, views: Sequence[View] | None = None
) -> list[View]:
    """Make those that aren't there, or are of an earlier version; return them.

    None may be somebody else's: see `preflight.refuse_taken_names`.
    """
    changed = outdated(connection, schema, views)
    for view in changed:
        _make(connection, schema, view)
        connection.execute(
            compose(
                "comment on {} is {}", _signature(schema, view), sql.Literal(view.comment(schema))
            )
        )
    return changed


def outdated(
    connection: Connection, schema: Schema, views: Sequence[View] | None = None
) -> list[View]:
    """Those that aren't there, or are of another version; one of a later version stays."""
    return [
        view
        for view in views or views_of(schema)
        if not view.is_served_by(_comment(connection, schema, view), schema)
    ]


def _make(connection: Connection, schema: Schema, view: View) -> None:
    """Run the definition; a function that has other columns makes room and leaves its grants."""
    definition = _definition(schema, view)
    try:
        with connection.transaction():
            connection.execute(definition)
    except pg.InvalidFunctionDefinition:
        place = {"schema": schema, "name": view.called(schema), "arguments": view.arguments}
        grants = [grant for (grant,) in connection.execute(statement("function_grants"), place)]
        _make_room(connection, schema, view)
        connection.execute(definition)
        if grants:
            signature = _signature(schema, view)
            connection.execute(compose("revoke execute on {} from public", signature))
        for grant in grants:
            connection.execute(grant)


def _make_room(connection: Connection, schema: Schema, view: View) -> None:
    """Drop the function that stands, or rename it where something of a user's depends on it."""
    signature = _signature(schema, view)
    try:
        with connection.transaction():
            connection.execute(compose("drop {}", signature))
    except pg.DependentObjectsStillExist:
        earlier = f"{view.called(schema)}_before_{view.version}"
        connection.execute(compose("alter {} rename to {}", signature, earlier))
        _log.warning(
            "what uses the earlier function %s.%s has it as %s", schema, view.name, earlier
        )


def _definition(schema: Schema, view: View) -> sql.Composed:
    kind = "view" if view.arguments is None else "function"
    return statement(
        view.template or f"{kind}_{view.name}",
        **view.columns,
        function=view.called(schema),
        **schema.parts,
        schema_name=sql.Literal(schema),
        prefix_text=sql.Literal(schema.prefix),
        folded=statement("folded"),
        curie_key=sql.SQL(CURIE_KEY),
    )


def _signature(schema: Schema, view: View) -> sql.Composed:
    name = str(schema), view.called(schema)
    if view.arguments is None:
        return compose("view {}", name)
    return compose("function {} ({})", name, sql.SQL(view.arguments))


def _comment(connection: Connection, schema: Schema, view: View) -> str | None:
    place = {"schema": schema, "name": view.called(schema), "arguments": view.arguments}
    comment: str | None = connection.row(statement("view_comment"), place)[0]
    return comment
