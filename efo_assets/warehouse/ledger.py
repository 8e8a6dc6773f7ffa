"""The ledger: which release stands in a schema, and what each publication changed.

Rows of `efo_meta.releases` are written by the publisher alone, in the transaction that publishes.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from psycopg.types.json import Jsonb

from efo_assets.errors import WarehouseError
from efo_assets.privacy.printable import release_name
from efo_assets.warehouse.load import Content, Load
from efo_assets.warehouse.session import Connection
from efo_assets.warehouse.statements import statement
from efo_assets.warehouse.tables import TABLES


@dataclass(frozen=True, slots=True)
class Changes:
    """What a publication did to one table, in rows."""

    inserted: int = 0
    changed: int = 0
    removed: int = 0
    unchanged: int = 0

    @property
    def written(self) -> int:
        """Rows that were written at all."""
        return self.inserted + self.changed + self.removed


@dataclass(frozen=True, slots=True)
class Publication:
    """What stands published now, and what this call changed."""

    release_id: int
    release: str
    load_id: str
    is_new: bool
    """Whether the ledger got a row; False where this release was published before."""
    rows: Mapping[str, int]
    changes: Mapping[str, Changes]

    @property
    def written(self) -> int:
        """Rows written in all tables."""
        return sum(change.written for change in self.changes.values())


@dataclass(frozen=True, slots=True)
class PublishedRelease:
    """The newest row of the ledger for a schema."""

    release_id: int
    ontology: str
    version: str | None
    version_iri: str | None
    load_id: str
    is_partial: bool
    content_hash: str
    totals: Mapping[str, int] | None
    """Classes by list (current, obsolete, all) as OLS announced them; None in old rows."""

    @property
    def name(self) -> str:
        """For people: `efo 3.92.0`."""
        return release_name(self.ontology, self.version)


def current_release(connection: Connection, schema: str) -> PublishedRelease | None:
    """The newest publication into `schema`, or None before the first."""
    if connection.execute("select to_regclass('efo_meta.releases')").fetchone() == (None,):
        return None
    row = connection.execute(statement("release_current"), [schema]).fetchone()
    return PublishedRelease(*row) if row else None


def releases(connection: Connection, schema: str) -> list[tuple[Any, ...]]:
    """The ledger of `schema`, newest first; empty before the first publication."""
    if connection.execute("select to_regclass('efo_meta.releases')").fetchone() == (None,):
        return []
    return connection.execute(statement("releases"), [schema]).fetchall()


def open_row(
    connection: Connection, load: Load, seen: Content, *, allow_shrink: bool, run_id: str | None
) -> int:
    """Add a release to the ledger; return its number. What it changed is not known yet."""
    source = load.source
    values = {
        "target_schema": load.target_schema,
        "ontology": source.ontology,
        "version": source.version,
        "version_iri": source.version_iri,
        "loaded": source.loaded,
        "fingerprint": source.fingerprint,
        "load_id": load.load_id,
        "is_partial": load.is_partial,
        "counts": Jsonb(dict(seen.rows)),
        "content_hash": seen.digest,
        "allowed_shrink": allow_shrink,
        "run_id": run_id,
        "totals": source.totals and Jsonb(dict(source.totals)),
    }
    row = connection.execute(statement("release_insert"), values).fetchone()
    if row is None:  # INSERT … RETURNING of one row gives one
        raise WarehouseError("The ledger took no row.")
    return int(row[0])


def complete_row(
    connection: Connection,
    load: Load,
    release_id: int,
    changes: Mapping[str, Changes],
    *,
    is_new: bool,
) -> None:
    """Write down what the publication changed, and that its load is published."""
    if is_new:
        connection.execute(
            "update efo_meta.releases set changes = %s where release_id = %s",
            [Jsonb({name: asdict(change) for name, change in changes.items()}), release_id],
        )
    elif load.source.totals:
        # The same rows, counted otherwise or for the first time: else they stay news for ever.
        connection.execute(
            statement("release_totals"),
            {"release_id": release_id, "totals": Jsonb(dict(load.source.totals))},
        )
    connection.execute(
        "update efo_meta.loads set state = 'published' where load_id = %s and state <> 'published'",
        [load.load_id],
    )


def find(connection: Connection, load: Load) -> Publication | None:
    """What the ledger says of a load; None if it was never published."""
    row = connection.execute(
        "select release_id, counts, changes from efo_meta.releases where load_id = %s",
        [load.load_id],
    ).fetchone()
    if row is None:
        return None
    release_id, counts, changes = row
    return Publication(
        release_id,
        load.source.name,
        load.load_id,
        True,  # noqa: FBT003  # the field's name is is_new
        {table.name: counts[table.staged_name] for table in TABLES},
        {name: Changes(**change) for name, change in changes.items()},
    )
