"""Publication: one audited load becomes what people read, in one transaction, or nothing does.

Only rows that differ are written. The publisher trusts PostgreSQL alone: it wants a passed verdict
of every blocking check for the load and the very content that it finds staged, and afterwards
compares the published rows with the staged ones by count and hash before it commits.
"""

import logging
import re
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

import psycopg
import stamina
from psycopg import errors as pg
from psycopg import sql
from psycopg.types.json import Jsonb

from efo_assets.crashpoints import crash_point
from efo_assets.errors import (
    AuditNotPassed,
    DatabaseUnavailable,
    LoadInProgress,
    PublicationRefused,
    WarehouseError,
)
from efo_assets.warehouse import session
from efo_assets.warehouse.audit import unproven
from efo_assets.warehouse.blockers import BlockerWatch
from efo_assets.warehouse.load import Content, Load, clear_leftovers, content
from efo_assets.warehouse.session import Connection
from efo_assets.warehouse.statements import (
    comment_published,
    constrain_published,
    create_mesh_view,
    create_published,
    names,
    published_hash,
    resolved,
    statement,
)
from efo_assets.warehouse.tables import MESH_VIEW, TABLES, TERMS, Table

_log = logging.getLogger(__name__)

TRIES = 3
LOOKS = 4
"""How often, during the last try's wait for a lock, it is asked who holds it."""
_PASSING = (
    pg.LockNotAvailable,
    pg.DeadlockDetected,
    pg.SerializationFailure,
    pg.UniqueViolation,
)
"""Somebody else writes or locks our tables just now."""

_AUDIT_COMMAND = "dagster asset materialize -m efo_assets.definitions --select '*efo_terms'"


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
        return f"{self.ontology} {self.version or '(no version)'}"


def publish(
    connect: Callable[[], Connection],
    load: Load,
    *,
    allow_shrink: bool = False,
    allow_older: bool = False,
    run_id: str | None = None,
) -> Publication:
    """Publish a load; a load that is published already changes nothing.

    Raises:
        AuditNotPassed: a blocking check failed or never saw this content.
        PublicationRefused: a part of an ontology would replace the whole, another ontology, or a
            release older than the one that stands, unless `allow_older`.
    """
    done = _published(
        connect, load, allow_shrink=allow_shrink, allow_older=allow_older, run_id=run_id
    )
    crash_point("C11")
    _tidy(connect, load)
    return done


def _published(
    connect: Callable[[], Connection],
    load: Load,
    *,
    allow_shrink: bool,
    allow_older: bool,
    run_id: str | None,
) -> Publication:
    """Publish; again where a link was lost or somebody was in the way, exactly once in all."""
    for attempt in range(1, TRIES + 1):
        connection = connect()
        watch = BlockerWatch(connect, connection, session.LOCK_TIMEOUT_MS / 1000 / LOOKS)
        try:
            with ExitStack() as stack:
                stack.enter_context(connection)
                if attempt == TRIES:
                    stack.enter_context(watch)
                return _in_one_transaction(
                    connection,
                    load,
                    allow_shrink=allow_shrink,
                    allow_older=allow_older,
                    run_id=run_id,
                )
        except psycopg.Error as error:
            if session.is_lost(error):
                # An error at COMMIT says nothing about its outcome: the ledger does.
                found = _ask_ledger(connect, load, connection)
                if found is not None:
                    return found
            elif not isinstance(error, _PASSING):
                raise
            if attempt == TRIES:
                raise _in_the_way(error, load, watch.blockers) from error
            _log.warning("publishing is tried again: %s", type(error).__name__)
    raise AssertionError  # the last attempt returns or raises


def _in_the_way(error: psycopg.Error, load: Load, blockers: str) -> Exception:
    if isinstance(error, pg.LockNotAvailable) and blockers:
        waited_s = TRIES * session.LOCK_TIMEOUT_MS / 1000
        return LoadInProgress(
            f"{blockers} holds a lock that publishing into schema {load.target_schema} needs; it "
            f"was waited for {waited_s:.0f} s in {TRIES} tries: {session.NOTHING_LOST}; end that "
            "session or run again later."
        )
    if isinstance(error, pg.UniqueViolation):
        return LoadInProgress(
            f"Somebody else writes rows into the tables of schema {load.target_schema} while they "
            f"are published ({error.diag.constraint_name}): {session.NOTHING_LOST}; run again."
        )
    return error


def _in_one_transaction(
    connection: Connection,
    load: Load,
    *,
    allow_shrink: bool,
    allow_older: bool,
    run_id: str | None,
) -> Publication:
    with connection.transaction():
        connection.execute(statement("bulk_session"))
        connection.execute(statement("publisher_lock"), [load.target_schema])
        seen = _proven_content(connection, load)
        current = current_release(connection, load.target_schema)
        _refuse_unfit(connection, load, current, allow_older=allow_older)
        fresh = _create_missing(connection, load.target_schema)
        again = current if current is not None and _is_same(load, seen, current) else None
        release_id = (
            again.release_id
            if again
            else _open_ledger_row(connection, load, seen, allow_shrink=allow_shrink, run_id=run_id)
        )
        changes = {}
        for table in TABLES:
            changes[table.name] = _apply(
                connection, load, table, seen, release_id, is_fresh=table in fresh
            )
            crash_point("C10")
        _complete_ledger_row(connection, load, release_id, changes, is_new=again is None)
    rows = {table.name: seen.rows[table.staged_name] for table in TABLES}
    return Publication(release_id, load.source.name, load.load_id, again is None, rows, changes)


