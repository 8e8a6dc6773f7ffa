"""The audit: SQL checks over a load, and verdicts bound to the content that they saw.

A check passes if it finds no offenders. What it looks for is a statement in `sql/checks.sql` that
has its name, or follows from the specification of its table, where keys that stand on it may answer
without a look at the rows. A verdict is stored in `efo_meta.verdicts` with the hash of all staged
rows; the publisher accepts no other proof. A new check is an entry in `CHECKS`; one that blocks
says what to do about what it finds.
"""

import itertools
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from psycopg import sql
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from efo_assets.errors import LOAD_COMMAND, AuditNotPassed
from efo_assets.privacy.disclosure import one_line
from efo_assets.privacy.logs import logger
from efo_assets.warehouse import tables
from efo_assets.warehouse.closure import MOST_LEVELS, Edges, on_cycles
from efo_assets.warehouse.ledger import current_release
from efo_assets.warehouse.load import (
    Content,
    Load,
    Source,
    comparable_release,
    content,
    is_moved,
    key_of_another,
    newest,
    published_content,
    refuse_changed,
    without_changes,
)
from efo_assets.warehouse.profile import (
    FEW_CLASSES,
    FEW_ROWS,
    LOST_HALF,
    LOST_SOME,
    TOUCHED,
    TOUCHED_MANY,
    Profile,
    losses,
    profile,
)
from efo_assets.warehouse.schema import FUNCTION, Schema
from efo_assets.warehouse.session import Connection, beside
from efo_assets.warehouse.statements import repeated, statement, without_terms
from efo_assets.warehouse.tables import Table

SHRINK_TERMS = 0.02
"""A release that loses more of its terms than this is refused."""
SHRINK_OTHERS = 0.10
"""The same for synonyms, edges and cross references."""
UNLABELLED = 0.001
"""Editors forget few labels. A field that OLS drops is gone from a page of 500 at least, more than
this of EFO's 94,000 classes; of a small ontology, `FEW_ROWS` may lack one."""
WALKED_TERMS = 1000
"""Of so many terms or more, spread evenly, ancestors are looked for along the edges once more."""

SAMPLES = 10
SAMPLES_TOLD = 2
"""Of each check in the sentence of a refusal."""
SAMPLE_CHARACTERS = 80
CHECKS_TOLD = 4

_STAGED_ANEW = (
    f"OLS's pages give no such rows: `{LOAD_COMMAND}` stages the kept pages anew; if the rows come "
    "again, something in the database changes staged rows, or this version misreads the pages: "
    "report it with these samples."
)
_ONTOLOGY = (
    "It comes out the same again until OLS serves other data: report the classes to the "
    "ontology's editors and wait for the next release."
)
_KEPT_PAGES = (
    "it comes out the same again from the kept pages until OLS has loaded the release anew, or "
    "until the folder `pages` in EFO_DATA_DIR is deleted and OLS is asked once more."
)
_ALLOW = (
    "If it is right, EFO_ALLOW_SHRINK=1 publishes it for one run (allow_shrink in the launchpad, "
    f"where a graph has settings of its own); if not, {_KEPT_PAGES}"
)
_SQL = (
    "It comes out the same again until a setting of this database, role or server that changes "
    "what SQL means is taken back; the samples name the expression."
)


class Offenders(NamedTuple):
    """What a check found."""

    number: int
    samples: list[Any]
    is_tolerable: bool = False
    """Whether they are a warning, though the check can block."""
    profile: Profile | None = None
    """Figures that it came by, to be kept with the verdict."""


Find: TypeAlias = Callable[[Connection, Load, "Check"], Offenders]

_log = logger(__name__)


def _by_name(connection: Connection, load: Load, check: "Check") -> Offenders:
    """Find the rows of the statement that is named after the check."""
    query = statement(f"check_{check.name}", load=load.schema)
    return _selected(connection, load, query, check.weight)


def _repeated(connection: Connection, load: Load, check: "Check") -> Offenders:
    """Find rows that are there more than once; none where the table has the key for it.

    PostgreSQL keeps a key by each row that changes, whoever changes it.
    """
    table = check.about
    if _is_held(connection, load, table, "has_key", list(table.staged_key)):
        return Offenders(0, [])
    return _selected(connection, load, repeated(load.schema, table), check.weight)


