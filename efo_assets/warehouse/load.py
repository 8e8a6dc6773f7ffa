"""Loads: one schema of LOGGED tables per load, filled by binary COPY, sealed, superseded, dropped.

A load goes from `staging` to `staged` (all tables are full and of one release) to `published`, and
ends `dropped`. While it is staging, its copied tables are empty or *filled*, by one transaction.
Its rows in `efo_meta` outlive its tables. This module knows neither OLS nor Dagster; what a load is
made from reaches it as a `Source` and as rows in COPY's binary format.
"""

import secrets
import sys
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from psycopg.types.json import Jsonb

from efo_assets.errors import LOAD_COMMAND, AuditNotPassed, NothingStaged
from efo_assets.privacy.logs import logger
from efo_assets.privacy.printable import release_name
from efo_assets.warehouse.copy_rows import SIGNATURE, TRAILER, Columns, CopyRows
from efo_assets.warehouse.derivation import ancestors_under_way, copy_ancestors, derive
from efo_assets.warehouse.integers import in_pieces, of_text
from efo_assets.warehouse.migrations import FUNCTION_VERSION, THIS_CODE
from efo_assets.warehouse.schema import FUNCTION, TABLE, Schema
from efo_assets.warehouse.session import Connection
from efo_assets.warehouse.statements import (
    compose,
    copy_into,
    create_aside,
    create_staged,
    listing,
    published_hash,
    staged_hash,
    statement,
)
from efo_assets.warehouse.tables import (
    ANCESTORS,
    CHANGES,
    CLASS_HASH_COLUMNS,
    CLASS_HASHES,
    COPIED,
    DERIVED,
    FORMAT_VERSION,
    PARENT_EDGES,
    READ_VERSION,
    TABLES,
    TERMS,
    Column,
    Table,
)
from efo_assets.warehouse.touched import TOUCHED, among, find_touched

KEPT_FOR_DIAGNOSIS = 2
"""Loads that never became a release and keep their tables."""
COPY_BYTES = 1 << 20
"""Rows of a table that are copied at once: a COPY for each page takes PostgreSQL twice as long."""
NO_ROWS = "0:0"
"""The tie of a table without rows."""
DANGLING = "dangling_edges"
"""The table of a load that holds the edges whose parent is not listed, as they were copied."""
ASIDE: Mapping[str, Sequence[Column]] = {
    DANGLING: PARENT_EDGES.copied_columns,
    CLASS_HASHES: CLASS_HASH_COLUMNS,
}
"""Tables of a load that are not published, and their columns."""

_STAGED_ANEW = (
    "Nothing was published, and the published release stays; run "
    f"`{LOAD_COMMAND}`, which stages them anew."
)

_log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Source:
    """What a load is made from: a release as OLS announced it, and how much of it."""

    ontology: str
    version: str | None
    version_iri: str | None
    loaded: str | None
    fingerprint: str
    url: str = field(compare=False)
    """The server; the same release from another is the same source."""
    limit: int | None = None
    totals: Mapping[str, int] | None = field(default=None, compare=False)
    """Classes by list (current, obsolete, all) as announced; the fingerprint covers them."""
    ancestors: str = TABLE
    """How its ancestors are given; see `schema.WAYS`."""

    @property
    def name(self) -> str:
        """For people: `efo 3.92.0`."""
        return release_name(self.ontology, self.version)


