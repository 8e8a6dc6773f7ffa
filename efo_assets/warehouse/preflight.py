"""Every check of the server and its tables before a load, so that no download is wasted.

What a load itself holds is the business of `audit`.
"""

from collections.abc import Iterator
from ipaddress import ip_address

from efo_assets.errors import DatabaseRefused, SchemaDrift
from efo_assets.privacy.logs import logger
from efo_assets.warehouse import migrations
from efo_assets.warehouse.schema import (
    ANCESTORS,
    EFO,
    FUNCTION,
    TABLE,
    Schema,
    is_named_after,
    may_be_plain,
)
from efo_assets.warehouse.session import Connection
from efo_assets.warehouse.statements import compose, index_name, key_constraints, statement
from efo_assets.warehouse.tables import FORMAT_VERSION, TABLES, Column, Table
from efo_assets.warehouse.views import COMMENTED, WORDS, views_of

OLDEST_SERVER = 140_000
"""hash_record_extended came with PostgreSQL 14."""

_log = logger(__name__)


def named(connection: Connection, name: str, ontology: str, ancestors: str = TABLE) -> Schema:
    """The schema of this name, with the names that things of this ontology have there.

    `ancestors` is how they are given where nothing is published.
    """
    # By the catalog, since `to_regclass` fails where a privilege is missing, which `prepare` names.
    present = set(_relations(connection, name))
    plain, prefixed = Schema(name, prefix=""), Schema(name)
    # An earlier version gave all tables such names.
    if may_be_plain(name, ontology) and present.isdisjoint(_tables_of(prefixed)):
        is_own = is_named_after(name, ontology) or present.issuperset(_tables_of(plain))
        schema = plain if is_own or not present else prefixed
    else:
        schema = prefixed
    # A view has the name of the table, so the edges tell.
    standing = [way for way in (FUNCTION, TABLE) if schema.giving(way).called(ANCESTORS) in present]
    return schema.giving(standing[0] if standing else ancestors)


def _tables_of(schema: Schema) -> list[str]:
    return [schema.called(table.staged_name) for table in TABLES]


def prepare(connection: Connection, schema: Schema, ontology: str = EFO) -> None:
    """Check all that a load needs of this server, and make `efo_meta` and the target schema.

    Raises:
        DatabaseRefused: version, encoding, read-only server, a missing privilege (the message
            names the GRANT), or tables of a later version of this project.
        SchemaDrift: the schema of the ontology's name is somebody else's, or a published table
            isn't as its specification says; the message lists how.
    """
    _check_link(connection)
    _check_server(connection)
    _check_privileges(connection, schema)
    if is_named_after(schema, ontology):
        _refuse_others(connection, schema, ontology)
    refuse_taken_names(connection, schema)
    migrations.refuse_newer(connection)
    _check_columns(connection, schema)
    with connection.transaction():
        migrations.apply(connection)
        connection.execute(compose("create schema if not exists {}", schema))


def _check_link(connection: Connection) -> None:
    if not connection.pgconn.ssl_in_use and not _is_local(connection.info.host):
        _log.warning(
            "the link to PostgreSQL at %s is not encrypted: add sslmode=verify-full to "
            "EFO_DATABASE_URL (and sslrootcert where its certificate is your own)",
            connection.info.host,
        )


def _is_local(host: str) -> bool:
    """Whether a host is this machine: a socket's folder, or a loopback address."""
    if not host or host.startswith(("/", "@")) or host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _check_server(connection: Connection) -> None:
    version, encoding, is_read_only, replication_role = connection.row(statement("server_facts"))
    if version < OLDEST_SERVER:
        raise DatabaseRefused(f"PostgreSQL 14 or newer is needed; this server is {version}.")
    if encoding != "UTF8":
        raise DatabaseRefused(
            f"The database's encoding is {encoding}, and EFO's text needs UTF8: create one with "
            "`create database … encoding 'UTF8' template template0`."
        )
    if is_read_only:
        raise DatabaseRefused(
            "The server is read-only (a standby, or default_transaction_read_only): "
            "point EFO_DATABASE_URL at the primary."
        )
    if replication_role != "origin":
        # Only a superuser may set it, so that our transactions can't.
        raise DatabaseRefused(
            f"The setting session_replication_role is {replication_role}, which turns foreign keys "
            f"off: `alter role {connection.info.user} reset session_replication_role`, or the same "
            "for the database or the server, and run again."
        )


def _check_privileges(connection: Connection, schema: Schema) -> None:
    values = {"schema": schema, "tables": _tables(schema)}
    missing = [
        f"{privilege} (ask its owner: {remedy})"
        for privilege, remedy, is_held in connection.execute(statement("privileges"), values)
        if not is_held
    ]
    if missing:
        raise DatabaseRefused(
            f"The role lacks {'; '.join(missing)}. Nothing was downloaded or changed."
        )


def _tables(schema: Schema) -> list[str]:
    return [schema.called(name) for name in (*(t.staged_name for t in TABLES), WORDS.name)]


def _relations(connection: Connection, schema: str) -> list[str]:
    """Tables and views in a schema, by name."""
    rows = connection.execute(statement("relations"), {"schema": schema}).fetchall()
    return [name for (name,) in rows]


