"""From ancestors by a table to ancestors by a function, and back, while a load is published.

What gives them the other way is set aside before the published tables are made, and dropped when
all of them and their views are there. Whoever could read it can read what takes its place.
"""

from efo_assets.errors import PublicationRefused
from efo_assets.privacy.logs import logger
from efo_assets.warehouse.schema import ANCESTORS, FUNCTION, TABLE, Schema
from efo_assets.warehouse.session import Connection
from efo_assets.warehouse.statements import built_ahead, compose, statement
from efo_assets.warehouse.tables import BY_STAGED_NAME
from efo_assets.warehouse.views import COMMENTED

_log = logger(__name__)


def standing_way(connection: Connection, schema: Schema) -> str | None:
    """How a schema gives ancestors now; None before anything is published in it."""
    # A view has the name of the table, so the edges tell.
    ways = (way for way in (FUNCTION, TABLE) if _has(connection, schema.giving(way)))
    return next(ways, None)


def _has(connection: Connection, schema: Schema) -> bool:
    return connection.has_table(schema.quoted(ANCESTORS))


def set_aside(connection: Connection, schema: Schema) -> bool:
    """Rename what gives ancestors another way than `schema` does; whether there is such.

    Raises:
        PublicationRefused: something of a user's depends on it, or rules who may read it.
    """
    way = standing_way(connection, schema)
    if way is None or way == schema.ancestors:
        return False
    standing, name = schema.giving(way), schema.prefix + ANCESTORS
    table = BY_STAGED_NAME[ANCESTORS]
    values = {
        "schema": schema,
        "names": [name, standing.called(ANCESTORS)],
        "columns": [column.name for column in table.published_columns],
        "built": built_ahead(standing, table),
        "ours": COMMENTED,
    }
    put_on = [what for (what,) in connection.execute(statement("put_on_ancestors"), values)]
    if put_on:
        raise PublicationRefused(
            f"Ancestors in schema {schema} are given by a {way}, and would be by a "
            f"{schema.ancestors}, but on {name} depends what isn't of efo_assets: "
            f"{'; '.join(put_on)}. Nothing was published; drop it, or set EFO_ANCESTORS={way}."
        )
    kind = "table" if way == TABLE else "view"
    renamed = compose(f"alter {kind} {{}} rename to {{}}", (str(schema), name), _aside(schema))
    connection.execute(renamed)
    _log.info("ancestors in schema %s are given by a %s from now on", schema, schema.ancestors)
    return True


def drop_aside(connection: Connection, schema: Schema) -> None:
    """Drop what `set_aside` renamed, once what takes its place is there, with its grants."""
    names = dict.fromkeys((schema.prefix + ANCESTORS, schema.called(ANCESTORS)))
    values = {"schema": schema, "aside": _aside(schema), "names": list(names)}
    for (grant,) in connection.execute(statement("grants_as_aside"), values).fetchall():
        connection.execute(grant)
    aside = str(schema), _aside(schema)
    if schema.ancestors == FUNCTION:
        connection.execute(compose("drop table {}", aside))
    else:
        edges = schema.giving(FUNCTION).of(ANCESTORS)
        connection.execute(compose("drop view {}; drop table {}", aside, edges))


def _aside(schema: Schema) -> str:
    return f"{schema.prefix}{ANCESTORS}_before"
