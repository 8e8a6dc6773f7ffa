"""How things stand: the published release and the last audit, read from `efo_meta` alone.

For those who watch, so it waits for nothing long, writes nothing and counts no rows: the ledger
has the figures of the transaction that wrote them. A role that may read `efo_meta` is enough.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from psycopg import sql
from psycopg.rows import TupleRow

from efo_assets.warehouse.ledger import Changes
from efo_assets.warehouse.session import Connection
from efo_assets.warehouse.statements import statement
from efo_assets.warehouse.tables import TABLES

CONNECT_PATIENCE_S = 1.0
STATEMENT_TIMEOUT_MS = 5_000


@dataclass(frozen=True, slots=True)
class StandingRelease:
    """The newest row of the ledger, with its figures by published table."""

    release_id: int
    ontology: str
    version: str
    """Empty where OLS gave none; so is `version_iri`."""
    version_iri: str
    is_partial: bool
    published_at_s: float
    """Seconds since 1970, by the database's clock."""
    rows: Mapping[str, int]
    changes: Mapping[str, Changes]


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
    """The published release, and the verdicts of the newest audit, refused or not."""

    release: StandingRelease | None = None
    findings: tuple[Finding, ...] = ()


def standing(connection: Connection, schema: str) -> Standing:
    """How things stand in `schema`; nothing at all before the first load."""
    with connection.transaction():
        # One snapshot: a publication between the two would give figures of different releases.
        connection.execute("set transaction isolation level repeatable read read only")
        connection.execute(
            sql.SQL("set local statement_timeout = {}").format(sql.Literal(STATEMENT_TIMEOUT_MS))
        )
        if connection.execute("select to_regclass('efo_meta.releases')").fetchone() == (None,):
            return Standing()
        values = {"schema": schema}
        row = connection.execute(statement("standing_release"), values).fetchone()
        findings = connection.execute(statement("standing_findings"), values).fetchall()
    return Standing(_release(row) if row else None, tuple(Finding(*each) for each in findings))


def _release(row: TupleRow) -> StandingRelease:
    """A row of `sql/standing_release.sql`; the ledger names staged tables, people published ones.

    A release of an earlier version of this project may lack a table that came later.
    """
    *facts, counts, changes = row
    rows = {t.name: counts[t.staged_name] for t in TABLES if t.staged_name in counts}
    written = {name: Changes(**change) for name, change in changes.items()}
    return StandingRelease(*(*facts, rows, written))
