"""The ledger: the release that stands in a schema, what each publication changed, the last audit.

Rows of `efo_meta.releases` are written by the publisher alone, in the transaction that publishes.
Readers of the ledger count no rows of the tables: it has the figures of that transaction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from psycopg import sql
from psycopg.types.json import Jsonb

from efo_assets.privacy.printable import release_name
from efo_assets.warehouse.load import Content, Load
from efo_assets.warehouse.schema import Schema
from efo_assets.warehouse.session import Connection
from efo_assets.warehouse.statements import compose, statement
from efo_assets.warehouse.tables import TABLES

WATCHER_PATIENCE_S = 1.0
"""How long a watcher waits for a connection; a load waits longer."""
WATCHER_TIMEOUT_MS = 5_000


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
    notes: Sequence[str] = ()
    """What was found changed since it was published; a sentence for each table and release."""

    @property
    def written(self) -> int:
        """Rows written in all tables."""
        return sum(change.written for change in self.changes.values())


@dataclass(frozen=True, slots=True)
class PublishedRelease:
    """A release as the ledger has it; the newest of a schema is the one that stands."""

    release_id: int
    ontology: str
    version: str | None
    version_iri: str | None
    load_id: str
    is_partial: bool
    content_hash: str
    totals: Mapping[str, int] | None
    """Classes by list (current, obsolete, all) as OLS announced them; None in old rows."""
    published_at_s: float
    """Seconds since 1970, by the database's clock."""
    rows: Mapping[str, int]
    """By published table; a release of an earlier version of this project may lack some."""
    changes: Mapping[str, Changes]
    """By published table."""

    @property
    def name(self) -> str:
        """For people: `efo 3.92.0`."""
        return release_name(self.ontology, self.version)


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found in the load that was audited last."""

    check_name: str
    is_blocking: bool
    passed: bool
    offenders: int
    checked_at_s: float
    """Seconds since 1970, by the database's clock."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What a schema holds: the published release, and the verdicts of the newest audit."""

    ontology: str
    release: PublishedRelease | None = None
    findings: Sequence[Finding] = ()
    interval_s: float | None = None
    """The longest time between two of the last six publications; None before the third."""


def current_release(
    connection: Connection, schema: str, load_id: str | None = None
) -> PublishedRelease | None:
    """The release that stands in `schema`, or None before the first.

    With `load_id` the one that this load was published as, or None if it never was.
    """
    if not connection.has_table("efo_meta.releases"):
        return None
    return _published(connection, schema, load_id).get(schema)


def _published(
    connection: Connection, schema: str | None = None, load_id: str | None = None
) -> dict[str, PublishedRelease]:
    """The release that stands in a schema, or in each of them, by schema."""
    which = {"schema": schema, "load_id": load_id}
    standing = {}
    for *facts, counts, changes, name in connection.execute(statement("published_release"), which):
        # The ledger counts by staged table, people read published ones.
        rows = {t.name: counts[t.staged_name] for t in TABLES if t.staged_name in counts}
        written = {table: Changes(**change) for table, change in changes.items()}
        standing[name] = PublishedRelease(*(*facts, rows, written))
    return standing


def releases(connection: Connection, schema: str) -> list[tuple[Any, ...]]:
    """The ledger of `schema` for people, newest first; empty before the first publication."""
    if not connection.has_table("efo_meta.releases"):
        return []
    return connection.execute(statement("releases"), {"schema": schema}).fetchall()


def ontologies(connection: Connection) -> list[tuple[Any, ...]]:
    """Every schema of the database for people, by name; empty before a load has prepared it."""
    if not connection.has_table("efo_meta.ontologies"):
        return []
    return connection.execute(statement("ontologies")).fetchall()


def facts(connection: Connection, schema: str) -> dict[str, list[dict[str, Any]]]:
    """The ledger of `schema` and every schema of the database, for programs; empty at first."""
    if not connection.has_table("efo_meta.ontologies"):
        return {"releases": [], "ontologies": []}
    (releases,) = connection.row(statement("ledger_releases"), {"schema": schema})
    (ontologies,) = connection.row(statement("ledger_ontologies"))
    return {"releases": releases, "ontologies": ontologies}


