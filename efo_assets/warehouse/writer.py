"""One loader per target schema, across processes and machines."""

from collections.abc import Callable
from contextlib import ExitStack, suppress

import psycopg

from efo_assets.errors import LoadInProgress
from efo_assets.warehouse.session import Connection
from efo_assets.warehouse.statements import statement


class WriterLock:
    """The lock of one target schema, held in a transaction that stays open.

    It is PostgreSQL's own and ends with its holder, however that one ends. A lock of the session
    would be lost, or left to others, behind a pooler in transaction mode; an open transaction keeps
    its server session there, too. It reads nothing, so that it holds back no VACUUM.
    """

    def __init__(self, connect: Callable[[], Connection], schema: str) -> None:
        self._connect = connect
        self._schema = schema
        self._held = ExitStack()
        self._holder: Connection | None = None

    @property
    def is_held(self) -> bool:
        """Whether it was acquired; its connection may be lost since."""
        return self._holder is not None

    def acquire(self) -> None:
        """Take the lock, or keep it.

        Raises:
            LoadInProgress: another process holds it; the message names it.
        """
        if self._holder is not None and self._is_alive(self._holder):
            return
        self.release()
        with ExitStack() as taken:
            holder = taken.enter_context(self._connect())
            taken.enter_context(holder.transaction())
            holder.execute("set local idle_in_transaction_session_timeout = 0")
            if not holder.row(statement("writer_lock"), {"schema": self._schema})[0]:
                raise LoadInProgress(self._refusal(holder))
            self._held = taken.pop_all()
        self._holder = holder

    def keep(self) -> None:
        """Take the lock again if it was held and its connection was lost meanwhile.

        Raises:
            LoadInProgress: another process was faster.
        """
        if self.is_held:
            self.acquire()

    @staticmethod
    def _is_alive(holder: Connection) -> bool:
        try:
            holder.execute("select 1")
        except psycopg.Error:
            return False
        return True

    def _refusal(self, holder: Connection) -> str:
        row = holder.execute(statement("writer_lock_holder"), {"schema": self._schema}).fetchone()
        who = f"{row[0]}, PostgreSQL's process {row[1]}, since {row[2]}" if row else "ended"
        return (
            f"Another load into schema {self._schema} is under way ({who}): this run ends and "
            f"changes nothing; run again when that one has ended."
        )

    def release(self) -> None:
        """Release the lock, if it is held."""
        self._holder = None
        with suppress(psycopg.Error):
            self._held.close()
