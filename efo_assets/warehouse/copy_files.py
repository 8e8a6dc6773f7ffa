"""COPY files: rows in COPY's binary format, kept until PostgreSQL takes them.

psycopg encodes the rows, without a connection, so that any process can fill a part of a file.
"""

import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from os import SEEK_END
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, TypeAlias

from psycopg import adapters

# psycopg.copy.Copy, the public way, takes a connection's cursor even where it writes to a file.
from psycopg._copy_base import BinaryFormatter
from psycopg.abc import Buffer
from psycopg.adapt import AdaptersMap, Dumper, Transformer
from psycopg.pq import Format

from efo_assets.errors import PageStoreError
from efo_assets.files import make_folder
from efo_assets.warehouse.tables import BY_STAGED_NAME, COPIED, Table

Columns: TypeAlias = Mapping[str, Sequence[str]]

SIGNATURE = b"PGCOPY\n\xff\r\n\0" + bytes(8)
"""With no flags and no header extension (PostgreSQL: COPY, "Binary Format")."""
TRAILER = b"\xff\xff"
SEAL = struct.Struct(">QI")
"""After the trailer of a part: how many rows were written, and the CRC-32 of all before it."""
READ_BYTES = 1 << 18
TEXT_OID, TEXTS_OID = 25, 1009

_NO_TEXTS = struct.pack(">iii", 0, 0, TEXT_OID)
_SOME_TEXTS = struct.Struct(">iiiii").pack
_LENGTH = struct.Struct(">i").pack


class _TextsDumper(Dumper):
    """`text[]` in PostgreSQL's binary form; psycopg's own serves any type, and takes four times."""

    format = Format.BINARY
    oid = TEXTS_OID

    def dump(self, obj: Sequence[str]) -> bytes:
        if not obj:  # as most are
            return _NO_TEXTS
        items = [item.encode() for item in obj]
        # Dimensions, whether it holds nulls, type; length and lower bound of the dimension.
        head = _SOME_TEXTS(1, 0, TEXT_OID, len(items), 1)
        return head + b"".join(_LENGTH(len(item)) + item for item in items)


class _Context:
    """What a psycopg `Transformer` asks of a connection, where there is none."""

    connection = None

    def __init__(self) -> None:
        self.adapters = AdaptersMap(adapters)
        self.adapters.register_dumper(list, _TextsDumper)


class RowWriter:
    """Appends staged rows of one table to a file; `finish` when the last one is in."""

    def __init__(self, table: Table, columns: Sequence[str], file: IO[bytes]) -> None:
        self._file = file
        transformer = Transformer(_Context())
        known = transformer.adapters.types
        oids = [known.get_oid(name) for name in table.copy_types(columns)]
        transformer.set_dumper_types(oids, Format.BINARY)
        self._formatter = BinaryFormatter(transformer)
        self._write_row = self._formatter.write_row
        self._rows = self._crc = 0

    def __call__(self, row: Sequence[Any]) -> None:
        """Append one row; its values stand in the order of the columns."""
        self._rows += 1
        if piece := self._write_row(row):
            self._write(piece)

    def _write(self, piece: Buffer) -> None:
        self._crc = zlib.crc32(piece, self._crc)
        self._file.write(piece)

    def finish(self) -> None:
        """End the rows, seal them, and hand everything to the operating system."""
        self._write(self._formatter.end())
        self._file.write(SEAL.pack(self._rows, self._crc))
        self._file.flush()


@contextmanager
def row_writers(files: Mapping[str, IO[bytes]], columns: Columns) -> Iterator[dict[str, RowWriter]]:
    """A row writer per staged table name; at the end, their rows are in the files."""
    writers = {
        name: RowWriter(BY_STAGED_NAME[name], columns[name], file) for name, file in files.items()
    }
    yield writers
    for writer in writers.values():
        writer.finish()


class CopyFile:
    """One table's rows for reading: the parts as one, in order."""

    def __init__(self, parts: Sequence[IO[bytes]], columns: Sequence[str]) -> None:
        self._parts = parts
        self.columns = columns

    def rows(self) -> int:
        """How many rows were written into it.

        Raises:
            PageStoreError: a part is not as it was written.
        """
        written = 0
        for part in self._parts:
            left_bytes, crc = part.seek(0, SEEK_END) - SEAL.size, 0
            part.seek(0)
            while left_bytes > 0 and (chunk := part.read(min(READ_BYTES, left_bytes))):
                left_bytes -= len(chunk)
                crc = zlib.crc32(chunk, crc)
            rows, written_crc = SEAL.unpack(part.read()) if not left_bytes else (0, None)
            if crc != written_crc:
                raise PageStoreError(
                    "A COPY file is not as it was written: nothing was published; run again."
                )
            written += rows
        return written

    def chunks(self, size_bytes: int) -> Iterator[bytes]:
        """All of it, from the first byte on, in pieces of at most `size_bytes`."""
        yield SIGNATURE
        for part in self._parts:
            # Each part begins with a signature and ends with a trailer of its own, and its seal.
            left_bytes = part.seek(0, SEEK_END) - len(SIGNATURE) - len(TRAILER) - SEAL.size
            part.seek(len(SIGNATURE))
            while left_bytes > 0 and (chunk := part.read(min(size_bytes, left_bytes))):
                left_bytes -= len(chunk)
                yield chunk
        yield TRAILER


class CopyFiles:
    """Nameless files, some parts per table, gone with the last process that has them open."""

    def __init__(self, folder: Path, columns: Columns, parts: int = 1) -> None:
        """Open them; use as a context manager.

        Args:
            folder: where the files are made.
            columns: staged table name to the names of a row's values, in order.
            parts: files per table.

        Raises:
            PageStoreError: the folder can't be written.
            ValueError: the columns are not those of the specification.
        """
        for table in COPIED:
            table.copy_types(columns[table.staged_name])
        self._folder = folder
        self._columns = columns
        self.parts: list[dict[str, IO[bytes]]] = []
        """Each part: staged table name to its file."""
        with self.explained():
            make_folder(folder, 0o700)
            for _ in range(parts):
                part: dict[str, IO[bytes]] = {}
                # Known before it is full: a disk may have room for some of the files only.
                self.parts.append(part)
                for table in COPIED:
                    part[table.staged_name] = _nameless(folder)

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Raise a full disk, or any other trouble of the file system, as one sentence.

        Raises:
            PageStoreError: instead of the OSError; the space is given back.
        """
        try:
            yield
        except OSError as error:
            self.close()
            raise PageStoreError(
                f"COPY files cannot be written in {self._folder} ({error.strerror}): the pages are "
                "kept and nothing was published; free space there, or set EFO_DATA_DIR."
            ) from error

    @contextmanager
    def writing(self, part: int = 0) -> Iterator[dict[str, RowWriter]]:
        """A row writer per staged table name; at the end, their rows are in the files.

        Raises:
            PageStoreError: the disk is full.
        """
        with self.explained(), row_writers(self.parts[part], self._columns) as writers:
            yield writers

    def file(self, table: Table) -> CopyFile:
        """The rows of `table`, of all parts."""
        name = table.staged_name
        return CopyFile([part[name] for part in self.parts], self._columns[name])

    def close(self) -> None:
        """Give the space back."""
        for part in self.parts:
            for file in part.values():
                with suppress(OSError):  # what a full disk didn't take can't be flushed either
                    file.close()


def _nameless(folder: Path) -> IO[bytes]:
    return TemporaryFile(dir=folder)