@dataclass(frozen=True, slots=True)
class Load:
    """A load as `efo_meta.loads` knows it."""

    load_id: str
    target_schema: Schema
    source: Source
    state: str
    expected_terms: int
    """Rows that the table of terms must hold."""
    counts: Mapping[str, int] = field(default_factory=dict)
    findings: Mapping[str, Any] = field(default_factory=dict)
    base_release: int | None = None
    """The release that its changes are counted against, as `comparable_release` gave it."""
    sealed: Mapping[str, str] | None = None
    """Tie of each table when all were derived; None before, and where a version kept none."""

    @property
    def schema(self) -> str:
        """The schema that holds its tables."""
        return f"efo_load_{self.load_id}"

    @property
    def is_partial(self) -> bool:
        """Whether it holds the first classes only."""
        return self.source.limit is not None

    @property
    def facts(self) -> dict[str, Any]:
        """What both `efo_meta.loads` and the ledger say of it, by column."""
        source = self.source
        return {
            "load_id": self.load_id,
            "target_schema": self.target_schema,
            "ontology": source.ontology,
            "version": source.version,
            "version_iri": source.version_iri,
            "loaded": source.loaded,
            "fingerprint": source.fingerprint,
            "is_partial": self.is_partial,
            "totals": source.totals and Jsonb(dict(source.totals)),
        }


@dataclass(frozen=True, slots=True)
class Content:
    """Rows and hash of each table, equal for equal rows in any order."""

    rows: Mapping[str, int]
    hashes: Mapping[str, str]

    @property
    def digest(self) -> str:
        """All hashes in one text, by table."""
        return " ".join(f"{name}={self.rows[name]}:{value}" for name, value in self.hashes.items())

    @classmethod
    def of_digest(cls, digest: str) -> "Content":
        """The content that has this digest."""
        return cls.of_ties(dict(part.split("=") for part in digest.split()))

    @classmethod
    def of_ties(cls, ties: Mapping[str, str]) -> "Content":
        """The content of tables with these ties (`rows:hash`)."""
        parts = {name: tie.split(":") for name, tie in ties.items()}
        return cls(
            {name: int(rows) for name, (rows, _) in parts.items()},
            {name: hash_ for name, (_, hash_) in parts.items()},
        )


def without_changes(digest: str) -> str:
    """The part of a `Content.digest` that says what a release is, not what it changed."""
    changes = f"{CHANGES.staged_name}="
    return " ".join(part for part in digest.split() if not part.startswith(changes))


def term_keys(connection: Connection, target_schema: Schema) -> tuple[bytes, bytes, int]:
    """Hashes of the IRIs of all terms that the schema knows, their keys, the first for a new one.

    Hashes and keys are native integers of 8 bytes, in the order of the hashes.

    Until such a load is published, the caller keeps the writer's lock, so that no other load gives
    the same keys; the publisher looks at them again.
    """
    name = target_schema.quoted(TERMS.staged_name)
    if not connection.has_table(name):
        return b"", b"", 1
    terms = target_schema.of(TERMS.staged_name)
    hashes, keys = array("Q"), array("Q")
    with connection.transaction():
        query = statement("keys_given", terms=terms)
        for some_hashes, some_keys in in_pieces(connection, query):
            hashes.extend(of_text(some_hashes, "Q"))
            keys.extend(of_text(some_keys, "Q"))
        (last,) = connection.row(statement("last_key", terms=terms), {"terms": name})
    return hashes.tobytes(), keys.tobytes(), (last or 0) + 1


def begin(
    connection: Connection,
    target_schema: Schema,
    source: Source,
    *,
    expected_terms: int,
    run_id: str | None = None,
) -> Load:
    """Clear leftovers, register a new load and make its empty tables.

    The caller holds the writer's lock of `target_schema`, so that a load found in `staging` can
    only be the rest of a process that died.
    """
    clear_leftovers(connection, target_schema)
    stamp = datetime.now(UTC).strftime("%Y%m%dt%H%M%S")
    target_schema = target_schema.giving(source.ancestors)
    load = Load(f"{stamp}_{secrets.token_hex(4)}", target_schema, source, "staging", expected_terms)
    values = {
        **load.facts,
        "source_url": source.url,
        "ancestors": source.ancestors,
        "format_version": FORMAT_VERSION,
        "class_limit": source.limit,
        "expected_terms": expected_terms,
        "state": load.state,
        "run_id": run_id,
        "staged_by": THIS_CODE,
    }
    with connection.transaction():
        connection.execute(statement("load_insert"), values)
        if source.ancestors == FUNCTION:
            # Code that knows no such loads would take the edges for all ancestors.
            connection.execute(statement("refuse_code_before"), {"version": FUNCTION_VERSION})
        connection.execute(compose("create schema {}", load.schema))
        for table in TABLES:
            connection.execute(create_staged(load.schema, table))
        for name, columns in ASIDE.items():
            connection.execute(create_aside((load.schema, name), columns))
    return load


