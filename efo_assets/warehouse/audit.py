"""The audit: SQL checks over a load, and verdicts bound to the content that they saw.

A check is a `.sql` file that selects one row: the number of offenders and samples of them. It
passes with none. A verdict is stored in `efo_meta.verdicts` with the hash of all staged rows; the
publisher accepts no other proof. New checks are entries in `CHECKS`.
"""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from psycopg import sql
from psycopg.types.json import Jsonb

from efo_assets.errors import AuditNotPassed
from efo_assets.privacy.logs import logger
from efo_assets.warehouse.derivation import peel
from efo_assets.warehouse.load import Content, Load, content
from efo_assets.warehouse.session import Connection
from efo_assets.warehouse.statements import fillable, filled, statement
from efo_assets.warehouse.tables import BY_STAGED_NAME, SYNONYMS, TERMS, XREFS, Table

SHRINK_TERMS = 0.02
"""A release that loses more of its terms than this is refused."""
SHRINK_OTHERS = 0.10
"""The same for synonyms, edges and cross references."""
FEW_VALUES = 10
"""A column that had fewer may fall empty by an edit; one that had more does by a field's loss."""

SAMPLES = 10

_log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Check:
    """One question about a staged table whose good answer is "no offenders"."""

    name: str
    table: str
    """The staged table that it is about."""
    description: str
    blocking: bool = True
    overridable: bool = False
    """Whether EFO_ALLOW_SHRINK lets a load pass all the same."""


CHECKS: tuple[Check, ...] = (
    Check("terms_are_complete", "terms", "As many terms as OLS announced, counted apart."),
    Check("terms_are_unique", "terms", "No IRI stands twice."),
    Check("terms_have_labels", "terms", "No term is without a label."),
    Check(
        "terms_did_not_shrink",
        "terms",
        f"At most {SHRINK_TERMS:.0%} fewer terms than in the published release.",
        overridable=True,
    ),
    Check("synonyms_have_terms", "synonyms", "Every synonym belongs to a staged term."),
    Check("synonyms_are_unique", "synonyms", "One row per term, scope and synonym."),
    Check(
        "synonyms_did_not_shrink",
        "synonyms",
        f"At most {SHRINK_OTHERS:.0%} fewer synonyms than in the published release.",
        overridable=True,
    ),
    Check("edges_have_terms", "parent_edges", "Both ends of every edge are staged terms."),
    Check("edges_are_unique", "parent_edges", "One row per child, parent and relation."),
    Check("edges_have_no_cycle", "parent_edges", "No term is its own ancestor over is_a."),
    Check(
        "edges_did_not_shrink",
        "parent_edges",
        f"At most {SHRINK_OTHERS:.0%} fewer edges than in the published release.",
        overridable=True,
    ),
    Check("xrefs_have_terms", "xrefs", "Every cross reference belongs to a staged term."),
    Check("xrefs_are_unique", "xrefs", "One row per term, prefix and accession."),
    Check(
        "xrefs_did_not_shrink",
        "xrefs",
        f"At most {SHRINK_OTHERS:.0%} fewer cross references than in the published release.",
        overridable=True,
    ),
    *(
        Check(
            f"{table.staged_name}_columns_did_not_empty",
            table.staged_name,
            f"No column fell empty that held {FEW_VALUES} values or more in the published release.",
            overridable=True,
        )
        for table in (TERMS, SYNONYMS, XREFS)
    ),
    Check(
        "edges_are_not_dangling",
        "parent_edges",
        "Every parent is a listed class; the others are kept aside in `dangling_edges`.",
        blocking=False,
    ),
    Check(
        "values_are_well_formed",
        "terms",
        "No value was left out or mended while decoding.",
        blocking=False,
    ),
    Check(
        "labels_are_unique",
        "terms",
        "No two current terms have the same label.",
        blocking=False,
    ),
    Check(
        "iris_are_not_alike",
        "terms",
        "No two IRIs differ by case, outer spaces or Unicode form alone.",
        blocking=False,
    ),
    Check(
        "replacements_are_of_every_obsolete_class",
        "replacements",
        "Every obsolete class has a row, and no other class has one.",
    ),
    Check(
        "replacements_do_not_loop",
        "replacements",
        "No class is replaced, over whatever steps, by a class on the way, but those that were so "
        "in the published release.",
        blocking=False,
    ),
    Check("mesh_terms_are_current", "mesh_terms", "Every id leads to a staged, current term."),
    Check(
        "mesh_ids_are_well_formed",
        "mesh_terms",
        "Every MeSH reference is a unique id (D…, C…, Q…); tree numbers and others are left out.",
        blocking=False,
    ),
    Check("ancestors_are_others", "ancestors", "No term is its own ancestor."),
    Check(
        "ancestors_follow_every_edge",
        "ancestors",
        "Every parent is an ancestor; edges that close a cycle are left out.",
        blocking=False,
    ),
)
BLOCKING = tuple(check.name for check in CHECKS if check.blocking)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check found in one load and content."""

    check: Check
    passed: bool
    offenders: int
    samples: list[Any]
    overridden: bool = False

    @property
    def detail(self) -> dict[str, Any]:
        """For the ledger and for Dagster's metadata."""
        return {"samples": self.samples, "overridden": self.overridden}


