"""Requests to one OLS over all runs that share a database: slots, of which each run holds some.

A slot is an advisory lock of PostgreSQL, which ends with its holder, however that one ends. What
outlives a run is in `efo_meta`: a row for each slot that was in use, since OLS goes on with the
request of a run that was killed, and what OLS said of its load. When to take and to give back is
decided in `pipeline.budget`; this is one connection and its statements, for one thread at a time.
"""

from collections.abc import Collection
from contextlib import ExitStack, suppress
from datetime import datetime
from typing import Any, NamedTuple

import psycopg

from efo_assets.settings import DatabaseTarget
from efo_assets.warehouse import session
from efo_assets.warehouse.session import Connection
from efo_assets.warehouse.statements import statement

DOING = "sharing requests to OLS with other runs"


class Seen(NamedTuple):
    """What a run sees of all of them."""

    runs: int
    """How many ask this OLS now, itself among them."""
    is_wanted: bool
    """Whether another run waits for a slot."""
    overloads: int
    """How often OLS told any run that it has too much to do."""
    paused_until: datetime | None
    """When it wants the next request; by PostgreSQL's clock."""
    now: datetime
    """The same clock."""


class RequestSlots:
    """The slots of one run; a budget of 16 has those from 1 to 16."""

    def __init__(self, target: DatabaseTarget, service: str, budget: int) -> None:
        self.budget = budget
        self.held: set[int] = set()
        """Those that it holds, and may use."""
        self.draining: set[int] = set()
        """Those that it holds, and that a killed run may still use."""
        self._target = target
        self._service = service
        self._opened = ExitStack()
        self._holder: Connection | None = None
        self._waits = False

    def open(self) -> None:
        """Be counted among the runs; also once the connection was lost, with no slot then.

        Raises:
            WarehouseError: PostgreSQL can't be reached, or refuses.
        """
        lost, self._holder = self._holder, None
        self.held, self.draining, self._waits = set(), set(), False
        if lost is not None:
            lost.close()  # in its transaction: a pooler then ends the server's session, too
        with suppress(psycopg.Error):
            self._opened.close()
        with session.translated(self._target, DOING):
            if lost is not None:
                session.end_left_behind(self._connect, lost)
            with ExitStack() as opened:
                holder = opened.enter_context(self._connect())
                # As with the lock of the writer: an open transaction keeps its server session
                # behind a pooler, too. It writes nothing, and so holds back no VACUUM.
                opened.enter_context(holder.transaction())
                holder.execute("set local idle_in_transaction_session_timeout = 0")
                holder.execute(statement("run_counted"), {"service": self._service})
                self._opened = opened.pop_all()
        self._holder = holder

    def close(self, cut_off: int, drain_s: float) -> None:
        """Give all slots back; so many of them had requests that OLS may still be at work on."""
        held = sorted(self.held)
        self.held.clear()
        try:
            with session.translated(self._target, DOING):
                self._mark(held[:cut_off], drain_s)
                self._unmark(held[cut_off:])
                self._held("select pg_advisory_unlock_all()")
        finally:
            with suppress(psycopg.Error):
                self._opened.close()
            self._holder = None

    def look(self) -> Seen:
        """See how it stands over all runs; whatever is held is held for sure when this began.

        Raises:
            ConnectionLost: nothing is held any more.
        """
        with session.translated(self._target, DOING):
            return Seen(*self._held("budget_seen")[0])

    def wait(self, *, waits: bool) -> None:
        """Let the others know whether this run waits for a slot."""
        if waits != self._waits:
            self._waits = waits
            with session.translated(self._target, DOING):
                self._held("run_waits" if waits else "run_waits_no_more")

    def take(self, most: int, drain_s: float) -> float:
        """Take so many slots if they are free; seconds until those that drain may be used.

        Should this run be killed, OLS may be at work on its requests for `drain_s` seconds.
        """
        known = [*self.held, *self.draining]
        with session.translated(self._target, DOING):
            rows = self._held("slots_taken", budget=self.budget, held=known, most=most)
            taken = [slot for (slot,) in rows]
            left = self._mark(taken, drain_s)
        self.draining |= left.keys()
        self.held |= {*taken} - left.keys()
        return max(left.values(), default=0.0)

    def drained(self) -> None:
        """All that drained may be used."""
        self.held |= self.draining
        self.draining.clear()

    def give(self, count: int) -> None:
        """Give so many slots back, which no request uses."""
        given = sorted(self.held)[-count:]
        self.held -= {*given}
        with session.translated(self._target, DOING):
            self._unmark(given)
            self._held("slots_released", slots=given)

    def remark(self, drain_s: float) -> None:
        """Change how long OLS may be at work on the requests of this run, should it be killed."""
        with session.translated(self._target, DOING):
            self._mark(self.held, drain_s)

    def tell(self, overloads: int, pause_s: float | None) -> datetime | None:
        """Tell all runs how often OLS had too much to do, and how long it wants no request.

        Returns until when all of them pause.
        """
        values = {"service": self._service, "overloads": overloads, "pause_s": pause_s}
        with session.translated(self._target, DOING), self._connect() as connection:
            paused_until: datetime | None = connection.row(statement("overload_told"), values)[0]
        return paused_until

    def _mark(self, slots: Collection[int], drain_s: float) -> dict[int, float]:
        """Note that these slots are in use; those that a killed run left, and their seconds."""
        if not slots:
            return {}
        values = {"service": self._service, "slots": list(slots), "drain_s": drain_s}
        with self._connect() as connection, connection.transaction():
            left = connection.execute(statement("slots_left"), values).fetchall()
            connection.execute(statement("slots_marked"), values)
        return dict(left)

    def _unmark(self, slots: Collection[int]) -> None:
        # Before the lock goes: the next holder would wait for nothing.
        if slots:
            with self._connect() as connection:
                values = {"service": self._service, "slots": list(slots)}
                connection.execute(statement("slots_unmarked"), values)

    def _held(self, name: str, **values: object) -> list[tuple[Any, ...]]:
        """The rows of a statement over the connection that holds the slots."""
        if self._holder is None:
            raise psycopg.OperationalError("the connection is closed")
        query = statement(name) if name.isidentifier() else name
        return self._holder.execute(query, {"service": self._service, **values}).fetchall()

    def _connect(self) -> Connection:
        return session.connect(self._target)
