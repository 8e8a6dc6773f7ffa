"""Publication: one audited load becomes what people read, in one transaction, or nothing does.

Only rows that differ are written. The publisher trusts PostgreSQL alone: it wants a passed verdict
of every blocking check for one content of the load, and compares the published rows with that
content, by count and hash, before it commits. Staged rows that changed after the audit can't get
past that, and are read for their hash only to say so.
"""

import sys
import time
from collections.abc import Callable, Iterator, Mapping

import psycopg
from psycopg import errors as pg
from psycopg import sql

from efo_assets import errors
from efo_assets.privacy.logs import logger
from efo_assets.warehouse import ledger, semsql, session, verify, words
from efo_assets.warehouse.all_ontologies import keep_views
from efo_assets.warehouse.audit import proven
from efo_assets.warehouse.blockers import lock_holders
from efo_assets.warehouse.exchange import drop_aside, set_aside
from efo_assets.warehouse.ledger import Publication, PublishedRelease, current_release
from efo_assets.warehouse.load import (
    Content,
    Load,
    clear_leftovers,
    comparable_release,
    content,
    drop,
    without_changes,
)
from efo_assets.warehouse.merge import NotAsStaged, equalize, fill_missing
from efo_assets.warehouse.preflight import refuse_taken_names
from efo_assets.warehouse.schema import Schema
from efo_assets.warehouse.session import Connection
from efo_assets.warehouse.statements import compose, listing, statement
from efo_assets.warehouse.succession import predecessor
from efo_assets.warehouse.tables import PARENT_EDGES, SYNONYMS, TABLES, TERMS, Table
from efo_assets.warehouse.touched import find_compared
from efo_assets.warehouse.views import FOLDS, create_views

_log = logger(__name__)

TRIES = 3
LEDGER_PAUSE_S = 0.5
TURN_PATIENCE_MS = 3_600_000
"""Only publications of ours take turns, and one of millions of classes takes minutes."""
_PASSING = (pg.LockNotAvailable, pg.DeadlockDetected, pg.SerializationFailure, pg.UniqueViolation)
"""Another session writes or locks published tables just now."""


def publish(
    connect: Callable[[], Connection],
    load: Load,
    *,
    allow_shrink: bool = False,
    allow_older: bool = False,
    with_semsql: bool = False,
    run_id: str | None = None,
) -> Publication:
    """Publish a load; a load that is published already changes nothing.

    Raises:
        AuditNotPassed: a blocking check failed or never saw this content.
        NotAsStaged: something changes rows while they are written.
        PublicationRefused: see `succession.predecessor`; or the load's changes were counted against
            another release than the one that stands.
    """

    def once(connection: Connection) -> Publication:
        return _in_one_transaction(
            connection, load, allow_shrink=allow_shrink, allow_older=allow_older, run_id=run_id
        )

    publication = _exactly_once(connect, load, once)
    sys.audit("efo_assets.published")
    _vacuum_filled(connect, load, publication)
    keep_views(connect)
    if with_semsql:
        semsql.keep(connect, load.target_schema)
    _tidy(connect, load)
    return publication


def _exactly_once(
    connect: Callable[[], Connection], load: Load, once: Callable[[Connection], Publication]
) -> Publication:
    """Retry on lost links and locks; the ledger makes it exactly once."""
    tries_left = TRIES
    while True:
        tries_left -= 1
        connection = connect()
        try:
            with connection:
                return once(connection)
        except NotAsStaged:
            _refuse_changed(connect, load)
            raise
        except psycopg.Error as error:
            is_key_of_users = isinstance(error, pg.UniqueViolation) and session.in_function(error)
            if isinstance(error, psycopg.IntegrityError):
                _refuse_changed(connect, load)
            if session.is_lost(error):
                # An error at COMMIT says nothing about its outcome: the ledger does.
                publication = _ask_ledger(connect, load, connection)
                if publication is not None:
                    return publication
            elif is_key_of_users or not isinstance(error, _PASSING):
                raise
            if not tries_left:
                _name_who_is_in_the_way(connect, load, error)
                raise
            _log.warning("publishing is tried again: %s", type(error).__name__)


def _name_who_is_in_the_way(
    connect: Callable[[], Connection], load: Load, error: psycopg.Error
) -> None:
    """Name the session whose lock or rows publishing failed at, where that is known."""
    if isinstance(error, pg.UniqueViolation):
        raise errors.LoadInProgress(
            f"Somebody else writes rows into the tables of schema {load.target_schema} while they "
            f"are published ({error.diag.constraint_name}): {session.NOTHING_LOST}; run again."
        ) from error
    is_locked = isinstance(error, pg.LockNotAvailable)
    if is_locked and (holders := lock_holders(connect, load.target_schema, load.schema)):
        waited_s = TRIES * session.LOCK_TIMEOUT_MS / 1000
        raise errors.LoadInProgress(
            f"{holders} that publishing into schema {load.target_schema} needs; it "
            f"was waited for {waited_s:.0f} s in {TRIES} tries: {session.NOTHING_LOST}; end that "
            "session or run again later."
        ) from error