class Filling:
    """The copied tables of a load while their rows come, within one transaction."""

    def __init__(self, connection: Connection, load: Load, columns: Columns) -> None:
        self._connection = connection
        self._load = load
        self._copies = {
            table.staged_name: copy_into(
                (load.schema, table.copied_name), columns[table.staged_name]
            )
            for table in COPIED
        }
        hashes = [column.name for column in CLASS_HASH_COLUMNS]
        self._copies[CLASS_HASHES] = copy_into((load.schema, CLASS_HASHES), hashes)
        self._decoded: Counter[str] = Counter()
        self._waiting = {name: bytearray() for name in self._copies}

    def write(self, rows: Mapping[str, CopyRows]) -> None:
        """Copy rows, by staged table name; few of them wait for others.

        Raises:
            AuditNotPassed: they are not as they were encoded.
        """
        for name, some in rows.items():
            self._waiting[name] += some.verified()
            self._decoded[name] += some.rows
            if len(self._waiting[name]) >= COPY_BYTES:
                self._copy(name)

    def _copy(self, name: str) -> None:
        with self._connection.cursor() as cursor, cursor.copy(self._copies[name]) as copy:
            for piece in (SIGNATURE, self._waiting[name], TRAILER):
                copy.write(piece)
            sys.audit("efo_assets.chunk_copied")
        self._waiting[name] = bytearray()

    def finish(self, findings: Mapping[str, Any], *, expected_terms: int) -> Load:
        """Keep number and hash of the rows, which `seal` wants to find again; the load as filled.

        Raises:
            AuditNotPassed: a table does not hold as many rows as were encoded.
        """
        ties = {}
        for name, (place, columns) in _copied(self._load).items():
            self._copy(name)
            tie = ties[name] = _tie(self._connection, place, columns)
            if (rows := _rows(tie)) != self._decoded[name]:
                raise AuditNotPassed(
                    f"PostgreSQL took {rows:,} rows of {name} of {self._load.source.name}, and "
                    f"{self._decoded[name]:,} were decoded. {_STAGED_ANEW}"
                )
            if place[1] == name:
                # Now, since whoever builds indexes while the load is sealed would be in the way.
                _analyze(self._connection, place)
            _log.info("staged %s rows in %s.%s", f"{rows:,}", self._load.schema, name)
        counts = {name: _rows(tie) for name, tie in ties.items()}
        filled = {
            "load_id": self._load.load_id,
            "copied": Jsonb(ties),
            "counts": Jsonb(counts),
            "findings": Jsonb(dict(findings)),
            "expected_terms": expected_terms,
        }
        self._connection.execute(statement("load_filled"), filled)
        return replace(
            self._load, counts=counts, findings=dict(findings), expected_terms=expected_terms
        )


@contextmanager
def filling(connection: Connection, load: Load, columns: Columns) -> Iterator[Filling]:
    """Fill the copied tables of a load by the transaction that this block is."""
    with connection.transaction():
        connection.execute(statement("bulk_session"))
        # Pages may be long in coming.
        connection.execute("set local idle_in_transaction_session_timeout = 0")
        for place, _ in _copied(load).values():
            _empty(connection, place)
        yield Filling(connection, load, columns)


