"""Views over all ontologies of a database, in schema `ols`: terms, labels, xrefs and mappings.

They are made once there are two ontologies, so that nothing in a database of one depends on its
tables, and again after a publication that finds other schemas or columns than they have. They are
an extra: whatever keeps them from being made is one line in the log, and no publication fails.
"""

import json
from collections.abc import Callable, Mapping, Sequence

from psycopg import sql

from efo_assets.prefixes import registered
from efo_assets.privacy.logs import logger
from efo_assets.warehouse import extras
from efo_assets.warehouse.schema import PREFIX, Schema, may_be_plain
from efo_assets.warehouse.session import Connection
from efo_assets.warehouse.statements import compose, listing, statement
from efo_assets.warehouse.tables import TERM_KEY, TERMS, XREFS, Column

OLS = "ols"
STRENGTHS = ("exact", "close", "narrow", "broad", "related", "xref")
"""Relations of cross references, the strongest first."""

_PURPOSES = {
    "terms": "Terms of all ontologies; `schema` and `id` tell one.",
    "labels": "Labels and synonyms of the terms of all ontologies.",
    "xrefs": "Cross references of the terms of all ontologies.",
    "mappings": "Current terms of one ontology and those of another that a cross reference of "
    "either names; `via` tells whose, `relation` is the strongest.",
}
_LABELS = (
    Column("term_id", TERM_KEY, ""),
    *(Column(name, "text", "") for name in ("text", "kind", "inherited_from", "normalised")),
    Column("lost_in", TERM_KEY, ""),
)
_COLUMNS: Mapping[str, Sequence[Column]] = {
    # Later columns come last: CREATE OR REPLACE VIEW adds them there alone.
    "terms": sorted(TERMS.published_columns, key=lambda column: column.since),
    "labels": _LABELS,
    "xrefs": sorted(XREFS.published_columns, key=lambda column: column.since),
}

_log = logger(__name__)


def keep_views(connect: Callable[[], Connection]) -> None:
    """Make the views, or make them again, where they aren't over what stands now."""
    extras.keep("the views over all ontologies in schema ols", connect, _make)


def _make(connection: Connection) -> list[str]:
    """Make what differs; return what is in the way, which somebody else has to change."""
    connection.execute(statement("ols_lock"))
    relations = [*_COLUMNS, *(PREFIX + name for name in _COLUMNS)]
    rows = connection.execute(statement("ols_schemas"), {"names": relations}).fetchall()
    if len(rows) <= 1:
        return []
    queries = {name: _over_all(name, rows) for name in _COLUMNS}
    queries["mappings"] = _mappings()
    views = {name: extras.ExtraView(_PURPOSES[name], query) for name, query in queries.items()}
    changed = extras.differing(connection, OLS, views)
    if not changed:
        return []
    if obstacles := extras.obstacles(connection, OLS, list(views)):
        return obstacles
    if connection.row("select to_regnamespace('ols')") == (None,):
        connection.execute("create schema ols")
    extras.make(connection, OLS, changed)
    _log.info("the views over all ontologies are made: %s", ", ".join(changed))
    return []


def _over_all(
    name: str, rows: Sequence[tuple[str, str, Mapping[str, Sequence[str]]]]
) -> sql.Composed:
    """The rows of all schemas that have such a table or view; none if no schema has."""
    arms = []
    for schema_name, ontology, relations in rows:
        is_plain = may_be_plain(schema_name, ontology) and not any(
            PREFIX + each in relations for each in _COLUMNS
        )
        schema = Schema(schema_name, prefix="" if is_plain else PREFIX)
        present = relations.get(schema.called(name))
        if present is None:
            continue
        columns = listing(
            compose("{}", column.name)
            if column.name in present
            else compose("null::{type} as {}", column.name, type=sql.SQL(column.type))
            for column in _COLUMNS[name]
        )
        literals = (sql.Literal(ontology), sql.Literal(schema_name))
        arms.append(
            compose(
                "select {}::text as ontology, {}::text as schema, {} from {}",
                *literals,
                columns,
                schema.of(name),
            )
        )
    if not arms:
        nulls = listing(
            compose("null::{type} as {}", column.name, type=sql.SQL(column.type))
            for column in _COLUMNS[name]
        )
        return compose("select ''::text as ontology, ''::text as schema, {} where false", nulls)
    return sql.SQL(" union all ").join(arms)


def _mappings() -> sql.Composed:
    """Cross references joined with CURIEs, whose prefixes each ontology spells in its own way."""
    known = registered()
    prefixes = {
        spelling: prefix
        for spelling, prefix in {**known.by_letters, **known.by_spelling}.items()
        if spelling != prefix
    }
    spellings = {prefix: f"{prefix}\n" for prefix in prefixes.values()}
    for spelling, prefix in prefixes.items():
        spellings[prefix] += f"{spelling}\n"
    return statement(
        "ols_mappings",
        strengths=compose("array[{}]", listing(map(sql.Literal, STRENGTHS))),
        prefixes=sql.Literal(json.dumps(prefixes)),
        spellings=sql.Literal(json.dumps(spellings)),
    )
