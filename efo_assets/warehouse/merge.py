"""Make one published table equal to the staged one, and prove that it is, inside a transaction.

The staged tables of a first release become the published ones, with what was built on them. A table
that a later version brings is filled; both get the keys and indexes then that they lack. In one
that is there, only rows that differ are written.
"""

from operator import add
from typing import Any

from psycopg import sql

from efo_assets.errors import LOAD_COMMAND, PublicationRefused, WarehouseError
from efo_assets.privacy.logs import logger
from efo_assets.warehouse.ledger import Changes
from efo_assets.warehouse.load import Content, Load, is_moved, key_of_another
from efo_assets.warehouse.schema import Schema
from efo_assets.warehouse.session import Connection
from efo_assets.warehouse.statements import (
    ANALYZED,
    add_column,
    built_ahead,
    comment_published,
    compose,
    constrain_published,
    create_index,
    create_published,
    index_name,
    listing,
    move_in,
    names,
    of_release,
    published_hash,
    rows_hash,
    staged_keys,
    staged_rows,
    statement,
)
from efo_assets.warehouse.tables import ANCESTORS, COPIED, TABLES, TERM_ID, Table
from efo_assets.warehouse.touched import MOVED, TOUCHED, among

_COMPARED = dict.fromkeys((table.staged_name for table in COPIED), TOUCHED)
_COMPARED[ANCESTORS.staged_name] = MOVED
"""By staged table, where the terms are whose rows can differ from those of the release before."""

_log = logger(__name__)


class NotAsStaged(WarehouseError):
    """A published table would not hold the rows that were audited."""


def fill_missing(connection: Connection, load: Load, release_id: int) -> list[Table]:
    """Make the published tables that are not there, with their rows, without keys; return them.

    Those of an earlier version of this project get the columns and indexes that came later.
    """
    missing, schema = [], load.target_schema
    for table in TABLES:
        place = {"schema": schema, "table": schema.called(table.staged_name)}
        rows = connection.execute(statement("columns"), place)
        present = {name for name, *_ in rows}
        if not present:
            missing.append(table)
            continue
        for column in table.columns:
            if column.name not in present:
                connection.execute(add_column(schema, table, column))
        _renew_indexes(connection, schema, table)
    # All or none: what reads the tables of a load reads them together.
    can_move = len(missing) == len(TABLES) and _are_untouched(connection, load)
    for table in missing:
        if can_move and not table.is_history:
            for step in move_in(load.schema, schema, table, release_id):
                connection.execute(step)
            place = {"schema": schema, "table": schema.called(table.staged_name)}
            for (grant,) in connection.execute(statement("default_grants"), place).fetchall():
                connection.execute(grant)
        else:
            connection.execute(create_published(schema, table))
            connection.execute(_insert(load, table, release_id))
        if table.is_referenced:
            _move_sequence_on(connection, load, table)
    return missing


def _are_untouched(connection: Connection, load: Load) -> bool:
    """Whether staged tables are as they were made, so that nothing of others moves in with them."""
    every = listing(compose("{}", (load.schema, table.staged_name)) for table in TABLES)
    connection.execute(compose("lock table {} in access exclusive mode", every))
    values = {
        "load": load.schema,
        "tables": [table.staged_name for table in TABLES],
        "columns": [
            f"{table.staged_name}.{column.name} {column.type} "
            + ("t" if column.name in staged_keys(table) else "f")
            for table in TABLES
            for column in table.staged_columns
        ],
        "built": [name for table in TABLES for name in built_ahead(load.target_schema, table)],
    }
    found = [what for (what,) in connection.execute(statement("put_on_staged"), values)]
    if found:
        _log.warning("rows are copied, and what isn't of efo_assets is left: %s", "; ".join(found))
    return not found