def audit(
    connection: Connection,
    load: Load,
    *,
    allow_shrink: bool = False,
    checks: Iterable[Check] = CHECKS,
) -> list[Verdict]:
    """Run the checks over a load and store their verdicts with the hash of its content.

    A load that was published keeps the verdicts that it was published by: what stands is compared
    with them, and never with what became of the staged rows.
    """
    sys.audit("efo_assets.audit_began")
    with connection.transaction():
        # One snapshot: the hash and all checks see the same rows.
        connection.execute("set transaction isolation level repeatable read")
        connection.execute(statement("bulk_session"))
        standing = _standing(connection, load)
        if standing is not None:
            _log.info("load %s was audited before it was published", load.load_id)
            return standing
        seen = content(connection, load)
        _keep_proof(connection, load, seen)
        verdicts = [_verdict(connection, load, check, allow=allow_shrink) for check in checks]
        sys.audit("efo_assets.audited")
        for verdict in verdicts:
            connection.execute(statement("verdict_upsert"), _verdict_row(load, verdict, seen))
    for verdict in verdicts:
        if not verdict.passed:
            _log.warning("%s: %s offenders", verdict.check.name, f"{verdict.offenders:,}")
    return verdicts


def _standing(connection: Connection, load: Load) -> list[Verdict] | None:
    """The verdicts of a published load; None unless it has them all, for one content."""
    if load.state != "published":
        return None
    rows = connection.execute(
        "select check_name, content_hash, passed, offenders, detail from efo_meta.verdicts"
        " where load_id = %s",
        [load.load_id],
    ).fetchall()
    found = {name: facts for name, _, *facts in rows}
    is_of_one = len({content_hash for _, content_hash, *_ in rows}) == 1
    if not is_of_one or found.keys() != {check.name for check in CHECKS}:
        return None
    return [
        Verdict(check, passed, offenders, detail["samples"], detail["overridden"])
        for check in CHECKS
        for passed, offenders, detail in [found[check.name]]
    ]


def _keep_proof(connection: Connection, load: Load, seen: Content) -> None:
    """Let nothing take the place of verdicts that a publication rests on.

    Raises:
        AuditNotPassed: the rows of a published load aren't those that were published.
    """
    if load.state != "published":
        return
    other = connection.execute(
        "select from efo_meta.verdicts where load_id = %s and content_hash <> %s limit 1",
        [load.load_id, seen.digest],
    ).fetchone()
    if other is not None:
        raise AuditNotPassed(
            f"The staged rows of load {load.load_id} ({load.source.name}) were changed after their "
            "publication, so they are not audited again: the published release stays; run "
            "`dagster asset materialize -m efo_assets.definitions --select '*efo_terms'`, which "
            "stages them anew."
        )


def is_spoilt(connection: Connection, load: Load) -> bool:
    """Whether a load failed an audit, or its rows aren't those that were audited.

    What a published one holds matters only if what was made of it must be made again; the publisher
    looks at it then.
    """
    if _standing(connection, load) is not None:
        return False
    judged = connection.execute(
        "select content_hash, bool_and(passed or not blocking) from efo_meta.verdicts"
        " where load_id = %s group by content_hash",
        [load.load_id],
    ).fetchall()
    if not judged:
        return False
    return judged != [(content(connection, load).digest, True)]