def failures(connection: Connection) -> list[tuple[Any, ...]]:
    """Schema, ontology, moment and sentence of every newest run that failed, for people."""
    if not connection.has_table("efo_meta.failures"):
        return []
    return connection.execute(statement("failures")).fetchall()


def record_failure(
    connection: Connection, schema: str, ontology: str, sentence: str, run_id: str | None
) -> None:
    """Write down why a run failed, where `efo_meta` was made already."""
    if connection.has_table("efo_meta.failures"):
        values = {"schema": schema, "ontology": ontology, "sentence": sentence, "run_id": run_id}
        connection.execute(statement("failure_upsert"), values)


def standing_releases(connection: Connection) -> dict[str, tuple[str | None, ...]]:
    """Ontology, version and version IRI of what stands whole in each schema of the database."""
    if not connection.has_table("efo_meta.releases"):
        return {}
    rows = connection.execute(statement("standing_releases")).fetchall()
    return {schema: tuple(facts) for schema, *facts, is_partial in rows if not is_partial}


def sizes(connection: Connection, schema: Schema) -> dict[str, int]:
    """Bytes on disk by published table, and of `staged loads` and `efo_meta`, once they are."""
    keys = {schema.called(table.staged_name): table.name for table in TABLES}
    values = {"schema": schema, "tables": list(keys)}
    found: dict[str, int] = dict(connection.execute(statement("sizes"), values).fetchall())
    return {keys.get(name, name): size for name, size in found.items()}


def standings(connection: Connection) -> dict[str, Standing]:
    """What each schema holds, by schema, in one snapshot; empty before the first load.

    For watchers: it waits for nothing long, and a role that may read `efo_meta` is enough.
    """
    with connection.transaction():
        connection.execute("set transaction isolation level repeatable read read only")
        connection.execute(
            compose("set local statement_timeout = {}", sql.Literal(WATCHER_TIMEOUT_MS))
        )
        if not connection.has_table("efo_meta.releases"):
            return {}
        findings = connection.execute(statement("last_findings")).fetchall()
        releases = _published(connection)
        intervals: dict[str, float] = dict(
            connection.execute(statement("release_intervals")).fetchall()
        )
    found: dict[str, list[Finding]] = {}
    ontologies = {}
    for schema, ontology, *finding in findings:
        ontologies[schema] = ontology
        found.setdefault(schema, []).append(Finding(*finding))
    ontologies |= {schema: release.ontology for schema, release in releases.items()}
    return {
        schema: Standing(
            ontology, releases.get(schema), found.get(schema, ()), intervals.get(schema)
        )
        for schema, ontology in ontologies.items()
    }


def open_row(
    connection: Connection, load: Load, content: Content, *, allow_shrink: bool, run_id: str | None
) -> int:
    """Add a release to the ledger; return its number. What it changed is not known yet."""
    values = {
        **load.facts,
        "counts": Jsonb(dict(content.rows)),
        "content_hash": content.digest,
        "allowed_shrink": allow_shrink,
        "run_id": run_id,
    }
    return int(connection.row(statement("release_insert"), values)[0])


def complete_row(
    connection: Connection,
    load: Load,
    release_id: int,
    changes: Mapping[str, Changes],
    *,
    is_new: bool,
) -> None:
    """Write down what the publication changed, that its load is published, and no failure."""
    if is_new:
        written = Jsonb({name: asdict(change) for name, change in changes.items()})
        connection.execute(
            "update efo_meta.releases set changes = %(changes)s where release_id = %(release_id)s",
            {"release_id": release_id, "changes": written},
        )
    elif load.source.totals:
        # The same rows, counted otherwise or for the first time: else they stay news for ever.
        totals = load.facts["totals"]
        connection.execute(
            statement("release_totals"), {"release_id": release_id, "totals": totals}
        )
    connection.execute(
        "delete from efo_meta.failures"
        " where target_schema = %(target_schema)s and ontology = %(ontology)s",
        load.facts,
    )
    connection.execute(
        "update efo_meta.loads set state = 'published'"
        " where load_id = %(load_id)s and state <> 'published'",
        {"load_id": load.load_id},
    )