def _without_terms(connection: Connection, load: Load, check: "Check") -> Offenders:
    """Find rows that refer to terms that aren't staged; none where foreign keys are there."""
    table = check.about
    if _is_held(connection, load, table, "has_references", [ref.name for ref in table.references]):
        return Offenders(0, [])
    return _selected(connection, load, without_terms(load.schema, table))


def _is_held(
    connection: Connection, load: Load, table: Table, name: str, columns: list[str]
) -> bool:
    """What a statement says of constraints on these columns of a staged table."""
    values = {"load": load.schema, "table": table.staged_name, "columns": columns}
    return bool(connection.row(statement(name), values)[0])


def _selected(
    connection: Connection, load: Load, query: sql.Composed, weight: str = "1"
) -> Offenders:
    """Count the rows of a query and sample them; a sample of one column is its value."""
    counted = statement(
        "offenders", query=query, weight=sql.SQL(weight), samples=sql.Literal(SAMPLES)
    )
    number, samples = connection.row(counted, {"load_id": load.load_id})
    return Offenders(
        number,
        [next(iter(sample.values())) if len(sample) == 1 else sample for sample in samples or []],
    )


def _tolerated(table: Table) -> float:
    return SHRINK_TERMS if table.is_referenced else SHRINK_OTHERS


def _shrunk(connection: Connection, load: Load, check: "Check") -> Offenders:
    """Count rows missing against the published release, where they are too many.

    A few rows are a warning unless they are more than half: of a small ontology, one class may be
    more than the share. A partial load is no release: the publisher keeps it from replacing a whole
    one.
    """
    table = check.about
    query = statement("shrinkage", staged=(load.schema, table.staged_name))
    values = {
        "schema": load.target_schema,
        "ontology": load.source.ontology,
        "table": table.staged_name,
    }
    published, staged = connection.row(query, values)
    if load.is_partial or published is None:  # nothing of the ontology is published, or only a part
        return Offenders(0, [])
    lost = published - staged
    if lost <= published * _tolerated(table):
        return Offenders(0, [])
    is_an_edit = lost < FEW_ROWS and lost <= published * LOST_HALF
    return Offenders(lost, [{"published": published, "staged": staged}], is_an_edit)


def _implausible(connection: Connection, load: Load, check: "Check") -> Offenders:
    """Find figures of the table's profile that fell against the release that it changes."""
    table = check.about
    staged = profile(connection, (load.schema, table.staged_name), table, is_published=False)
    if load.base_release is None or table.is_history:
        return Offenders(0, [], profile=staged)
    # As it was published, whatever became of the tables; releases of old have no profile.
    known = profiles(connection, load.base_release).get(table.staged_name)
    place = load.target_schema.of(table.staged_name)
    if not connection.has_table(load.target_schema.quoted(table.staged_name)):
        return Offenders(0, [], profile=staged)  # ancestors were given another way
    published = known or profile(connection, place, table, is_published=True)
    found = losses(table, published, staged)
    samples = [
        {"column": loss.figure, "published": loss.published, "staged": loss.staged}
        for loss in found
    ]
    return Offenders(len(found), samples, not any(loss.blocks for loss in found), staged)


def _upheaval(connection: Connection, load: Load, check: "Check") -> Offenders:
    """Count the classes that the load changes, where they are many of those that stood."""
    found = _implausible(connection, load, check)
    if load.base_release is None:
        return found
    values = {"base_release": load.base_release}
    stood, touched = connection.row(statement("touched", load=load.schema), values)
    figures = {**(found.profile or {}), "touched terms": touched}
    if touched <= max(FEW_CLASSES, stood * TOUCHED_MANY):
        return found._replace(profile=figures)
    kinds = {name: n for name, n in figures.items() if name.startswith("kind ")}
    largest = sorted(kinds, key=lambda name: -kinds[name])
    samples: list[Any] = [{"published": stood, "touched": touched}]
    samples += [{name.removeprefix("kind "): kinds[name]} for name in largest]
    return Offenders(touched, samples[:SAMPLES], touched <= stood * TOUCHED, figures)