def _in_one_transaction(
    connection: Connection, load: Load, *, allow_shrink: bool, allow_older: bool, run_id: str | None
) -> Publication:
    schema = load.target_schema
    with connection.transaction():
        connection.execute(statement("bulk_session"))
        connection.execute(statement("publisher_lock"), {"schema": schema})
        audited = Content.of_digest(proven(connection, load))
        is_first = not all(
            connection.has_table(schema.quoted(table.staged_name)) for table in TABLES
        )
        turn = statement(
            "ledger_turn",
            mode=sql.SQL("" if is_first else "_shared"),
            patience_ms=sql.Literal(TURN_PATIENCE_MS),
            lock_timeout_ms=sql.Literal(session.LOCK_TIMEOUT_MS),
        )
        connection.execute(turn)
        if is_first:
            # As the foreign keys of new tables will: two that first add a row to it would each
            # wait for the other.
            connection.execute("lock table efo_meta.releases in share row exclusive mode")
        current = predecessor(connection, schema, load.source, allow_older=allow_older)
        is_anew = current is None and current_release(connection, schema) is not None
        known = current if current is not None and _is_same(load, audited, current) else None
        if known is None:
            _refuse_other_base(connection, load, current)
            release_id = ledger.open_row(
                connection, load, audited, allow_shrink=allow_shrink, run_id=run_id
            )
        else:
            release_id = known.release_id
        is_exchanged = set_aside(connection, schema)
        refuse_taken_names(connection, schema)
        create_views(connection, schema, FOLDS)
        fresh = fill_missing(connection, load, release_id)
        if is_anew:
            _clear(connection, schema, release_id, [t for t in TABLES if t not in fresh])
        is_known_by_another = known is not None and known.load_id != load.load_id
        are_touched_known = known is None and find_compared(
            connection, load.schema, schema, load.base_release
        )
        stands = Content.of_digest(current.content_hash) if current else Content({}, {})
        changes = {}
        for table in TABLES:
            name = table.staged_name
            if table.is_history and is_known_by_another and table not in fresh:
                # The rows are those of the load that brought the release.
                changes[table.name] = ledger.Changes(unchanged=audited.rows[name])
                continue
            changes[table.name] = equalize(
                connection,
                load,
                table,
                audited,
                release_id,
                is_fresh=table in fresh,
                may_stand=stands.hashes.get(name) == audited.hashes[name],
                are_touched_known=are_touched_known,
            )
            sys.audit("efo_assets.table_published")
        _renew_others(connection, load, changes, fresh=bool(fresh), is_exchanged=is_exchanged)
        notes = list(_noted(connection, load, changes, is_new=known is None))
        ledger.complete_row(connection, load, release_id, changes, is_new=known is None)
    rows = {table.name: audited.rows[table.staged_name] for table in TABLES}
    facts = (release_id, load.source.name, load.load_id)
    return Publication(*facts, known is None, rows, changes, notes)


def _renew_others(
    connection: Connection,
    load: Load,
    changes: Mapping[str, ledger.Changes],
    *,
    fresh: bool,
    is_exchanged: bool,
) -> None:
    """Bring what is made of the published tables up to date with what was written."""
    schema = load.target_schema
    are_names_written = any(changes[table.name].written for table in (TERMS, SYNONYMS))
    words.keep(connection, schema, is_changed=are_names_written)
    create_views(connection, schema)
    if semsql.stands(connection, schema):
        if is_exchanged:
            semsql.follow(connection, schema)
        if fresh or changes[PARENT_EDGES.name].written or changes[TERMS.name].written:
            semsql.renew(connection, schema)
    if is_exchanged:
        drop_aside(connection, schema)


def _clear(connection: Connection, schema: Schema, release_id: int, tables: list[Table]) -> None:
    """Delete the sample data that stand, and their history, before the release that comes."""
    for table in reversed(tables):
        connection.execute(compose("delete from {}", schema.of(table.staged_name)))
    values = {"schema": schema, "release_id": release_id}
    connection.execute(statement("releases_clear"), values)
    _log.info("the sample data in schema %s make room, with their history", schema)