def _proven_content(connection: Connection, load: Load) -> Content:
    seen = content(connection, load)
    missing = unproven(connection, load, seen)
    if missing:
        raise AuditNotPassed(
            f"Load {load.load_id} ({load.source.name}) is not published, since it has no passed "
            f"verdict for its present content from: {', '.join(missing)}. The published release "
            f"stays; see the checks of the staged assets for the offenders, then run "
            f"`{_AUDIT_COMMAND}`."
        )
    return seen


def _refuse_unfit(
    connection: Connection, load: Load, current: PublishedRelease | None, *, allow_older: bool
) -> None:
    if current is None:
        return
    if current.ontology != load.source.ontology:
        raise PublicationRefused(
            f"Schema {load.target_schema} holds {current.ontology}, and the load is "
            f"{load.source.ontology}: nothing was published; set EFO_SCHEMA to another schema."
        )
    if load.is_partial and not current.is_partial:
        raise PublicationRefused(
            f"The load holds the first {load.source.limit:,} classes only (EFO_LIMIT) and can't "
            f"replace the whole release in schema {load.target_schema}, which stays: unset "
            "EFO_LIMIT, or set EFO_SCHEMA to another schema for the quick look."
        )
    if not allow_older and _is_older(connection, load, current):
        raise PublicationRefused(
            f"{load.source.name} is older than {current.name}, which is published in schema "
            f"{load.target_schema} and stays: a server of OLS may be behind, or the run is from "
            "before; run again later, or set EFO_ALLOW_OLDER=1 to go back."
        )


def _is_older(connection: Connection, load: Load, current: PublishedRelease) -> bool:
    """Whether the load's release came before the newest of the ledger.

    Their versions tell where they are numbers of one form, such as 3.92.0 or 2026-01-15; else a
    release is older that the ledger has below the newest.
    """
    ours, theirs = (_form_and_numbers(each) for each in (load.source.version, current.version))
    if ours[0] == theirs[0] and ours[1]:
        return ours[1] < theirs[1]
    identity = (load.source.version, load.source.version_iri)
    if identity in {(current.version, current.version_iri), (None, None)}:
        return False
    values = {"schema": load.target_schema, "version": identity[0], "version_iri": identity[1]}
    return connection.execute(statement("release_known"), values).fetchone() is not None


def _form_and_numbers(version: str | None) -> tuple[str, list[int]]:
    text = version or ""
    return re.sub("[0-9]+", "0", text), [int(digits) for digits in re.findall("[0-9]+", text)]


def _is_same(load: Load, seen: Content, current: PublishedRelease) -> bool:
    """Whether the ledger has this release with this content; `loaded` alone makes no new one."""
    source = load.source
    return (current.version, current.version_iri, current.is_partial, current.content_hash) == (
        source.version,
        source.version_iri,
        load.is_partial,
        seen.digest,
    )


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


def _create_missing(connection: Connection, schema: str) -> list[Table]:
    made = []
    for table in TABLES:
        found = connection.execute(
            "select to_regclass(format('%%I.%%I', %s::text, %s::text))", [schema, table.name]
        ).fetchone()
        if found == (None,):
            connection.execute(create_published(schema, table))
            made.append(table)
    return made


def _open_ledger_row(
    connection: Connection, load: Load, seen: Content, *, allow_shrink: bool, run_id: str | None
) -> int:
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


def _complete_ledger_row(
    connection: Connection,
    load: Load,
    release_id: int,
    changes: Mapping[str, Changes],
    *,
    is_new: bool,
) -> None:
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


def _apply(
    connection: Connection,
    load: Load,
    table: Table,
    seen: Content,
    release_id: int,
    *,
    is_fresh: bool,
) -> Changes:
    """Make one published table equal to the staged one, and prove that it is."""
    rows, schema = seen.rows[table.staged_name], load.target_schema
    wanted = (rows, seen.hashes[table.staged_name])
    if is_fresh:
        changes = _fill(connection, load, table, release_id)
    elif _published_content(connection, schema, table) == wanted:
        return Changes(unchanged=rows)
    else:
        changes = _merge(connection, load, table, release_id, rows)
    found = _published_content(connection, schema, table)
    if found != wanted:
        raise WarehouseError(
            f"{schema}.{table.name} would hold {found[0]:,} rows that are not the {rows:,} staged "
            f"ones (by hash), so nothing was published and the last release stays: a trigger or "
            f"rule on the table may change what is written; remove it and run again."
        )
    return changes


def _published_content(connection: Connection, schema: str, table: Table) -> tuple[int, str]:
    row = connection.execute(published_hash(schema, table)).fetchone()
    return (int(row[0]), str(row[1])) if row else (0, "")