def _unlabelled(_: Connection, load: Load, __: "Check") -> Offenders:
    """Tell the terms that came without a label, as the decoder counted them; a few are a warning.

    The rows don't show them: an editor may give a term its short form for a label, as OWL's do.
    """
    found = load.findings.get("no_label", {"count": 0, "samples": []})
    few = max(FEW_ROWS, int(load.expected_terms * UNLABELLED))
    return Offenders(found["count"], found["samples"], found["count"] <= few)


def _on_cycles(connection: Connection, load: Load, _: "Check") -> Offenders:
    """Find the is_a edges that lie on a cycle, or between two."""
    edges = Edges.read(connection, load.schema)
    is_a = edges.only(edges.is_a)
    return _selected(connection, load, _named("edges_named", load, is_a.only(on_cycles(is_a))))


def _named(name: str, load: Load, edges: Edges) -> sql.Composed:
    """The statement of this name, with these edges by the keys of their terms."""
    ends = {"children": edges.children, "parents": edges.parents}
    keys = {end: sql.Literal([edges.keys[place] for place in of]) for end, of in ends.items()}
    return statement(name, load=load.schema, **keys)


def _not_followed(connection: Connection, load: Load, _: "Check") -> Offenders:
    """Find the edges whose parent is no ancestor at a distance of one."""
    connection.execute(statement("followed_edges", load=load.schema))
    return _selected(connection, load, statement("edges_not_followed", load=load.schema))


