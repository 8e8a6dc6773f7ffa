"""What stands published, compared with the hashes that the ledger has of it; nothing is written.

Each row of the ledger holds, in its `content_hash`, rows and hash of every table of that release,
`efo_changes` among them. The standing tables must have those of the newest release, and the history
of each release must have its own. Who changed rows, PostgreSQL doesn't tell.
"""

from collections.abc import Iterator
from typing import NamedTuple

from efo_assets.errors import LOAD_COMMAND, WarehouseError
from efo_assets.privacy.printable import release_name
from efo_assets.warehouse import words
from efo_assets.warehouse.load import Content
from efo_assets.warehouse.schema import Schema
from efo_assets.warehouse.session import Connection
from efo_assets.warehouse.statements import history_hashes, published_hash, statement
from efo_assets.warehouse.tables import (
    CHANGES,
    FORMAT_VERSION,
    KEYED_VERSION,
    TABLES,
    Table,
)
from efo_assets.warehouse.views import WORDS, outdated


class Comparison(NamedTuple):
    """What the ledger says of one table's rows of one release, and what they are."""

    table: str
    release_id: int
    release: str
    recorded: tuple[int, str]
    """Rows and their hash, as published."""
    found: tuple[int, str]

    @property
    def differs(self) -> bool:
        """Whether the rows are others than those that were published."""
        return self.recorded != self.found

    def __str__(self) -> str:
        (recorded, _), (found, _) = self.recorded, self.found
        return (
            f"{self.table} holds {found:,} rows of {self.release} (release {self.release_id}) that "
            f"are not the {recorded:,} published ones"
        )


def history(connection: Connection, schema: Schema) -> Iterator[Comparison]:
    """Compare the rows that each release of `schema` added, oldest release first."""
    recorded = _recorded(connection, schema)
    for table in TABLES:
        if table.is_history:
            found: dict[tuple[int, bool], tuple[int, str]] = {}
            if connection.has_table(schema.quoted(table.staged_name)):
                for by_iri in {each.by_iri for each in recorded.values()} | {False}:
                    rows = connection.execute(history_hashes(schema, table, by_iri=by_iri))
                    found |= {(n, by_iri): (int(count), hash_) for n, count, hash_ in rows}
            for release_id in sorted(recorded.keys() | {n for n, _ in found}):
                release = recorded.get(release_id, NO_RELEASE)
                rows_found = found.get((release_id, release.by_iri), NO_ROWS)
                yield _compared(schema, table, release_id, release, rows_found)


class Recorded(NamedTuple):
    """What the ledger has of a release."""

    name: str
    content: Content
    by_iri: bool
    """Whether its hashes cover the IRIs of terms in place of their keys."""


NO_ROWS = (0, "0")
NO_RELEASE = Recorded("no release of this schema", Content({}, {}), by_iri=False)


def _recorded(connection: Connection, schema: Schema) -> dict[int, Recorded]:
    """What the ledger has of each release, by its number."""
    rows = connection.execute(statement("release_contents"), {"schema": schema})
    return {
        release_id: Recorded(
            release_name(ontology, version),
            Content.of_digest(digest),
            by_iri=format_version < KEYED_VERSION,
        )
        for release_id, ontology, version, digest, format_version in rows
    }


def _compared(
    schema: Schema, table: Table, release_id: int, release: Recorded, found: tuple[int, str]
) -> Comparison:
    # A release from before a table was there has no rows in it.
    rows = release.content.rows.get(table.staged_name, 0)
    recorded = (rows, release.content.hashes.get(table.staged_name, "0"))
    name = schema.called(table.staged_name)
    return Comparison(name, release_id, release.name, recorded, found)


def verify(connection: Connection, schema: Schema) -> list[Comparison]:
    """Compare every published table with the ledger, and the history of every release.

    Raises:
        WarehouseError: nothing is published, or an earlier version of this project published it;
            or tables, views or functions are missing or of another definition.
    """
    with connection.transaction():
        connection.execute("set transaction isolation level repeatable read read only")
        connection.execute(statement("bulk_session"))
        recorded = {}
        if connection.has_table("efo_meta.releases"):
            recorded = _recorded(connection, schema)
        if not recorded:
            raise WarehouseError(
                f"Nothing is published in schema {schema}, so there is nothing to verify: run "
                f"`{LOAD_COMMAND}`."
            )
        format_version, _ = connection.row(statement("published_format"), {"schema": schema})
        if format_version != FORMAT_VERSION:
            raise WarehouseError(
                f"The release in schema {schema} was published by another version of efo_assets, "
                f"which hashed other columns: run `{LOAD_COMMAND}`, then verify again."
            )
        missing = [
            schema.called(table.staged_name)
            for table in TABLES
            if not connection.has_table(schema.quoted(table.staged_name))
        ]
        views = [*outdated(connection, schema), *outdated(connection, schema, [WORDS])]
        if missing := missing or [view.called(schema) for view in views]:
            raise WarehouseError(
                f"Missing in schema {schema}, or not as this version makes them: "
                f"{', '.join(missing)}. Run `{LOAD_COMMAND}`, which makes them again from the "
                "pages, but rows of earlier releases in "
                f"{schema.called(CHANGES.staged_name)} only a backup has."
            )
        release_id = max(recorded)
        standing = [
            _compared(schema, table, release_id, recorded[release_id], (int(rows), content_hash))
            for table in TABLES
            if not table.is_history
            for rows, content_hash in [connection.row(published_hash(schema, table, release_id))]
        ]
        compared = [*standing, *history(connection, schema)]
        # Words that follow from names that were changed come back with these.
        is_sound = not any(each.differs for each in compared)
        if is_sound and (count := words.differing(connection, schema)):
            name = schema.called(WORDS.name)
            raise WarehouseError(
                f"{schema}.{name} differs from the labels and synonyms in {count:,} words, so "
                f"that search may not find what is misspelt: drop it and run `{LOAD_COMMAND}`, "
                "which makes it again."
            )
        return compared