def seal(connection: Connection, load: Load, findings: Mapping[str, Any]) -> Load:
    """Resolve the parents of edges, derive the other tables, mark the load as staged.

    Raises:
        AuditNotPassed: copied rows are not those that were decoded.
    """
    with connection.transaction():
        connection.execute(statement("bulk_session"))
        _lock_copied(connection, load)
        load = replace(load, base_release=comparable_release(connection, load))
        for name in (PARENT_EDGES.staged_name, DANGLING):
            _empty(connection, (load.schema, name))
        connection.execute(statement("resolve_parents", load=load.schema))
        _analyze(connection, (load.schema, PARENT_EDGES.staged_name))
        only_parents = load.source.ancestors == FUNCTION
        with ancestors_under_way(connection, load.schema, only_parents=only_parents) as ancestors:
            sealed = _as_copied(connection, load)
            # Nothing is derived from ancestors, so that they have the time of all others.
            for table in sorted(DERIVED, key=lambda table: table is ANCESTORS):
                _empty(connection, (load.schema, table.staged_name))
                if table is ANCESTORS:
                    copy_ancestors(connection, load.schema, ancestors)
                elif not table.is_history:
                    derive(connection, load.schema, table)
                elif load.base_release is not None:
                    _derive_changes(connection, load)
                _analyze(connection, (load.schema, table.staged_name))
        for table in (PARENT_EDGES, *DERIVED):
            sealed[table.staged_name] = _tie_staged(connection, load, table)
        sealed[DANGLING] = _tie(connection, (load.schema, DANGLING), ASIDE[DANGLING])
        counts = {name: _rows(tie) for name, tie in sealed.items()}
        connection.execute(
            statement("load_seal"),
            {
                "load_id": load.load_id,
                "counts": Jsonb(counts),
                "findings": Jsonb(dict(findings)),
                "base_release": load.base_release,
                "sealed": Jsonb(sealed),
            },
        )
    return replace(load, state="staged", counts=counts, findings=dict(findings), sealed=sealed)


def _derive_changes(connection: Connection, load: Load) -> None:
    """Compare the rows of terms that differ with the published ones."""
    target = load.target_schema
    is_known = find_touched(connection, load.schema, target, load.base_release)
    of_touched = {
        name: among(TOUCHED if is_known else None, name) for name in ("term_id", "child_id")
    }
    connection.execute(statement("derive_changes", load=load.schema, **target.parts, **of_touched))


def _empty(connection: Connection, place: tuple[str, str]) -> None:
    """Empty a table for the rows of this transaction, which no trigger is to change."""
    # Emptied by the transaction that fills it, a table needs no WAL where none is kept.
    connection.execute(
        compose("truncate {table}; alter table {table} disable trigger user", table=place)
    )


def _tie(connection: Connection, place: tuple[str, str], columns: Sequence[Column]) -> str:
    """`rows:hash` of a table of a load: what ties its rows to a later moment."""
    return ":".join(map(str, connection.row(staged_hash(place, columns))))


def _tie_staged(connection: Connection, load: Load, table: Table) -> str:
    return _tie(connection, (load.schema, table.staged_name), table.staged_columns)


def _rows(tie: str) -> int:
    return int(tie.partition(":")[0])


def _copied(load: Load) -> dict[str, tuple[tuple[str, str], Sequence[Column]]]:
    """Place and columns of each table that rows are copied into, by staged table name."""
    places: dict[str, tuple[tuple[str, str], Sequence[Column]]] = {
        table.staged_name: ((load.schema, table.copied_name), table.copied_columns)
        for table in COPIED
    }
    return places | {CLASS_HASHES: ((load.schema, CLASS_HASHES), CLASS_HASH_COLUMNS)}


def _lock_copied(connection: Connection, load: Load) -> None:
    """Let nobody else change copied rows until the transaction ends."""
    every = listing(compose("{}", place) for place, _ in _copied(load).values())
    connection.execute(compose("lock table {} in share mode", every))


def _as_copied(connection: Connection, load: Load) -> dict[str, str]:
    """The tie of each copied table, which is locked.

    Raises:
        AuditNotPassed: rows are not those that COPY left there.
    """
    ties = {name: _tie(connection, *of_table) for name, of_table in _copied(load).items()}
    (kept,) = connection.row(statement("load_ties"), {"load_id": load.load_id})
    refuse_changed(load, kept, ties, "decoded")
    return ties


