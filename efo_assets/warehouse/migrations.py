"""Migrations: the tables of `efo_meta`, brought from any earlier version to today's, forward only.

Each is `sql/migration_<version>_<name>.sql`, applied once and recorded in `efo_meta.schema_version`
in the same transaction. A file that was released is never edited: what is to change later is a new
migration, an entry at the end of `MIGRATIONS`. Published tables live in `tables`, not here.

Code that was rolled back meets tables of later versions. It goes on where they say that it can,
and says which version of efo_assets made them where it can't.
"""

from importlib.metadata import version as installed_version

from efo_assets.errors import DatabaseRefused
from efo_assets.privacy.logs import logger
from efo_assets.warehouse.session import Connection
from efo_assets.warehouse.statements import statement

MIGRATIONS: tuple[str, ...] = (
    "ledger",
    "totals",
    "base_release",
    "ties",
    "made_by",
    "requests",
    "ontologies",
    "ancestors",
    "failures",
)
"""By name, in order; the first is version 1."""
KNOWN_VERSION = len(MIGRATIONS)
FUNCTION_VERSION = MIGRATIONS.index("ancestors") + 1
"""The lowest version whose code knows of ancestors by a function."""
OLDEST_CODE = 1
"""The lowest version whose code can load into today's tables, since all that came later was put
beside; a migration that changes or drops something raises it to its own."""
THIS_CODE = f"efo_assets {installed_version('efo_assets')}"

_log = logger(__name__)


def version(connection: Connection) -> int:
    """The version of `efo_meta` in this database; 0 where there is none."""
    if not connection.has_table("efo_meta.schema_version"):
        return 0
    return int(connection.row("select coalesce(max(version), 0) from efo_meta.schema_version")[0])


def refuse_newer(connection: Connection) -> None:
    """Refuse a database that a later version of this code has migrated, unless this one can go on.

    Raises:
        DatabaseRefused: its version is higher than this code knows; the message names what made it.
    """
    present = version(connection)
    if present <= KNOWN_VERSION:
        return
    values = {"version": present}
    made_by, oldest_code = connection.row(statement("migrated_by"), values)
    if oldest_code is not None and oldest_code <= KNOWN_VERSION:
        _log.warning("efo_meta was migrated by %s; %s goes on with it", made_by, THIS_CODE)
        return
    raise DatabaseRefused(
        f"The tables in schema efo_meta are of version {present}, made by {made_by}, and this is "
        f"{THIS_CODE}, which knows versions up to {KNOWN_VERSION}. Nothing was downloaded or "
        f"changed; upgrade efo_assets to that version or a later one and run again."
    )


def apply(connection: Connection) -> list[int]:
    """Apply what is missing, all of it or nothing; return the versions that were applied.

    Raises:
        DatabaseRefused: see `refuse_newer`.
    """
    with connection.transaction():
        # Two first runs at once would collide: CREATE … IF NOT EXISTS is no atomic step.
        connection.execute("select pg_advisory_xact_lock(hashtext('efo_assets set-up'))")
        refuse_newer(connection)
        missing = range(version(connection) + 1, KNOWN_VERSION + 1)
        for number in missing:
            name = f"migration_{number:03}_{MIGRATIONS[number - 1]}"
            connection.execute(statement(name))
            _log.info("applied %s", name)
        for number in missing:
            values = {"version": number, "applied_by": THIS_CODE, "oldest_code": OLDEST_CODE}
            connection.execute(statement("migration_insert"), values)
    return list(missing)


def keep_up(connection: Connection) -> None:
    """Migrate a database that has our tables already; leave any other alone.

    For a step that runs without the download before it, the first after an upgrade.

    Raises:
        DatabaseRefused: see `refuse_newer`.
    """
    if version(connection) not in (0, KNOWN_VERSION):
        apply(connection)
