"""Views that are an extra, in a schema beside the published ones: those of `ols` and of `semsql`.

They are made again where their definition is another than the one that their comment tells.
Whatever keeps them from being made is one line in the log, and no publication fails.
"""

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple

import psycopg
from psycopg import errors as pg
from psycopg import sql

from efo_assets import errors
from efo_assets.privacy.logs import logger
from efo_assets.warehouse.session import Connection
from efo_assets.warehouse.statements import compose, statement
from efo_assets.warehouse.views import COMMENTED

_SECURITY_INVOKER = 150_000

_log = logger(__name__)


class ExtraView(NamedTuple):
    """A view: what it is for, and what it asks."""

    purpose: str
    query: sql.Composed

    def comment(self, connection: Connection) -> str:
        """What COMMENT ON says, which is another wherever the definition is."""
        version = sha256(self.query.as_bytes(connection)).hexdigest()[:12]
        return f"{self.purpose} (efo_assets, definition {version})"


def keep(
    what: str, connect: Callable[[], Connection], make: Callable[[Connection], Sequence[str]]
) -> None:
    """Make the views by `make`, which returns what is in the way, in a transaction of its own."""
    try:
        with connect() as connection, connection.transaction():
            obstacles = make(connection)
    except pg.LockNotAvailable:
        obstacles = ["another session has locked one of them, a reader of long standing perhaps"]
    except errors.WarehouseError as error:
        obstacles = [str(error)]
    except psycopg.Error as error:
        obstacles = [error.diag.message_primary or str(error)]
    if obstacles:
        _log.warning(
            "%s are left as they are (%s); the next publication tries again",
            what,
            "; ".join(obstacles),
        )


def obstacles(connection: Connection, schema: str, names: Sequence[str]) -> list[str]:
    """What somebody else has to change before relations of these names can be made here."""
    values = {"schema": schema, "names": list(names), "ours": COMMENTED}
    return [each for (each,) in connection.execute(statement("extra_obstacles"), values)]


def differing(
    connection: Connection, schema: str, views: Mapping[str, ExtraView]
) -> dict[str, ExtraView]:
    """Those of the views that have to be made, or made again."""
    stand = set(connection.execute(statement("extra_comments"), {"schema": schema}))
    return {
        name: view for name, view in views.items() if (name, view.comment(connection)) not in stand
    }


def make(connection: Connection, schema: str, views: Mapping[str, ExtraView]) -> None:
    """Make views, by name, that ask in the name of their reader where PostgreSQL has such."""
    has_invoker = connection.info.server_version >= _SECURITY_INVOKER
    options = sql.SQL("with (security_invoker = true)" if has_invoker else "")
    for name, view in views.items():
        place, comment = (schema, name), sql.Literal(view.comment(connection))
        connection.execute(statement("extra_view", view=place, options=options, query=view.query))
        connection.execute(compose("comment on view {} is {}", place, comment))
