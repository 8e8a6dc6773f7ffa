"""What the report of a release tells: read from the published tables in one snapshot.

How it looks is the part of `pipeline.report`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from efo_assets.warehouse.digest import Digest, digest
from efo_assets.warehouse.schema import Schema
from efo_assets.warehouse.session import Connection
from efo_assets.warehouse.statements import statement

MOST_ROWS = 200
"""Of each list; the tables hold all."""
MOST_BRANCHES = 12
MOST_RELEASES = 24

LISTS = {
    "added": "added",
    "obsoleted": "obsoleted",
    "relabelled": "relabelled",
    "lost synonyms": "synonym removed",
    "removed": "removed",
    "restored": "restored",
}
"""A list's name to the kind of change that it holds."""


class Term(NamedTuple):
    """A term that changed."""

    iri: str
    curie: str
    label: str
    before: str | None
    after: str | None


class Listed(NamedTuple):
    """The first of the terms that changed in one way."""

    terms: Sequence[Term]
    of_all: int


class Branch(NamedTuple):
    """How many terms below a child of a root changed; without one, those that lie elsewhere."""

    iri: str | None
    curie: str | None
    label: str | None
    added: int
    obsoleted: int
    changed: int


class Growth(NamedTuple):
    """A release of the past."""

    release_id: int
    version: str
    published_at_s: float
    rows: Mapping[str, int]
    """By staged table."""


class Mesh(NamedTuple):
    """What MeSH covers."""

    ids: int
    terms: int
    current_terms: int
    references_added: int
    references_removed: int


class Proof(NamedTuple):
    """Where a release came from."""

    source_url: str
    fingerprint: str
    run_id: str | None


@dataclass(frozen=True, slots=True)
class Report:
    """A release, and what it changed."""

    digest: Digest
    lists: Mapping[str, Listed]
    """By the names of `LISTS`."""
    replacements: Mapping[str, Sequence[Mapping[str, Any]]]
    """What replaces each term that was made obsolete, by IRI."""
    branches: Sequence[Branch]
    growth: Sequence[Growth]
    """The newest first."""
    mesh: Mesh
    proof: Proof


def report(connection: Connection, schema: Schema) -> Report | None:
    """Read what is told of the release that stands; None before the first."""
    told = digest(connection, schema)
    if told is None:
        return None
    values = {"release_id": told.release.release_id, "schema": schema, "most": MOST_ROWS}

    def rows(name: str, **more: Any) -> list[tuple[Any, ...]]:
        query = statement(name, **schema.parts)
        return connection.execute(query, {**values, **more}).fetchall()

    lists = {}
    for name, kind in LISTS.items():
        found = rows("report_changes", kind=kind, of_current=kind == "synonym removed")
        lists[name] = Listed([Term(*row[:-1]) for row in found], found[0][-1] if found else 0)
    iris = [term.iri for term in lists["obsoleted"].terms]
    return Report(
        told,
        lists,
        dict(rows("report_replaced", iris=iris)),
        [Branch(*row) for row in rows("report_branches")],
        [Growth(*row) for row in rows("report_growth", most=MOST_RELEASES)],
        Mesh(*rows("report_mesh")[0]),
        Proof(*rows("report_proof")[0]),
    )