def refuse_changed(
    load: Load, kept: Mapping[str, str] | None, found: Mapping[str, str], origin: str
) -> None:
    """Refuse rows that are not those that were `origin` (decoded, derived), by their ties.

    Raises:
        AuditNotPassed: they are others, and the message names the tables; or nothing was kept.
    """
    if kept is None:
        raise AuditNotPassed(
            f"Load {load.load_id} ({load.source.name}) was staged by an earlier version of "
            f"efo_assets, which kept no hash to know its rows by. {_STAGED_ANEW}"
        )
    changed = [
        f"{name} ({_rows(kept.get(name, NO_ROWS)):,} rows then, {_rows(tie):,} now)"
        for name, tie in found.items()
        if kept.get(name, NO_ROWS) != tie
    ]
    if changed:
        raise AuditNotPassed(
            f"Staged rows of load {load.load_id} ({load.source.name}) were changed in PostgreSQL "
            f"after they were {origin}, by whom is not known: {', '.join(changed)}. {_STAGED_ANEW}"
        )


def comparable_release(connection: Connection, load: Load) -> int | None:
    """The standing release, if its rows can be compared with the load's one by one.

    None before the first one, where either is a part of the ontology, where another version of
    this project spelled the rows of the standing one, and where a table of it was dropped.
    """
    values = {
        "schema": load.target_schema,
        "ontology": load.source.ontology,
        "oldest": READ_VERSION,
        "newest": FORMAT_VERSION,
        # No change is told by ancestors, which may have been given another way.
        "tables": [
            load.target_schema.called(table.staged_name)
            for table in TABLES
            if table is not ANCESTORS
        ],
    }
    row = connection.execute(statement("comparable_release"), values).fetchone()
    return int(row[0]) if row is not None and not load.is_partial else None


def _analyze(connection: Connection, place: tuple[str, str]) -> None:
    # Whole tables are read: numbers of rows and of distinct values are all that planning needs.
    connection.execute("set local default_statistics_target = 10")
    connection.execute(compose("analyze {}", place))


def latest(connection: Connection, target_schema: Schema) -> Load:
    """The newest load whose tables are complete and still there.

    Raises:
        NothingStaged: there is none; the message names the command that makes one.
    """
    load = newest(connection, target_schema)
    if load is None and connection.has_table("efo_meta.loads"):
        values = {"schema": target_schema, "format_version": FORMAT_VERSION}
        for made_by, format_version in connection.execute(statement("staged_by_another"), values):
            raise NothingStaged(
                f"What is staged for schema {target_schema} was staged by {made_by} in format "
                f"{format_version}, and this is {THIS_CODE}, which publishes format "
                f"{FORMAT_VERSION}: run `{LOAD_COMMAND}`, which stages the release anew, or go on "
                "with that version."
            )
    if load is None:
        raise NothingStaged(
            f"Nothing is staged for schema {target_schema}, so there is nothing to audit or "
            f"publish: run `{LOAD_COMMAND}`, which downloads, stages, audits and publishes."
        )
    return load


def filled(
    connection: Connection, target_schema: Schema, source: Source, *, by_caller: str | None = None
) -> Load | None:
    """The load of exactly this source and format that waits to be sealed, if there is one.

    The caller holds the writer's lock, so that nobody is filling it. Where that one filled it, by
    its id, rows and keys are as given; where not, rows that aren't as decoded are of no use.
    """
    load = newest(connection, target_schema, "staging")
    if load is None or load.source != source:
        return None
    if load.load_id == by_caller:
        return load
    is_sound = not key_of_another(connection, load) and _is_as_copied(connection, load)
    return load if is_sound else None


def _is_as_copied(connection: Connection, load: Load) -> bool:
    """Whether the rows of a filled load are those that were decoded."""
    with connection.transaction():
        connection.execute(statement("bulk_session"))
        _lock_copied(connection, load)
        try:
            _as_copied(connection, load)
        except AuditNotPassed as error:
            _log.warning("%s", error)
            return False
    return True


