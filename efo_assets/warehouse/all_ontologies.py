"""Views over all ontologies of a database, in schema `ols`: terms, labels, xrefs and mappings.

They are made once there are two ontologies, so that nothing in a database of one depends on its
tables, and again after a publication that finds other schemas or columns than they have. They are
an extra: whatever keeps them from being made is one line in the log, and no publication fails.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256

import psycopg
from psycopg import errors as pg
from psycopg import sql

from efo_assets import errors
from efo_assets.prefixes import registered
from efo_assets.privacy.logs import logger
from efo_assets.warehouse.schema import PREFIX, Schema, may_be_plain
from efo_assets.warehouse.session import Connection
from efo_assets.warehouse.statements import compose, listing, statement
from efo_assets.warehouse.tables import TERM_KEY, TERMS, XREFS, Column
from efo_assets.warehouse.views import COMMENTED

OLS = "ols"
STRENGTHS = ("exact", "close", "narrow", "broad", "related", "xref")
"""Relations of cross references, the strongest first."""

_SECURITY_INVOKER = 150_000
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
    try:
        with connect() as connection, connection.transaction():
            connection.execute(statement("ols_lock"))
            obstacles = _make(connection)
    except pg.LockNotAvailable:
        obstacles = ["another session has locked one of them, a reader of long standing perhaps"]
    except errors.WarehouseError as error:
        obstacles = [str(error)]
    except psycopg.Error as error:
        obstacles = [error.diag.message_primary or str(error)]
    if obstacles:
        _log.warning(
            "the views over all ontologies in schema ols are left as they are (%s); the next "
            "publication tries again",
            "; ".join(obstacles),
        )


def _make(connection: Connection) -> list[str]:
    """Make what differs; return what is in the way, which somebody else has to change."""
    relations = [*_COLUMNS, *(PREFIX + name for name in _COLUMNS)]
    rows = connection.execute(statement("ols_schemas"), {"names": relations}).fetchall()
    if len(rows) <= 1:
        return []
    queries = {name: _over_all(name, rows) for name in _COLUMNS}
    queries["mappings"] = _mappings()
    comments = {name: _comment(connection, name, query) for name, query in queries.items()}
    stand = set(connection.execute(statement("ols_comments")))
    changed = [name for name, comment in comments.items() if (name, comment) not in stand]
    if not changed:
        return []
    values = {"names": list(queries), "ours": COMMENTED}
    obstacles = [each for (each,) in connection.execute(statement("ols_obstacles"), values)]
    if obstacles:
        return obstacles
    if connection.row("select to_regnamespace('ols')") == (None,):
        connection.execute("create schema ols")
    has_invoker = connection.info.server_version >= _SECURITY_INVOKER
    options = sql.SQL("with (security_invoker = true)" if has_invoker else "")
    for name in changed:
        view = (OLS, name)
        connection.execute(statement("ols_view", view=view, options=options, query=queries[name]))
        connection.execute(compose("comment on view {} is {}", view, sql.Literal(comments[name])))
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


def _comment(connection: Connection, name: str, query: sql.Composed) -> str:
    """What COMMENT ON says, which is another wherever the definition is."""
    version = sha256(query.as_bytes(connection)).hexdigest()[:12]
    return f"{_PURPOSES[name]} (efo_assets, definition {version})"
