"""Rows for COPY: what is encoded is what PostgreSQL holds, byte for byte."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from efo_assets.settings import DatabaseTarget
from efo_assets.warehouse.copy_rows import SIGNATURE, TRAILER, RowEncoder
from efo_assets.warehouse.statements import copy_into, create_staged
from efo_assets.warehouse.tables import SYNONYMS, TERMS, Table
from efo_assets_tests.databases import connected
from efo_assets_tests.warehouse.loads import COLUMNS, row

Row = tuple[Any, ...]

# PostgreSQL refuses NUL and lone surrogates in text; the decoder replaces them before.
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
synonyms = st.tuples(
    st.integers(1, 1 << 62),
    texts,
    st.sampled_from(["exact", "broad"]),
    st.none() | texts,
    *[st.lists(texts)] * 2,
)


@pytest.fixture(scope="module")
def connection(server: DatabaseTarget) -> Iterator[psycopg.Connection[Any]]:
    with connected(server, autocommit=True) as made:
        made.execute("create schema copy_rows_test")
        for table in (SYNONYMS, TERMS):
            made.execute(create_staged("copy_rows_test", table))
        yield made
        made.execute("drop schema copy_rows_test cascade")


def copied(connection: psycopg.Connection[Any], table: Table, *takes: list[Row]) -> list[Row]:
    """What the table holds after these rows, taken from one encoder in so many takes."""
    name, encoder = table.staged_name, RowEncoder(COLUMNS)
    connection.execute(f"truncate copy_rows_test.{name} restart identity")
    with connection.cursor().copy(
        copy_into(("copy_rows_test", table.copied_name), COLUMNS[name])
    ) as copy:
        copy.write(SIGNATURE)
        for rows in takes:
            for values in rows:
                encoder.sinks[name](values)
            taken = encoder.taken()
            assert {other: taken[other].rows for other in COLUMNS} == {
                other: len(rows) if other == name else 0 for other in COLUMNS
            }
            copy.write(taken[name].verified())
        copy.write(TRAILER)
    return connection.execute(f"select * from copy_rows_test.{name}").fetchall()


@pytest.mark.fault("P19")
@settings(max_examples=60)
@given(rows=st.lists(synonyms), more=st.lists(synonyms))
def test_every_text_comes_back_byte_for_byte(
    connection: psycopg.Connection[Any], rows: list[Row], more: list[Row]
) -> None:
    assert copied(connection, SYNONYMS, rows, more) == rows + more


def test_booleans_and_nulls_come_back(connection: psycopg.Connection[Any]) -> None:
    values = row(TERMS, id=7, iri="iri", other_labels=["a", ""], is_root=True, obsoleted_in="3.1")
    assert copied(connection, TERMS, [values]) == [values]


def test_columns_that_the_specification_does_not_have_are_refused_by_name() -> None:
    columns = {**COLUMNS, "terms": [*COLUMNS["terms"][:-1], "editor"]}
    with pytest.raises(ValueError, match=r"^Rows of terms .* differ in editor, obsolescence_rea"):
        RowEncoder(columns)
