"""Rows in COPY's binary format. psycopg encodes them without a connection, in any process."""

import struct
import zlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple, TypeAlias

from psycopg import adapters

# psycopg.copy.Copy, the public way, takes a connection's cursor even where nothing is sent yet.
from psycopg._copy_base import format_row_binary
from psycopg.adapt import AdaptersMap, Dumper, Transformer
from psycopg.pq import Format

from efo_assets.errors import AuditNotPassed
from efo_assets.warehouse.tables import BY_STAGED_NAME, CLASS_HASHES, Table

Columns: TypeAlias = Mapping[str, Sequence[str]]
"""Staged table name to the names of a row's values, in order."""

SIGNATURE = b"PGCOPY\n\xff\r\n\0" + bytes(8)
"""With no flags and no header extension (PostgreSQL: COPY, "Binary Format")."""
TRAILER = b"\xff\xff"
TEXT_OID, TEXTS_OID = 25, 1009

_NO_TEXTS = struct.pack(">iii", 0, 0, TEXT_OID)
_SOME_TEXTS = struct.Struct(">iiiii").pack
_LENGTH = struct.Struct(">i").pack
_CLASS_HASH = struct.Struct(">hiqi").pack


class _TextsDumper(Dumper):
    """`text[]` in PostgreSQL's binary form; psycopg's own serves any type, and takes four times."""

    format = Format.BINARY
    oid = TEXTS_OID

    def dump(self, obj: Sequence[str]) -> bytes:
        if not obj:  # as most are
            return _NO_TEXTS
        # Dimensions, whether it holds nulls, type; length and lower bound of the dimension.
        array = _SOME_TEXTS(1, 0, TEXT_OID, len(obj), 1)
        for text in obj:
            item = text.encode()
            array += _LENGTH(len(item)) + item
        return array


class _Context:
    """What a psycopg `Transformer` asks of a connection, where there is none."""

    connection = None

    def __init__(self) -> None:
        self.adapters = AdaptersMap(adapters)
        self.adapters.register_dumper(list, _TextsDumper)


class CopyRows(NamedTuple):
    """Rows of one table in COPY's binary format, without its signature and trailer."""

    rows: int
    crc: int
    """The CRC-32 of `data` where it was made."""
    data: bytes | bytearray

    def verified(self) -> bytes | bytearray:
        """The data.

        Raises:
            AuditNotPassed: it is not what was made.
        """
        if zlib.crc32(self.data) != self.crc:
            raise AuditNotPassed(
                "Rows are not as they were decoded, since bytes changed on their way to COPY: "
                "nothing was published, the pages are kept; run again."
            )
        return self.data


class RowEncoder:
    """Encodes rows of all copied tables; the first value of each is the key of its term."""

    def __init__(self, columns: Columns) -> None:
        """Make the sinks.

        Raises:
            ValueError: the columns are not those of the specification.
        """
        self._tables = {
            name: _TableEncoder(BY_STAGED_NAME[name], names) for name, names in columns.items()
        }
        self.sinks: Mapping[str, Callable[[Sequence[Any]], None]] = {
            name: table.rows.append for name, table in self._tables.items()
        }
        """Staged table name to what takes one row; its values stand in the order of the columns."""

    def taken(self) -> dict[str, CopyRows]:
        """The rows since the last call, and a hash of those of each class, by table of a load."""
        of_class: defaultdict[int, list[bytearray]] = defaultdict(list)
        rows = {name: table.taken(of_class) for name, table in self._tables.items()}
        return rows | {CLASS_HASHES: _class_hashes(of_class)}


def _class_hashes(of_class: Mapping[int, list[bytearray]]) -> CopyRows:
    """The rows of `CLASS_HASHES`."""
    data = bytearray()
    for key, rows in of_class.items():
        # OLS gives the same values in another order after it loaded an ontology again.
        digest = blake2b(b"".join(sorted(rows)), digest_size=8).digest()
        data += _CLASS_HASH(2, 8, key, 8) + digest
    return CopyRows(len(of_class), zlib.crc32(data), data)


class _TableEncoder:
    def __init__(self, table: Table, columns: Sequence[str]) -> None:
        self._transformer = Transformer(_Context())
        known = self._transformer.adapters.types
        oids = [known.get_oid(name) for name in table.copy_types(columns)]
        self._transformer.set_dumper_types(oids, Format.BINARY)
        self.rows: list[Sequence[Any]] = []

    def taken(self, of_class: defaultdict[int, list[bytearray]]) -> CopyRows:
        """The rows; the bytes of each are added to those of its class."""
        rows, data = self.rows.copy(), bytearray()
        self.rows.clear()
        for row in rows:
            begin = len(data)
            format_row_binary(row, self._transformer, data)
            of_class[row[0]].append(data[begin:])
        return CopyRows(len(rows), zlib.crc32(data), data)