def _verdict(connection: Connection, load: Load, check: Check, *, allow: bool) -> Verdict:
    offenders, samples = _offenders(connection, load, check)
    overridden = bool(offenders) and allow and check.overridable
    return Verdict(check, not offenders or overridden, offenders, samples, overridden)


def _offenders(connection: Connection, load: Load, check: Check) -> tuple[int, list[Any]]:
    if check.name.endswith("_did_not_shrink"):
        return _shrinkage(connection, load, check)
    if check.name.endswith("_columns_did_not_empty"):
        return _emptied(connection, load, BY_STAGED_NAME[check.table])
    if check.name == "edges_have_no_cycle":
        return _cycles(connection, load)
    if check.name == "replacements_do_not_loop":
        return _loops(connection, load)
    query = statement(f"check_{check.name}", load=load.schema)
    row = connection.execute(query, {"load_id": load.load_id}).fetchone()
    return (int(row[0]), list(row[1] or [])) if row else (0, [])


def _shrinkage(connection: Connection, load: Load, check: Check) -> tuple[int, list[Any]]:
    """Rows missing against the published release, where they are too many.

    A partial load is no release: the publisher keeps it from replacing a whole one.
    """
    if load.is_partial:
        return 0, []
    tolerated = SHRINK_TERMS if check.table == TERMS.staged_name else SHRINK_OTHERS
    query = statement("shrinkage", staged=sql.Identifier(load.schema, check.table))
    row = connection.execute(query, {"schema": load.target_schema, "table": check.table}).fetchone()
    if row is None or row[0] is None:  # nothing is published yet, or only a part
        return 0, []
    published, staged = int(row[0]), int(row[1])
    missing = published - staged
    if missing <= published * tolerated:
        return 0, []
    return missing, [{"published": published, "staged": staged}]


def _emptied(connection: Connection, load: Load, table: Table) -> tuple[int, list[Any]]:
    """Columns without a value that had some in the release that the load is compared with."""
    if load.base_release is None:
        return 0, []
    columns = [column.name for column in fillable(table)]
    counted = [
        connection.execute(query).fetchone() or ()
        for query in (
            filled(sql.Identifier(load.target_schema, table.name), table, is_published=True),
            filled(sql.Identifier(load.schema, table.staged_name), table, is_published=False),
        )
    ]
    emptied = [
        {"column": name, "published": before, "staged": now}
        for name, before, now in zip(columns, *counted, strict=True)
        if before >= FEW_VALUES and not now
    ]
    return len(emptied), emptied


def _loops(connection: Connection, load: Load) -> tuple[int, list[Any]]:
    """Replacements that go in circles and did not in the release that the load is compared with."""
    known: set[str] = set()
    if load.base_release is not None:
        rows = connection.execute(statement("loops_published", schema=load.target_schema))
        known = {iri for (iri,) in rows}
    found = connection.execute(statement("loops_staged", load=load.schema)).fetchall()
    new = [{"iri": iri, "path": path} for iri, path in found if iri not in known]
    return len(new), new[:SAMPLES]


def _cycles(connection: Connection, load: Load) -> tuple[int, list[Any]]:
    """What is left of the is_a edges lies on a cycle, or between two."""
    connection.execute(statement("cycle_edges", load=load.schema))
    peel(connection)
    row = connection.execute(statement("cycle_rest")).fetchone()
    connection.execute("drop table pg_temp.efo_cycle_edges")
    return (int(row[0]), list(row[1] or [])) if row else (0, [])


def _verdict_row(load: Load, verdict: Verdict, seen: Content) -> dict[str, Any]:
    return {
        "load_id": load.load_id,
        "check_name": verdict.check.name,
        "blocking": verdict.check.blocking,
        "passed": verdict.passed,
        "content_hash": seen.digest,
        "offenders": verdict.offenders,
        "detail": Jsonb(verdict.detail),
    }


def proven(connection: Connection, load: Load) -> tuple[str, list[str]]:
    """The content that the load's newest verdicts saw, by its digest; what blocks publication.

    The latter are the blocking checks without a passed verdict for this content.
    """
    rows = connection.execute(
        "select content_hash, check_name, passed from efo_meta.verdicts"
        " where load_id = %s and blocking order by checked_at",
        [load.load_id],
    ).fetchall()
    digest = rows[-1][0] if rows else ""
    passed = {name for content_hash, name, passed in rows if passed and content_hash == digest}
    return digest, [name for name in BLOCKING if name not in passed]