def is_moved(connection: Connection, load: Load) -> bool:
    """Whether the load's tables became the published ones."""
    is_there = connection.has_table(f"{load.schema}.{TERMS.staged_name}")
    return load.state == "published" and not is_there


def key_of_another(connection: Connection, load: Load) -> str | None:
    """A staged term whose key is another's in the target schema, or that has another one there.

    None, as long as nothing was published since the keys were given that gave others.
    """
    terms = load.target_schema.of(TERMS.staged_name)
    if not connection.has_table(load.target_schema.quoted(TERMS.staged_name)):
        return None
    places = {"staged": (load.schema, TERMS.staged_name), "terms": terms}
    row = connection.execute(statement("keys_of_others", **places)).fetchone()
    return None if row is None else str(row[0])


def newest(connection: Connection, target_schema: Schema, *states: str) -> Load | None:
    """The newest load in these states, or of those that are staged or published; None without."""
    if not connection.has_table("efo_meta.loads"):
        return None
    values = {
        "schema": target_schema,
        "format_version": FORMAT_VERSION,
        "states": list(states or ("staged", "published")),
        "copied": [*(table.staged_name for table in COPIED), CLASS_HASHES],
    }
    row = connection.execute(statement("load_latest"), values).fetchone()
    if row is None:
        return None
    load_id, _, *facts = row[:8]
    source = Source(*row[8:])
    return Load(load_id, target_schema.giving(source.ancestors), source, *facts)


def content(connection: Connection, load: Load) -> tuple[Content, dict[str, str]]:
    """Rows and hash of each staged table, and the tie of each; all computed now."""
    ties = {table.staged_name: _tie_staged(connection, load, table) for table in TABLES}
    staged = Content.of_ties(ties)
    for name, columns in ASIDE.items():
        # Versions before `CLASS_HASHES` staged without.
        if name == DANGLING or name in (load.sealed or {}):
            ties[name] = _tie(connection, (load.schema, name), columns)
    return staged, ties


def published_content(connection: Connection, load: Load) -> Content:
    """Rows and hash of each published table, of a history those of the load's release."""
    values = {"schema": load.target_schema, "load_id": load.load_id}
    row = connection.execute(statement("published_release"), values).fetchone()
    ties = {}
    for table in TABLES:
        is_there = connection.has_table(load.target_schema.quoted(table.staged_name))
        if row is not None and is_there:
            query = published_hash(load.target_schema, table, row[0])
            ties[table.staged_name] = ":".join(map(str, connection.row(query)))
    return Content.of_ties(ties)


def clear_leftovers(connection: Connection, target_schema: Schema, keep: str = "") -> list[str]:
    """Drop the tables of loads that are dead or superseded; return their ids.

    Dead: `staging`, since its process is gone. Superseded: published before the newest published
    one or in another format, or staged and older than the newest `KEPT_FOR_DIAGNOSIS` that were
    never published.
    """
    values = {
        "schema": target_schema,
        "keep": keep,
        "kept": KEPT_FOR_DIAGNOSIS,
        # Code that is rolled back would take it for the release that stands.
        "format_version": FORMAT_VERSION,
    }
    rows = connection.execute(statement("load_leftovers"), values).fetchall()
    for (load_id,) in rows:
        drop(connection, load_id)
    return [load_id for (load_id,) in rows]


def drop(connection: Connection, load_id: str) -> None:
    """Drop a load's tables; its rows in `efo_meta` stay."""
    # DROP, not TRUNCATE: on a full disk it is the one statement that gives space back.
    # Apart from the update, which may find no room: without its tables a load is never used.
    connection.execute(compose("drop schema if exists {} cascade", f"efo_load_{load_id}"))
    connection.execute(
        "update efo_meta.loads set state = 'dropped' where load_id = %(load_id)s",
        {"load_id": load_id},
    )
    _log.info("dropped the tables of load %s", load_id)
