"""Who keeps us waiting for a lock, in words fit to be shown."""

import re
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

import psycopg

from efo_assets.errors import WarehouseError
from efo_assets.warehouse.session import Connection
from efo_assets.warehouse.statements import statement

QUERY_LIMIT_CHARS = 200

# PostgreSQL cuts a long query, so that its last literal may have no end.
_LITERAL = re.compile(r"(\$\w*\$).*?(\1|\Z)|'(?:[^']|'')*('|\Z)", re.DOTALL)


def scrubbed(query: str) -> str:
    """A query on one line without its literals, which may hold a password."""
    bare = " ".join(_LITERAL.sub("'…'", query).split())
    printable = "".join(each for each in bare if each.isprintable())
    return printable[:QUERY_LIMIT_CHARS] + ("…" if len(printable) > QUERY_LIMIT_CHARS else "")


class BlockerWatch:
    """Asks over a connection of its own, while a session works, whom it waits for.

    Once the wait has timed out PostgreSQL no longer knows.
    """

    def __init__(
        self, connect: Callable[[], Connection], waiting: Connection, pause_s: float
    ) -> None:
        self._connect = connect
        self._name = waiting.name
        self._pause_s = pause_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._blockers: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def blockers(self) -> str:
        """Those seen last: process, role, client and query of each; empty if none was seen."""
        return ", ".join(self._blockers)

    def _watch(self) -> None:
        # Without an answer the message names nobody; what failed is told all the same.
        with suppress(psycopg.Error, WarehouseError), self._connect() as connection:
            while not self._ended.wait(self._pause_s):
                rows = connection.execute(statement("blockers"), {"name": self._name}).fetchall()
                self._blockers = [
                    f"PostgreSQL's process {pid} of {role} from {client} (`{scrubbed(query)}`)"
                    for pid, role, client, query in rows
                ] or self._blockers
