"""What people are told of the release that stands, all of one snapshot.

Its row of the ledger, what it changed, with names of terms, what the audit found, and a few rows of
each table.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from efo_assets.warehouse import audit, ledger
from efo_assets.warehouse.ledger import PublishedRelease
from efo_assets.warehouse.profile import Profile
from efo_assets.warehouse.schema import Schema
from efo_assets.warehouse.session import Connection
from efo_assets.warehouse.statements import sampled, statement
from efo_assets.warehouse.tables import TABLES

EXAMPLES = 3
"""Of each kind of change."""
ROWS = 10
"""Of each table."""


class Kind(NamedTuple):
    """Changes of one kind that a release brought."""

    kind: str
    changes: int
    terms: int
    examples: Sequence[Mapping[str, str | None]]
    """`curie` (or IRI), `label`, `before` and `after` of the first few."""


class Rows(NamedTuple):
    """Rows of a table, terms by CURIE."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Digest:
    """A release for people."""

    release: PublishedRelease
    kinds: Sequence[Kind]
    """The most frequent first; none of a first release."""
    verdicts: Sequence[audit.Verdict]
    """Of the audit that let it pass."""
    samples: Mapping[str, Rows]
    """By published table."""
    sizes: Mapping[str, int]
    """Bytes on disk by published table."""
    profiles: Mapping[str, Profile]
    """By staged table."""


@contextmanager
def one_snapshot(connection: Connection) -> Iterator[None]:
    """Read what stands at one moment."""
    with connection.transaction():
        connection.execute("set transaction isolation level repeatable read read only")
        yield


def digest(connection: Connection, schema: Schema, load_id: str | None = None) -> Digest | None:
    """Read what is told of the release that stands, with the audit of this load or of its own.

    None before the first publication.
    """
    release = ledger.current_release(connection, schema)
    if release is None:
        return None
    values = {"release_id": release.release_id, "examples": EXAMPLES}
    kinds = connection.execute(statement("change_examples", **schema.parts), values)
    return Digest(
        release,
        [Kind(*row) for row in kinds],
        audit.stored_verdicts(connection, load_id or release.load_id),
        {
            table.name: _rows(connection, sampled(schema, table, release.release_id, ROWS))
            for table in TABLES
        },
        ledger.sizes(connection, schema),
        audit.profiles(connection, release.release_id),
    )


def _rows(connection: Connection, query: Any) -> Rows:
    cursor = connection.execute(query)
    return Rows([column.name for column in cursor.description or ()], cursor.fetchall())
