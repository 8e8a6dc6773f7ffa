"""A process that reads pages: `python -m efo_assets.pipeline.worker`, not for people to call.

Its parent (`crew`) hands it one page after the other over a socket, which it inherits, and gets
what was read: facts, and rows in COPY's binary format. It ends when the socket does, since then
its parent has ended.

A message to it is a `Task`, and the body where the page was received just now. Its answer is a
`ReadPage`, with the rows of each table, or `Failed`. `TermKeys` go before the first task of a load.
"""

import gc
import sys
import traceback
from multiprocessing.connection import Connection
from typing import Any

import msgspec

from efo_assets.errors import EfoError
from efo_assets.ols.acceptance import SmallerPages
from efo_assets.ols.payload import PayloadError
from efo_assets.ols.reading import PageWork, ReadPage, Task
from efo_assets.ols.records import COLUMNS, Findings, ParsedPage, TermKeys, decode_page
from efo_assets.warehouse.copy_rows import CopyRows, RowEncoder

MESSAGE = msgspec.msgpack.Decoder(Task | TermKeys)


class Failed(msgspec.Struct, tag=True):
    """Why a page was not read."""

    kind: str
    """Name of an error of the payload or of the engine, `OSError`, or empty for a defect."""
    text: str
    number: int | None = None
    """Of an OSError, or the rows of smaller pages."""
    place: str = ""


class Answer(msgspec.Struct, tag=True):
    """A page that was read; the data of each table follows, in order."""

    page: ReadPage
    tables: list[tuple[str, int, int]]
    """Staged table name, rows, CRC-32."""


ANSWER = msgspec.msgpack.Decoder(Answer | Failed)


def page_work() -> PageWork:
    """Work that makes rows for COPY."""
    encoder = RowEncoder(COLUMNS)

    def make_rows(
        parsed: ParsedPage, findings: Findings, keys: TermKeys, task: Task
    ) -> dict[str, CopyRows]:
        first, most = task.first_row, task.wanted_rows
        try:
            decode_page(parsed, encoder.sinks, findings, keys, first_row=first, most=most)
        finally:
            rows = encoder.taken()
        return rows

    return PageWork(make_rows)


def main() -> None:
    """Read pages until nobody asks for more."""
    # Rows and decoded JSON hold no cycles, but their number sets the collector off.
    gc.disable()
    connection, work = Connection(int(sys.argv[1])), page_work()
    try:
        while True:
            task = MESSAGE.decode(connection.recv_bytes())
            if isinstance(task, TermKeys):
                work.keys = task
                continue
            body = b"" if task.entry else connection.recv_bytes()
            _answer(connection, work, task, body)
    except (EOFError, ConnectionError):
        return


def _answer(connection: Any, work: PageWork, task: Task, body: bytes) -> None:
    rows: dict[str, CopyRows] = {}
    answer: Answer | Failed
    try:
        page = work.read(task, body)
        rows, page.rows = page.rows or {}, None
        answer = Answer(page, [(name, some.rows, some.crc) for name, some in rows.items()])
    except SmallerPages as error:
        answer = Failed(type(error).__name__, str(error), error.size)
    except (PayloadError, EfoError) as error:
        answer = Failed(type(error).__name__, str(error))
    except OSError as error:
        answer = Failed("OSError", error.strerror or "", error.errno, str(error.filename or ""))
    except Exception:  # noqa: BLE001  # the parent raises it
        answer = Failed("", traceback.format_exc())
    connection.send_bytes(msgspec.msgpack.encode(answer))
    for some in rows.values():
        connection.send_bytes(some.data)


if __name__ == "__main__":
    main()