def _refuse_others(connection: Connection, schema: Schema, ontology: str) -> None:
    """Refuse a schema that bears the ontology's name by chance, and holds what others made.

    Raises:
        SchemaDrift: nothing was ever loaded into it, and it isn't empty.
    """
    values = {"schema": schema}
    loaded = connection.has_table("efo_meta.loads") and connection.row(
        "select exists (select from efo_meta.loads where target_schema = %(schema)s)", values
    ) == (True,)
    if not loaded and (present := _relations(connection, schema)):
        more = f" and {len(present) - 1:,} more" if present[1:] else ""
        raise SchemaDrift(
            f"Schema {schema} isn't of efo_assets, which never loaded into it, and holds "
            f"{present[0]}{more}: it stays as it is, and {ontology} was not loaded; rename that "
            "schema, or load into another one (EFO_SCHEMA, `schema` of a component), and exclude "
            f"{ontology} from a catalogue."
        )


def refuse_taken_names(connection: Connection, schema: Schema) -> None:
    """Refuse a schema in which something that isn't of efo_assets has the name of what is.

    Raises:
        SchemaDrift: the message lists what has the names.
    """
    indexes = [
        (name, schema.called(table.staged_name))
        for table in TABLES
        for name in (
            *(index_name(schema, table, index.name) for index in table.indexes),
            *(name for name, _, _ in key_constraints(schema, table)),
        )
    ]
    views = views_of(schema)
    functions = [view for view in views if view.arguments is not None]
    values = {
        "schema": schema,
        "tables": _tables(schema),
        "words": schema.called(WORDS.name),
        "indexes": [name for name, _ in indexes],
        "indexed": [table for _, table in indexes],
        "views": [view.called(schema) for view in views if view.arguments is None],
        "functions": [view.called(schema) for view in functions],
        "arguments": [view.arguments for view in functions],
        "ours": COMMENTED,
    }
    taken = [what for (what,) in connection.execute(statement("taken_names"), values)]
    if taken:
        raise SchemaDrift(
            f"A name that efo_assets needs is taken by what isn't of efo_assets: "
            f"{'; '.join(taken)}. Nothing was changed; rename it, or load into another schema "
            "(EFO_SCHEMA, `schema` of a component)."
        )


def _check_columns(connection: Connection, schema: Schema) -> None:
    # The format of the staged rows that the published release was made from; 1 without one.
    published, made_by = 1, ""
    if connection.has_table("efo_meta.releases"):
        row = connection.execute(statement("published_format"), {"schema": schema}).fetchone()
        published, made_by = row or (1, "")
    differences: list[str] = []
    unknown: list[str] = []
    for table in TABLES:
        differences += _drift(connection, schema, table, published)
        unknown += _unknown(connection, schema, table)
    is_later = published > FORMAT_VERSION
    if differences and is_later:
        raise SchemaDrift(
            f"The published tables were made by {made_by} in format {published}, and this is "
            f"{migrations.THIS_CODE}, which knows formats up to {FORMAT_VERSION}: "
            f"{'; '.join(differences)}. Nothing was downloaded or changed; upgrade efo_assets to "
            "that version or a later one, or load into another schema (EFO_SCHEMA, `schema` of a "
            "component)."
        )
    if differences:
        raise SchemaDrift(
            f"The published tables are not as this version expects: {'; '.join(differences)}. "
            "Nothing was downloaded or changed; undo the change, or move the table away."
        )
    if unknown and is_later:
        _log.warning(
            "%s made the published tables, and %s doesn't know their columns %s: they keep what "
            "they hold until a version loads that does",
            made_by,
            migrations.THIS_CODE,
            ", ".join(unknown),
        )


def _unknown(connection: Connection, schema: Schema, table: Table) -> list[str]:
    """Columns of a published table that its specification doesn't have."""
    name = schema.called(table.staged_name)
    place = {"schema": schema, "table": name}
    known = {column.name for column in table.published_columns}
    columns = (column for column, *_ in connection.execute(statement("columns"), place))
    return [f"{name}.{column}" for column in columns if column not in known]


def _drift(connection: Connection, schema: Schema, table: Table, published: int) -> Iterator[str]:
    """How a published table differs from its specification; extra nullable columns are fine.

    So are columns that came after the published release: the next publication adds them.
    """
    name = schema.called(table.staged_name)
    place = {"schema": schema, "table": name}
    columns = {column: facts for column, *facts in connection.execute(statement("columns"), place)}
    if not columns:
        return
    for specified in table.published_columns:
        if specified.name in columns or specified.since <= published:
            facts = columns.pop(specified.name, (None, False, False))
            if difference := _difference(specified, *facts):
                yield f"{name}.{specified.name} {difference}"
    for column, (_, is_required, is_filled) in columns.items():
        if is_required and not is_filled:
            yield f"{name}.{column} is not ours and NOT NULL without a default"
    keys = {tuple(key) for (key,) in connection.execute(statement("keys"), place)}
    for constraint, kind, key in key_constraints(schema, table):
        if tuple(sorted(key)) not in keys:
            yield f"{name} lacks its {kind} {constraint} ({', '.join(key)})"


def _difference(column: Column, kind: str | None, is_required: object, is_filled: object) -> str:
    """How a column in PostgreSQL differs from its specification; empty if it doesn't.

    `is_filled` is whether PostgreSQL fills the column where an INSERT doesn't name it.
    """
    if kind is None:
        return "is missing"
    if kind != column.type:
        return f"is {kind} and should be {column.type}"
    if is_required and column.nullable:
        return "is NOT NULL and should not be"
    if column.is_identity and not is_filled:
        return "is no identity any more"
    return ""