def _fill(connection: Connection, load: Load, table: Table, release_id: int) -> Changes:
    """The first rows of a new table; keys and indexes are made when the rows are there."""
    schema = load.target_schema
    inserted = connection.execute(_insert(load, table, release_id)).rowcount
    for made in constrain_published(schema, table) + comment_published(schema, table):
        connection.execute(made)
    if table.name == TABLES[-1].name:
        _create_view(connection, schema)
    connection.execute(sql.SQL("analyze {}").format(sql.Identifier(schema, table.name)))
    return Changes(inserted=inserted)


def _create_view(connection: Connection, schema: str) -> None:
    found = connection.execute(
        "select to_regclass(format('%%I.%%I', %s::text, %s::text))", [schema, MESH_VIEW]
    ).fetchone()
    if found == (None,):
        for made in create_mesh_view(schema):
            connection.execute(made)


def _insert(load: Load, table: Table, release_id: int) -> sql.Composed:
    if table is TERMS:
        return statement(
            "terms_insert",
            terms=sql.Identifier(load.target_schema, TERMS.name),
            staged=sql.Identifier(load.schema, TERMS.staged_name),
            columns=names(column.name for column in TERMS.columns),
            release=sql.Literal(release_id),
        )
    columns = [ref.published for ref in table.references]
    columns += [column.name for column in table.columns]
    return sql.SQL("insert into {} ({}) {}").format(
        sql.Identifier(load.target_schema, table.name),
        names(columns),
        resolved(load.schema, load.target_schema, table),
    )


def _merge(connection: Connection, load: Load, table: Table, release_id: int, rows: int) -> Changes:
    """Write the rows that differ, and no others."""
    if table is TERMS:
        removed, changed, inserted = _merge_terms(connection, load, release_id)
    else:
        removed, changed, inserted = _merge_rows(connection, load, table)
    return Changes(inserted, changed, removed, rows - inserted - changed)


def _merge_terms(connection: Connection, load: Load, release_id: int) -> tuple[int, int, int]:
    """Removed, changed, inserted; a class that vanished stays as a row, marked."""
    columns = [column.name for column in TERMS.columns]
    parts: dict[str, Any] = {
        "terms": sql.Identifier(load.target_schema, TERMS.name),
        "staged": sql.Identifier(load.schema, TERMS.staged_name),
        "release": sql.Literal(release_id),
    }
    compared = {"ours": names(columns, "t"), "theirs": names(columns, "s")}
    removed = connection.execute(statement("terms_remove", **parts)).rowcount
    changed = connection.execute(
        statement("terms_update", columns=names(columns), **compared, **parts)
    ).rowcount
    inserted = connection.execute(_insert(load, TERMS, release_id)).rowcount
    return removed, changed, inserted


def _merge_rows(connection: Connection, load: Load, table: Table) -> tuple[int, int, int]:
    """Removed, changed, inserted."""
    columns = [*table.published_key, *table.values]
    parts: dict[str, Any] = {
        "published": sql.Identifier(load.target_schema, table.name),
        "ours": names(table.published_key, "t"),
        "theirs": names(table.published_key, "s"),
    }
    connection.execute(
        statement("rows_incoming", rows=resolved(load.schema, load.target_schema, table))
    )
    removed = connection.execute(statement("rows_remove", **parts)).rowcount
    changed = 0
    if table.values:
        changed = connection.execute(
            statement(
                "rows_update",
                values=names(table.values),
                our_values=names(table.values, "t"),
                their_values=names(table.values, "s"),
                **parts,
            )
        ).rowcount
    inserted = connection.execute(
        statement("rows_insert", columns=names(columns), selected=names(columns, "s"), **parts)
    ).rowcount
    connection.execute("drop table pg_temp.efo_incoming")
    return removed, changed, inserted


def _ask_ledger(
    connect: Callable[[], Connection], load: Load, lost: Connection
) -> Publication | None:
    """What the ledger says of a load whose COMMIT had no answer, once its session has ended."""
    try:
        for attempt in stamina.retry_context(on=psycopg.OperationalError, attempts=TRIES):
            with attempt:
                session.end_left_behind(connect, lost)
                with connect() as connection:
                    return _in_ledger(connection, load)
    except DatabaseUnavailable as error:
        raise DatabaseUnavailable(
            f"{error} Whether load {load.load_id} was published is written in efo_meta.releases, "
            "which could not be asked; the next run asks it and publishes nothing twice."
        ) from error
    raise AssertionError  # the last attempt returns or raises


def _in_ledger(connection: Connection, load: Load) -> Publication | None:
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


def _tidy(connect: Callable[[], Connection], load: Load) -> None:
    """Drop superseded loads; what stops that stops no publication, which is done by now."""
    crash_point("C12")
    try:
        with connect() as connection:
            clear_leftovers(connection, load.target_schema, keep=load.load_id)
    except (psycopg.OperationalError, WarehouseError) as error:
        _log.warning("superseded loads are left to the next run: %s", type(error).__name__)