def _noted(
    connection: Connection,
    load: Load,
    changes: Mapping[str, ledger.Changes],
    *,
    is_new: bool,
) -> Iterator[str]:
    """Say which rows were changed since they were published.

    Those of the standing release are made from staged rows again. History can't be, so it is left
    as it is; the release that comes is sound all the same, and is not kept from readers for it.
    """
    for table in TABLES:
        change = changes[table.name]
        if not is_new and change.written:
            place = load.target_schema.place(table.staged_name)
            yield (
                f"{place} was changed since {load.source.name} was published, by whom isn't "
                f"known: {change.inserted:,} rows were missing, {change.changed:,} were others, "
                f"{change.removed:,} were too many; it is as published again."
            )
    for compared in verify.history(connection, load.target_schema):
        if compared.differs:
            yield (
                f"{load.target_schema}.{compared}: they were changed since, by whom isn't known, "
                "and are left as they are, since only a backup has the published ones; once they "
                "are restored, `efo-assets verify` says so."
            )


def _refuse_changed(connect: Callable[[], Connection], load: Load) -> None:
    """Refuse a load whose staged rows aren't those that were audited.

    A published load is dropped, so that the next run stages the release anew.
    """
    with connect() as connection, connection.transaction():
        connection.execute(statement("bulk_session"))
        is_changed = content(connection, load)[0].digest != proven(connection, load)
    if is_changed and load.state == "published":
        with connect() as connection:
            drop(connection, load.load_id)
    if is_changed:
        raise errors.AuditNotPassed(
            f"Load {load.load_id} ({load.source.name}) is not published, since it has no passed "
            f"verdict for its present content: staged rows were changed after the audit. The "
            f"published release stays; run `{errors.LOAD_COMMAND}`, which stages them anew."
        )


def _refuse_other_base(
    connection: Connection, load: Load, current: PublishedRelease | None
) -> None:
    """Refuse a load whose changes were counted against another release than the one that stands."""
    if comparable_release(connection, load) != load.base_release:
        stands = current.name if current else "nothing"
        raise errors.PublicationRefused(
            f"Load {load.load_id} ({load.source.name}) was staged when another release stood, or "
            f"other tables of it, and now {stands} does, so what it changes would be told wrongly: "
            f"nothing was published; run `{errors.LOAD_COMMAND}`, which stages the kept pages anew."
        )


def _is_same(load: Load, audited: Content, current: PublishedRelease) -> bool:
    """Whether the ledger has this release with this content; `loaded` alone makes no new one."""
    source, digest = load.source, without_changes(audited.digest)
    facts = (source.version, source.version_iri, load.is_partial, digest)
    published = without_changes(current.content_hash)
    return facts == (current.version, current.version_iri, current.is_partial, published)


def _ask_ledger(
    connect: Callable[[], Connection], load: Load, lost: Connection
) -> Publication | None:
    """What the ledger says of a load whose COMMIT had no answer, once its session has ended."""
    tries_left = TRIES
    while True:
        tries_left -= 1
        try:
            session.end_left_behind(connect, lost)
            with connect() as connection:
                release = current_release(connection, load.target_schema, load.load_id)
            break
        except psycopg.OperationalError:
            if not tries_left:
                raise
            # A pooler, or a server that restarts, may take a connection and cut it at once.
            time.sleep(LEDGER_PAUSE_S * (TRIES - tries_left))
        except errors.DatabaseUnavailable as error:
            raise errors.DatabaseUnavailable(
                f"{error} Whether load {load.load_id} was published is written in "
                "efo_meta.releases, which could not be asked; the next run asks it and publishes "
                "nothing twice."
            ) from error
    if release is None:
        return None
    facts = (release.release_id, release.name, load.load_id)
    return Publication(*facts, is_new=True, rows=release.rows, changes=release.changes)


def _vacuum_filled(connect: Callable[[], Connection], load: Load, publication: Publication) -> None:
    """Let questions be answered from the indexes of new tables alone.

    PostgreSQL can do so once a vacuum has seen the rows. Its own comes within minutes, and never in
    an embedded server that ends with our process. A table that only changed is left to it, since a
    vacuum's lock is in the way of changes to the table.
    """
    filled = [
        compose("{}", load.target_schema.of(table.staged_name))
        for table in TABLES
        if not table.is_history
        and 0 < publication.changes[table.name].inserted == publication.rows[table.name]
    ]
    if not filled:
        return
    try:
        with connect() as connection:
            # Without our settings no time limit holds, so it must not wait for a lock.
            connection.execute_alone(compose("vacuum (skip_locked) {}", listing(filled)))
    except (psycopg.Error, errors.WarehouseError) as error:
        _log.warning("new tables are left to autovacuum: %s", type(error).__name__)


def _tidy(connect: Callable[[], Connection], load: Load) -> None:
    """Drop superseded loads; a failure is no reason to fail the publication, which is done."""
    sys.audit("efo_assets.cleaning_up")
    try:
        with connect() as connection:
            clear_leftovers(connection, load.target_schema, keep=load.load_id)
    except (psycopg.OperationalError, errors.WarehouseError) as error:
        _log.warning("superseded loads are left to the next run: %s", type(error).__name__)