def _astray(connection: Connection, load: Load, _: "Check") -> Offenders:
    """Find edges that were not followed without need, and ancestors that a walk doesn't find."""
    connection.execute(statement("followed_edges", load=load.schema))
    left_out = Offenders(0, [])
    # Cycles are looked for only where an edge was left out.
    if connection.execute("select from pg_temp.efo_followed_edges where not is_followed").rowcount:
        edges = Edges.read(connection, load.schema)
        cyclic = edges.only(on_cycles(edges))
        left_out = _selected(connection, load, _named("edges_left_out", load, cyclic))
    step = max(1, load.counts[tables.TERMS.staged_name] // WALKED_TERMS)
    walk = statement(
        "ancestors_astray",
        load=load.schema,
        step=sql.Literal(step),
        # Edges are all that is staged where they are to be found along them.
        most_levels=sql.Literal(0 if load.source.ancestors == FUNCTION else MOST_LEVELS),
    )
    astray = _selected(connection, load, walk)
    samples = [*left_out.samples, *astray.samples]
    return Offenders(left_out.number + astray.number, samples[:SAMPLES])


def _miscounted(connection: Connection, load: Load, _: "Check") -> Offenders:
    """Compare the changes of terms with both releases; without one to compare there are none."""
    if load.base_release is None:
        return _selected(connection, load, statement("changes_without_base", load=load.schema))
    if load.base_release != comparable_release(connection, load):
        return Offenders(0, [])  # the publisher refuses it
    query = statement("changes_miscounted", load=load.schema, **load.target_schema.parts)
    return _selected(connection, load, query)


def _new_loops(connection: Connection, load: Load, _: "Check") -> Offenders:
    """Find replacements in circles that were not in the release that the load is compared with."""
    known: set[str] = set()
    if load.base_release is not None:
        rows = connection.execute(statement("loops_published", **load.target_schema.parts))
        known = {iri for (iri,) in rows}
    loops = connection.execute(statement("loops_staged", load=load.schema))
    new = [{"iri": iri, "path": path} for iri, path in loops if iri not in known]
    return Offenders(len(new), new[:SAMPLES])


@dataclass(frozen=True, slots=True)
class Check:
    """One question about a staged table whose good answer is "no offenders"."""

    name: str
    about: Table
    description: str
    find: Find = _by_name
    blocking: bool = True
    overridable: bool = False
    """Whether EFO_ALLOW_SHRINK lets a load pass all the same."""
    weight: str = "1"
    """SQL for how many offenders a row of its query stands for."""
    unit: str = "row"
    """What one of its offenders is."""
    advice: str = _STAGED_ANEW
    """What to do where it blocks."""

    @property
    def table(self) -> str:
        """The staged table that it is about, by name."""
        return self.about.staged_name


def _of_copied(
    name: str, table: Table, unique: str, *others: Check, rows: str = "", have_terms: str = ""
) -> Iterable[Check]:
    """The checks that follow from a copied table's specification, with `others` among them."""
    if table.references:
        yield Check(f"{name}_have_terms", table, have_terms, _without_terms)
    weight = "times - 1" if table.is_referenced else "1"
    yield Check(f"{name}_are_unique", table, unique, _repeated, weight=weight)
    yield from others
    few = (
        f"At most {_tolerated(table):.0%} fewer {rows or name} than in the published release. "
        f"Fewer than {FEW_ROWS} are a warning, unless they are more than half."
    )
    yield Check(
        f"{name}_did_not_shrink",
        table,
        few,
        _shrunk,
        overridable=True,
        unit="lost row",
        advice=_ALLOW,
    )


CHECKS: tuple[Check, ...] = (
    Check(
        "terms_are_complete",
        tables.TERMS,
        "As many terms as OLS announced, counted apart.",
        weight="abs(announced - staged)",
    ),
    *_of_copied(
        "terms",
        tables.TERMS,
        "No IRI stands twice.",
        Check(
            "terms_have_labels",
            tables.TERMS,
            f"No term is without a label; its short form stands for it. Up to {UNLABELLED:.1%} of "
            f"all terms, or {FEW_ROWS}, are a warning.",
            _unlabelled,
            overridable=True,
            advice=_ALLOW,
        ),
    ),
    *_of_copied(
        "synonyms",
        tables.SYNONYMS,
        "One row per term, scope and synonym.",
        have_terms="Every synonym belongs to a staged term.",
    ),
    *_of_copied(
        "edges",
        tables.PARENT_EDGES,
        "One row per child, parent and relation.",
        Check(
            "edges_have_no_cycle",
            tables.PARENT_EDGES,
            "No term is its own ancestor over is_a.",
            _on_cycles,
            advice=_ONTOLOGY,
        ),
        have_terms="Both ends of every edge are staged terms.",
    ),
    *_of_copied(
        "xrefs",
        tables.XREFS,
        "One row per term, prefix and accession.",
        rows="cross references",
        have_terms="Every cross reference belongs to a staged term.",
    ),
    *(
        Check(
            f"{table.staged_name}_are_plausible",
            table,
            f"No column{''.join(f', no {kind.column}' for kind in table.kinds)} lost more than "
            f"{LOST_HALF:.0%} of its rows against the published release, and {FEW_ROWS} or more; "
            f"more than {LOST_SOME:.0%} are a warning.",
            _implausible,
            overridable=True,
            unit="figure",
            advice=_ALLOW,
        )
        for table in tables.TABLES
        if not table.is_history
    ),
    Check(
        "changes_are_plausible",
        tables.CHANGES,
        f"At most {TOUCHED:.0%} of the published classes are touched, or {FEW_CLASSES}; more than "
        f"{TOUCHED_MANY:.0%} are a warning.",
        _upheaval,
        overridable=True,
        unit="touched term",
        advice=_ALLOW,
    ),
    Check(
        "edges_are_not_dangling",
        tables.PARENT_EDGES,
        "Every parent is a listed class; the others are kept aside in `dangling_edges`.",
        blocking=False,
    ),
    Check(
        "values_are_well_formed",
        tables.TERMS,
        "No value was left out or mended while decoding.",
        blocking=False,
        weight="count",
    ),
    Check(
        "labels_are_unique",
        tables.TERMS,
        "No two current terms have the same label.",
        blocking=False,
    ),
    Check(
        "iris_are_not_alike",
        tables.TERMS,
        "No two IRIs differ by case, outer spaces or Unicode form alone.",
        blocking=False,
    ),
    Check(
        "replacements_are_of_every_obsolete_class",
        tables.REPLACEMENTS,
        "Every obsolete class has a row, and no other class has one.",
    ),
    Check(
        "replacements_do_not_loop",
        tables.REPLACEMENTS,
        "No class is replaced, over whatever steps, by a class on the way, but those that were so "
        "in the published release.",
        _new_loops,
        blocking=False,
    ),
    Check(
        "sql_means_what_it_says",
        tables.REPLACEMENTS,
        "Each kind of expression that derived tables rest on gives its known answer.",
        unit="expression",
        advice=_SQL,
    ),
    Check(
        "replacements_lead_where_they_say",
        tables.REPLACEMENTS,
        "Every target is as the status says, and no class without one names a staged class.",
    ),
    Check("mesh_terms_are_current", tables.MESH_TERMS, "Every id leads to a staged, current term."),
    Check(
        "mesh_ids_are_well_formed",
        tables.MESH_TERMS,
        "Every MeSH reference is a unique id (D…, C…, Q…); tree numbers and others are left out.",
        blocking=False,
    ),
    Check(
        "mesh_terms_follow_from_xrefs",
        tables.MESH_TERMS,
        "Cross references to MeSH and replacements lead to these pairs, and to no others.",
    ),
    Check("ancestors_are_others", tables.ANCESTORS, "No term is its own ancestor."),
    Check(
        "ancestors_follow_every_edge",
        tables.ANCESTORS,
        "Every parent is an ancestor; edges that close a cycle are left out.",
        _not_followed,
        blocking=False,
    ),
    Check(
        "ancestors_are_closed",
        tables.ANCESTORS,
        "Every parent is an ancestor, unless its edge lies on a cycle or between two; and for "
        f"{WALKED_TERMS:,} terms or more a walk along the edges finds the same ancestors.",
        _astray,
    ),
    Check(
        "changes_agree_with_both_releases",
        tables.CHANGES,
        "As many terms were added, removed, restored, obsoleted, relabelled and redefined as the "
        "published and the staged terms show, side by side.",
        _miscounted,
    ),
)
BLOCKING = tuple(check.name for check in CHECKS if check.blocking)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check found in one load and content."""

    check: Check
    passed: bool
    blocking: bool
    """Whether the load can't be published with it, unless it passed."""
    offenders: int
    samples: list[Any]
    overridden: bool = False
    profile: Profile | None = None

    @property
    def blocks(self) -> bool:
        """Whether it keeps the load from being published."""
        return self.blocking and not self.passed

    @property
    def detail(self) -> dict[str, Any]:
        """For the ledger and for Dagster's metadata."""
        detail = {"samples": self.samples, "overridden": self.overridden}
        return detail if self.profile is None else detail | {"profile": self.profile}

    def __str__(self) -> str:
        """`terms_have_labels (3 rows: EFO_1, EFO_2, …)`."""
        told = [one_line(sample, SAMPLE_CHARACTERS) for sample in self.told[:SAMPLES_TOLD]]
        if len(self.samples) > SAMPLES_TOLD:
            told.append("…")
        return f"{self.check.name} ({self.count}{': ' if told else ''}{', '.join(told)})"

    @property
    def told(self) -> list[str]:
        """Each sample as a text."""
        return [_told(sample) for sample in self.samples]

    @property
    def count(self) -> str:
        """`3 rows`."""
        return f"{self.offenders:,} {self.check.unit}{'' if self.offenders == 1 else 's'}"


def _told(sample: Any) -> str:
    if isinstance(sample, dict):
        # PostgreSQL keeps keys by their length.
        facts = sorted(sample.items(), key=lambda fact: fact[0] in {"staged", "touched"})
        return " ".join(f"{name} {_told(value)}" for name, value in facts)
    if isinstance(sample, list):
        return ", ".join(map(_told, sample))
    return f"{sample:,}" if isinstance(sample, int) else str(sample)


def refusal(load: Load, verdicts: Iterable[Verdict]) -> AuditNotPassed | None:
    """What is raised in place of publishing a load with these verdicts; None if nothing blocks."""
    blocking = [verdict for verdict in verdicts if verdict.blocks]
    if not blocking:
        return None
    told = [str(verdict) for verdict in blocking[:CHECKS_TOLD]]
    told += [verdict.check.name for verdict in blocking[CHECKS_TOLD:]]
    advice = " ".join(dict.fromkeys(verdict.check.advice for verdict in blocking))
    return AuditNotPassed(
        f"{load.source.name} is not published, and the release before stays, since the audit "
        f"refuses it: {'; '.join(told)}. {advice}",
        checks=tuple(verdict.check.name for verdict in blocking),
    )


def audit(
    connection: Connection,
    load: Load,
    *,
    allow_shrink: bool = False,
    checks: Iterable[Check] = CHECKS,
    connect: Callable[[], Connection],
) -> list[Verdict]:
    """Run the checks over a load and store their verdicts with the hash of its content.

    `connect` opens a second connection, which takes its share of the checks where it can be had.

    A load that was published keeps the verdicts that it was published by: what stands is compared
    with them, and never with what became of the staged rows.

    Raises:
        AuditNotPassed: the rows are not those that were decoded and derived, or, of a published
            load, those that were published.
    """
    sys.audit("efo_assets.audit_began")
    with connection.transaction():
        # One snapshot: the hash and all checks see the same rows.
        connection.execute("set transaction isolation level repeatable read")
        connection.execute(statement("bulk_session"))
        stored = _stored(connection, load)
        kept = _kept(load, stored)
        if kept is not None:
            _log.info("load %s was audited before it was published", load.load_id)
            return kept
        if is_moved(connection, load):
            raise AuditNotPassed(
                f"Load {load.load_id} ({load.source.name}) is published, some of its verdicts are "
                "gone or of another version, and it has no staged rows to be audited again: the "
                f"published release stays; run `{LOAD_COMMAND}`, which stages the kept pages anew."
            )
        questions = _Questions(load, checks)
        with beside(connect, questions.ask_in_bulk, shared=connection):
            audited, ties = content(connection, load)
            if load.state != "published" or not stored:
                refuse_changed(load, load.sealed, ties, "derived")
            elif any(row[1] != audited.digest for row in stored):
                # Nothing takes the place of verdicts that a publication rests on.
                raise AuditNotPassed(
                    f"The staged rows of load {load.load_id} ({load.source.name}) were changed "
                    "after their publication, so they are not audited again: the published release "
                    f"stays; run `{LOAD_COMMAND}`, which stages them anew."
                )
            questions.ask(connection)
        # A release that was let pass once, by an override or by a version that had fewer checks,
        # is never refused again: what stands may have been changed, and its rows put that right.
        is_published = load.state == "published" and bool(stored)
        allow = allow_shrink or is_published or _is_as_published(connection, load, audited)
        verdicts = [_verdict(check, questions.found[check.name], allow=allow) for check in checks]
        sys.audit("efo_assets.audited")
        for verdict in verdicts:
            connection.execute(statement("verdict_upsert"), _verdict_row(load, verdict, audited))
    if warnings := [verdict for verdict in verdicts if not (verdict.passed or verdict.blocks)]:
        told = ", ".join(f"{verdict.check.name} ({verdict.count})" for verdict in warnings)
        _log.info("warnings, which alone would not keep the release from being published: %s", told)
    return verdicts


def _stored(connection: Connection, load: Load) -> list[TupleRow]:
    """Name, content hash, blocking, passed, offenders and detail of each verdict, newest last."""
    values = {"load_id": load.load_id}
    return connection.execute(statement("verdicts_of_load"), values).fetchall()


def _kept(load: Load, stored: list[TupleRow]) -> list[Verdict] | None:
    """The verdicts of a published load; None unless it has them all, for one content."""
    is_of_one = len({content_hash for _, content_hash, *_ in stored}) == 1
    is_whole = is_of_one and {name for name, *_ in stored} == {check.name for check in CHECKS}
    return _read(stored) if load.state == "published" and is_whole else None


def _read(stored: Iterable[TupleRow]) -> list[Verdict]:
    """The verdicts of checks that there still are, in the order of `CHECKS`."""
    by_name = {name: facts for name, _, *facts in stored}
    return [
        Verdict(check, passed, blocking, offenders, **detail)
        for check in CHECKS
        if check.name in by_name
        for blocking, passed, offenders, detail in [by_name[check.name]]
    ]


def reusable(connection: Connection, target_schema: Schema, source: Source) -> Load | None:
    """The newest load, if it is of exactly this source and format, and of use as it is."""
    load = newest(connection, target_schema)
    return (
        load if load is not None and load.source == source and _is_fit(connection, load) else None
    )


def _is_fit(connection: Connection, load: Load) -> bool:
    """Whether a load can be published, or what it published be looked at again.

    What a published one holds matters only if what was made of it must be made again; the publisher
    looks at it then. Where another content stands now, it is of no use. One that is not published
    must be tied to what was decoded, and have been compared with the release that stands.
    """
    stored = _stored(connection, load)
    kept = _kept(load, stored)
    if kept is not None:
        current = current_release(connection, load.target_schema)
        if without_changes(current.content_hash if current else "") != without_changes(
            stored[0][1]
        ):
            return False
    if is_moved(connection, load):
        # Nothing is left to make anything of but what is published.
        return kept is not None and stored[0][1] == published_content(connection, load).digest
    is_comparable = load.sealed is not None and load.base_release == comparable_release(
        connection, load
    )
    if not (is_comparable or load.state == "published") or key_of_another(connection, load):
        return False
    return kept is not None or _is_as_judged(connection, load, stored)


def _is_as_judged(connection: Connection, load: Load, stored: list[TupleRow]) -> bool:
    """Whether the rows of a load are those that were derived, and no audit refused them."""
    if any(is_blocking and not passed for _, _, is_blocking, passed, *_ in stored):
        return False
    present, ties = content(connection, load)
    # A published load is known by its verdicts, unless somebody deleted them.
    is_as_staged = (load.state == "published" and bool(stored)) or ties == load.sealed
    return is_as_staged and all(row[1] == present.digest for row in stored)


def _is_as_published(connection: Connection, load: Load, audited: Content) -> bool:
    """Whether the load holds the release that it is compared with, row for row."""
    values = {"release_id": load.base_release}
    row = connection.execute(statement("release_content"), values).fetchone()
    return row is not None and without_changes(row[0]) == without_changes(audited.digest)


class _Questions:
    """Checks that several connections share, each taking all of a table that nobody has taken."""

    def __init__(self, load: Load, checks: Iterable[Check]) -> None:
        self.found: dict[str, Offenders] = {}
        """By check."""
        self._load = load
        by_table = itertools.groupby(checks, lambda check: check.table)
        self._left = iter([list(of_table) for _, of_table in by_table])

    def ask(self, connection: Connection) -> None:
        """Take what is left, until nothing is."""
        for checks in self._left:
            for check in checks:
                self.found[check.name] = check.find(connection, self._load, check)

    def ask_in_bulk(self, connection: Connection) -> None:
        """The same over a connection whose transaction just began."""
        connection.execute(statement("bulk_session"))
        self.ask(connection)


def _verdict(check: Check, found: Offenders, *, allow: bool) -> Verdict:
    offenders, samples, is_tolerable, figures = found
    blocking = check.blocking and not (offenders and is_tolerable)
    overridden = bool(offenders) and blocking and allow and check.overridable
    passed = not offenders or overridden
    return Verdict(check, passed, blocking, offenders, samples, overridden, figures)


def _verdict_row(load: Load, verdict: Verdict, audited: Content) -> dict[str, Any]:
    return {
        "load_id": load.load_id,
        "check_name": verdict.check.name,
        "blocking": verdict.blocking,
        "passed": verdict.passed,
        "content_hash": audited.digest,
        "offenders": verdict.offenders,
        "detail": Jsonb(verdict.detail),
    }


def proven(connection: Connection, load: Load) -> str:
    """The content that the load's newest verdicts saw, by its digest; all of it may be published.

    Raises:
        AuditNotPassed: a blocking check found something, or has no verdict for this content.
    """
    stored = _stored(connection, load)
    digest = stored[-1][1] if stored else ""
    verdicts = _read(row for row in stored if row[1] == digest)
    if refused := refusal(load, verdicts):
        raise refused
    # Only what may be overridden can be a mere warning; other code may have taken more for one.
    seen = {
        verdict.check.name for verdict in verdicts if verdict.passed or verdict.check.overridable
    }
    if missing := [name for name in BLOCKING if name not in seen]:
        raise AuditNotPassed(
            f"Load {load.load_id} ({load.source.name}) is not published, since it has no "
            f"verdict for its present content from: {', '.join(missing)}. The published release "
            f"stays; run `{LOAD_COMMAND}`, which audits and publishes what is staged."
        )
    return digest


def stored_verdicts(connection: Connection, load_id: str) -> list[Verdict]:
    """What the last audit of a load found, in the order of `CHECKS`."""
    rows = connection.execute(statement("verdicts_of_load"), {"load_id": load_id}).fetchall()
    return _read(rows)


def profiles(connection: Connection, release_id: int) -> dict[str, Profile]:
    """The profile of each table by its staged name, from the audit that let the release pass."""
    rows = connection.execute(statement("release_profiles"), {"release_id": release_id})
    by_name: dict[str, Profile] = dict(rows.fetchall())
    return {check.table: by_name[check.name] for check in CHECKS if check.name in by_name}
