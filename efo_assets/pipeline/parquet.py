"""Tables as Parquet: COPY's CSV goes into Arrow, and no value becomes an object of Python.

Imported where files are written: pyarrow takes half a second that a code location need not spend
each time it starts.
"""

from collections.abc import Generator, Mapping
from contextlib import closing
from typing import IO, Any

import msgspec
import pyarrow as pa
from psycopg import sql
from psycopg.abc import PQGen
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn
from psycopg.waiting import Wait
from pyarrow import csv as arrow_csv
from pyarrow import parquet

from efo_assets.warehouse.schema import Schema
from efo_assets.warehouse.session import Connection
from efo_assets.warehouse.statements import exported, statement
from efo_assets.warehouse.tables import Table

csv: Any = arrow_csv  # exports nothing by its types
ROWS_AT_ONCE = 20_000
_TYPES = {
    "text": pa.string(),
    "text[]": pa.list_(pa.string()),
    "boolean": pa.bool_(),
    "smallint": pa.int16(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
}
_PLACE = pa.int64()
_JSON = pa.dictionary(pa.int32(), pa.string())
"""Most lists are empty or alike: each is parsed once in a batch."""


def iris_by_place(connection: Connection, schema: Schema) -> Any:
    """The IRIs of all terms, in the order by which `exported` numbers them."""
    batches = _batches(connection, statement("export_iris", **schema.parts), {"iri": pa.string()})
    return pa.chunked_array([batch["iri"].chunk(0) for batch in batches]).combine_chunks()


def write_table(
    connection: Connection,
    table: Table,
    file: IO[bytes],
    *,
    schema: Schema,
    iris: Any,
    facts: Mapping[str, str],
) -> int:
    """Write the listed rows with these facts in the metadata; return how many they are."""
    columns, release = table.exported_columns, int(table.is_history)
    references = columns[release : release + len(table.references)]
    shape = pa.schema(
        [
            pa.field(each.name, _TYPES[each.type], each.nullable, {"comment": each.comment})
            for each in columns
        ],
        metadata={"table": table.name, "comment": table.comment, **facts},
    )
    sent = {each.name: _JSON if each.type == "text[]" else _TYPES[each.type] for each in columns}
    sent |= dict.fromkeys((each.name for each in references), _PLACE)
    rows = 0
    with (
        parquet.ParquetWriter(file, shape, compression="zstd") as writer,  # type: ignore[no-untyped-call]
        closing(_batches(connection, exported(schema, table), sent)) as batches,
    ):
        for batch in batches:
            values = [_value(batch[name].chunk(0), type_, iris) for name, type_ in sent.items()]
            writer.write_table(pa.Table.from_arrays(values, schema=shape))
            rows += batch.num_rows
    return rows


def _value(column: Any, type_: Any, iris: Any) -> Any:
    """A column as it is written, from what was sent for it."""
    if type_ is _PLACE:
        return iris.take(column)
    if type_ is not _JSON:
        return column
    texts = ",".join(column.dictionary.to_pylist())
    lists = msgspec.json.decode(f"[{texts}]", type=list[list[str | None]])
    return pa.array(lists, _TYPES["text[]"]).take(column.indices)


def _batches(
    connection: Connection, query: sql.Composed, types: Mapping[str, Any]
) -> Generator[Any, None, None]:
    """The rows of a COPY as CSV, so many at once, with each column in one piece."""
    with connection.cursor() as cursor, cursor.copy(query):
        is_over = False
        while not is_over:
            batch = bytearray()
            is_over = connection.wait(_received(connection.pgconn, batch))
            if batch:
                yield _parsed(batch, types)


def _received(link: PGconn, batch: bytearray) -> PQGen[bool]:
    """Add the next rows; tell whether those were the last.

    psycopg's own reading of rows takes four times as long: 0.7 µs for each of two millions.
    """
    for _ in range(ROWS_AT_ONCE):
        # PostgreSQL sends each row as one message.
        while not (received := link.get_copy_data(1))[0]:
            yield Wait.R
            link.consume_input()
        size, row = received
        if size < 0:
            break
        batch += row
    else:
        return False
    while (result := link.get_result()) is not None:
        if result.status != ExecStatus.COMMAND_OK:
            raise error_from_result(result)
    return True


def _parsed(batch: bytearray, types: Mapping[str, Any]) -> pa.Table:
    return csv.read_csv(
        pa.BufferReader(batch),
        read_options=csv.ReadOptions(
            column_names=list(types), block_size=len(batch), use_threads=False
        ),
        parse_options=csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        convert_options=csv.ConvertOptions(
            column_types=types,
            # As COPY writes them: NULL is nothing, an empty text is "".
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            true_values=["t"],
            false_values=["f"],
        ),
    )