def _renew_indexes(connection: Connection, schema: Schema, table: Table) -> None:
    place = {"schema": schema, "table": schema.called(table.staged_name)}
    rows = connection.execute(statement("indexes"), place)
    present = {name for (name,) in rows}
    for index in table.indexes:
        if index_name(schema, table, index.name) not in present:
            connection.execute(create_index(schema, table, index))
    for name in table.retired_indexes:
        if (retired := index_name(schema, table, name)) in present:
            connection.execute(compose("drop index {}", (str(schema), retired)))


def equalize(
    connection: Connection,
    load: Load,
    table: Table,
    audited: Content,
    release_id: int,
    *,
    is_fresh: bool,
    may_stand: bool,
    are_touched_known: bool,
) -> Changes:
    """Make one published table equal to the staged one, and prove that it is.

    With `may_stand`, it is first asked whether it holds these rows already. Where the touched terms
    are known, rows of no other are compared, unless that leaves the table other than it should be.

    Raises:
        NotAsStaged: it would hold other rows than `audited`.
        PublicationRefused: it holds others, and the load's rows became the published ones.
    """
    rows, schema = audited.rows[table.staged_name], load.target_schema
    wanted = (rows, audited.hashes[table.staged_name])

    def found() -> tuple[int, str]:
        return _published_content(connection, schema, table, release_id)

    if is_fresh:
        _complete(connection, schema, table)
        changes, published = Changes(inserted=rows), found()
    elif may_stand and found() == wanted:
        return Changes(unchanged=rows)
    else:
        if is_moved(connection, load):
            raise PublicationRefused(
                f"{schema.place(table.staged_name)} was changed since {load.source.name} was "
                "published, by whom isn't known, and no staged rows are left to put it right: run "
                f"`{LOAD_COMMAND}`, which stages the kept pages anew and does so."
            )
        merge = _merge_referenced if table.is_referenced else _merge_rows
        compared = _COMPARED.get(table.staged_name) if are_touched_known else None
        written = merge(connection, load, table, release_id, compared)
        published = found()
        if compared and published != wanted:
            _log.info(
                "%s does not hold what was published: all of its rows are compared",
                schema.place(table.staged_name),
            )
            more = merge(connection, load, table, release_id, None)
            written, published = tuple(map(add, written, more)), found()
        removed, changed, inserted = written
        changes = Changes(inserted, changed, removed, rows - inserted - changed)
    if published != wanted:
        raise NotAsStaged(
            f"{schema.place(table.staged_name)} would hold {published[0]:,} rows that are not the "
            f"{rows:,} staged ones (by hash), so nothing was published and the last release stays: "
            "a trigger or rule on the table may change what is written; remove it and run again."
        )
    return changes


def _published_content(
    connection: Connection, schema: Schema, table: Table, release_id: int
) -> tuple[int, str]:
    rows, content_hash = connection.row(published_hash(schema, table, release_id))
    return int(rows), str(content_hash)


def _complete(connection: Connection, schema: Schema, table: Table) -> None:
    """Give a new table that is full those keys, indexes, comments and statistics that it lacks."""
    where = schema.of(table.staged_name)
    place = {"schema": schema, "table": schema.called(table.staged_name), "mark": ANALYZED}
    built, is_analyzed = connection.row(statement("built"), place)
    for definition in constrain_published(schema, table, built) + comment_published(schema, table):
        connection.execute(definition)
    if not is_analyzed:
        connection.execute(compose("analyze {}", where))
    elif table.lifecycle:
        columns = names(column.name for column in table.lifecycle)
        connection.execute(compose("analyze {} ({})", where, columns))


def _insert(load: Load, table: Table, release_id: int, compared: str | None = None) -> sql.Composed:
    if table.is_referenced:
        return statement(
            "terms_insert",
            of_touched=among(compared, ("s", TERM_ID.name)),
            terms=load.target_schema.of(table.staged_name),
            staged=(load.schema, table.staged_name),
            columns=names(column.name for column in table.columns),
            release=sql.Literal(release_id),
        )
    return compose(
        "insert into {} ({}) {}",
        load.target_schema.of(table.staged_name),
        names(column.name for column in table.published_columns),
        staged_rows(load.schema, table, release_id),
    )


