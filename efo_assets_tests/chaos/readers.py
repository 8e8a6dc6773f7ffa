"""A reader that never stops: each statement of his must see one whole release."""

import threading
from types import TracebackType
from typing import Any, Self

import psycopg

from efo_assets.settings import DatabaseTarget

PACE_S = 0.005
STATEMENT = """
select
    (select max(release_id) from efo_meta.releases),
    (
        select sum(hashtextextended(concat_ws('|', id, iri, label, definition, is_obsolete), 0))
        from efo_terms where removed_in is null
    ),
    (
        select sum(hashtextextended(concat_ws('|', term_id, synonym, scope, type, sources), 0))
        from efo_synonyms
    ),
    (
        select sum(hashtextextended(concat_ws('|', child_id, parent_id, predicate), 0))
        from efo_parent_edges
    ),
    (
        select sum(hashtextextended(concat_ws('|', term_id, prefix, accession, sources, url), 0))
        from efo_xrefs
    )
"""
Seen = tuple[Any, ...] | None
"""What a statement saw, as sums over all rows; None where no tables are there."""


class Reader:
    """Reads in a thread of its own while the block runs."""

    def __init__(self, database: DatabaseTarget) -> None:
        parameters: dict[str, Any] = dict(database.parameters)
        self._connection = psycopg.connect(**parameters, autocommit=True, application_name="reader")
        self._one_at_a_time = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._go_on, daemon=True)
        self._seen: set[Seen] = set()
        self._allowed: set[Seen] = {self._read()}
        self.statements = 0
        self.error: BaseException | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        frames: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._connection.close()

    def assert_whole(self) -> None:
        """Assert that all that was read since the last call is what stood then or stands now.

        Call it when what stands now has been compared with what it must be.
        """
        with self._one_at_a_time:
            now = self._read()
            seen, self._seen = self._seen, set()
        assert self.error is None, f"the reader failed: {self.error}"
        assert seen <= self._allowed | {now}, "a reader saw what is neither release"
        self._allowed = {now}

    def _go_on(self) -> None:
        try:
            while not self._ended.wait(PACE_S):
                with self._one_at_a_time:
                    self._seen.add(self._read())
                    self.statements += 1
        except psycopg.Error as error:
            self.error = error

    def _read(self) -> Seen:
        try:
            return self._connection.execute(STATEMENT).fetchone()
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
            return None
