"""The words of all labels and synonyms, by which `efo_search` finds what was meant.

A table beside the published ones: it holds nothing that isn't in them, so that it is in no load and
no hash. Publication brings it up to date in its transaction, and `verify` compares it with them.
"""

import sys
import time

from psycopg import sql

from efo_assets.warehouse.schema import Schema
from efo_assets.warehouse.session import Connection
from efo_assets.warehouse.statements import compose, statement
from efo_assets.warehouse.tables import TERMS
from efo_assets.warehouse.views import WORDS

KEY, PLAIN_INDEX, ENDING_INDEX = "words_pkey", "words_plain_idx", "words_ending_idx"


def keep(connection: Connection, schema: Schema, *, is_changed: bool) -> None:
    """Make the table where it isn't there, and renew its rows where names were written."""
    is_new = not connection.has_table(schema.quoted(WORDS.name))
    if is_new:
        indexes = {
            "key": schema.called(KEY),
            "plain_index": schema.called(PLAIN_INDEX),
            "ending_index": schema.called(ENDING_INDEX),
        }
        comment = sql.Literal(WORDS.comment(schema))
        connection.execute(statement("words_make", **schema.parts, **indexes, comment=comment))
        place = {"schema": schema, "words": schema.called(WORDS.name)}
        place["terms"] = schema.called(TERMS.staged_name)
        for (grant,) in connection.execute(statement("words_grants"), place).fetchall():
            connection.execute(grant)
    if is_new or is_changed:
        began = time.monotonic()
        connection.execute(_of_names("words_renew", schema))
        connection.execute(compose("analyze {}", schema.of(WORDS.name)))
        sys.audit("efo_assets.step_ended", "words", time.monotonic() - began)


def differing(connection: Connection, schema: Schema) -> int:
    """How many words are missing, or are in no label or synonym."""
    count: int = connection.row(_of_names("words_differing", schema))[0]
    return count


def _of_names(name: str, schema: Schema) -> sql.Composed:
    now = statement("words_now", **schema.parts)
    return statement(name, **schema.parts, now=now)