def _merge_referenced(
    connection: Connection, load: Load, table: Table, release_id: int, compared: str | None
) -> tuple[int, int, int]:
    """Merge by key and return rows removed, changed, inserted; one that vanished stays, marked.

    Raises:
        PublicationRefused: see `_refuse_other_keys`.
    """
    columns = [column.name for column in table.columns]
    parts: dict[str, Any] = {
        "terms": load.target_schema.of(table.staged_name),
        "staged": (load.schema, table.staged_name),
        "release": sql.Literal(release_id),
        "of_touched": among(compared, ("t", TERM_ID.name)),
    }
    _refuse_other_keys(connection, load)
    sides = {"ours": names(columns, "t"), "theirs": names(columns, "s")}
    removed = connection.execute(statement("terms_remove", **parts)).rowcount
    changed = connection.execute(
        statement("terms_update", columns=names(columns), **sides, **parts)
    ).rowcount
    inserted = connection.execute(_insert(load, table, release_id, compared)).rowcount
    _move_sequence_on(connection, load, table)
    return removed, changed, inserted


def _move_sequence_on(connection: Connection, load: Load, table: Table) -> None:
    """Let PostgreSQL number the rows of others beyond those that came with their keys."""
    schema = load.target_schema
    place = {"schema": schema, "table": schema.called(table.staged_name)}
    connection.execute(
        statement("keys_resume", terms=load.target_schema.of(table.staged_name)), place
    )


def _refuse_other_keys(connection: Connection, load: Load) -> None:
    """Refuse terms whose keys have become others' since they were given.

    Raises:
        PublicationRefused: with the first of them.
    """
    if iri := key_of_another(connection, load):
        raise PublicationRefused(
            f"Load {load.load_id} ({load.source.name}) was staged when the terms in schema "
            f"{load.target_schema} had other keys ({iri}): nothing was published; run "
            f"`{LOAD_COMMAND}`, which stages the kept pages anew."
        )


def _merge_rows(
    connection: Connection, load: Load, table: Table, release_id: int, compared: str | None
) -> tuple[int, int, int]:
    """Write the rows that differ; return rows removed, changed, inserted."""
    keys, values = table.published_key, table.values
    parts: dict[str, Any] = {
        "published": load.target_schema.of(table.staged_name),
        "columns": names([*keys, *values]),
        "ours": names(keys, "t"),
        "theirs": names(keys, "s"),
    }
    valued: dict[str, Any] = {
        "values": names(values),
        "our_values": names(values, "t"),
        "their_values": names(values, "s"),
    }
    # A key of the row that comes, or of the one that stands where none comes.
    selected = [compose("coalesce(s.{0}, t.{0}) as {0}", key) for key in keys]
    selected += [compose("s.{}", value) for value in values]
    is_changed = compose("row({our_values}) is distinct from row({their_values})", **valued)
    rows: dict[str, Any] = {
        "term": table.staged_key[0],
        "rows": staged_rows(load.schema, table, release_id),
        "which": of_release(table, release_id),
    }
    if compared:
        differing = statement("differing_known", touched=("pg_temp", compared))
    else:
        hashed = rows_hash([*keys, *values])
        differing = statement("differing_by_hash", hash=hashed, **rows, **parts)
    connection.execute(
        statement(
            "rows_differing",
            differing=differing,
            selected=listing(selected),
            **rows,
            is_changed=is_changed if values else sql.SQL("false"),
            **parts,
        )
    )
    removed = connection.execute(statement("rows_remove", **parts)).rowcount
    changed = 0
    if values:
        changed = connection.execute(statement("rows_update", **valued, **parts)).rowcount
    inserted = connection.execute(statement("rows_insert", **parts)).rowcount
    connection.execute("drop table pg_temp.efo_differing")
    return removed, changed, inserted
