"""The warehouse as its users see it: prepare, stage, audit, publish, each failing in one sentence.

Holds the target, the schema and the writer's lock; the work is in `load`, `audit` and `publish`.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Self

from efo_assets.errors import DatabaseFull, WarehouseError
from efo_assets.settings import DatabaseTarget, Settings
from efo_assets.warehouse import audit as auditing
from efo_assets.warehouse import load as loading
from efo_assets.warehouse import publish as publishing
from efo_assets.warehouse import session
from efo_assets.warehouse.copy_files import CopyFile
from efo_assets.warehouse.embedded import embedded_server
from efo_assets.warehouse.statements import statement
from efo_assets.warehouse.tables import Table


class Warehouse:
    """PostgreSQL, for one target schema."""

    def __init__(
        self,
        target: DatabaseTarget,
        schema: str = "public",
        *,
        allow_shrink: bool = False,
        allow_older: bool = False,
    ) -> None:
        self.target = target
        self.schema = schema
        self.allow_shrink = allow_shrink
        self.allow_older = allow_older
        self._writer = session.WriterLock(self.connect, schema)

    @classmethod
    @contextmanager
    def opened(cls, settings: Settings) -> Iterator[Self]:
        """The configured PostgreSQL, or the embedded one, which runs as long as it is in use."""
        allowed = {"allow_shrink": settings.allow_shrink, "allow_older": settings.allow_older}
        if settings.database is not None:
            with cls(settings.database, settings.schema, **allowed) as it:
                yield it
            return
        with (
            embedded_server(settings.data_dir) as target,
            cls(target, settings.schema, **allowed) as it,
        ):
            yield it

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.release()

    def connect(self) -> session.Connection:
        """Open a connection; see `session.connect` for what it raises."""
        return session.connect(self.target)

    @contextmanager
    def _session(self, doing: str) -> Iterator[session.Connection]:
        with session.translated(self.target, doing), self.connect() as connection:
            yield connection

    def prepare(self) -> None:
        """Check what a load needs and take the writer's lock, before anything is downloaded.

        Raises:
            WarehouseError: see `session.prepared` and `session.WriterLock`.
        """
        with self._session("preparing the database") as connection:
            session.prepared(connection, self.schema)
        self._writer.acquire()

    def begin(
        self, source: loading.Source, *, expected_terms: int, run_id: str | None = None
    ) -> loading.Load:
        """Make an empty load."""
        with self._session("making the tables of a load") as connection:
            return loading.begin(
                connection, self.schema, source, expected_terms=expected_terms, run_id=run_id
            )

    def reusable(self, source: loading.Source) -> loading.Load | None:
        """The staged load of exactly this source, if its tables are still there and as audited."""
        with self._session("looking for a staged load") as connection:
            found = loading.reusable(connection, self.schema, source)
            if found is None or auditing.is_spoilt(connection, found):
                return None
            return found

    def copy_into(self, into: loading.Load, table: Table, file: CopyFile) -> int:
        """Fill one staged table from its COPY file; return its number of rows.

        Raises:
            DatabaseFull: the load's tables are dropped, so that what they took is free again.
        """
        try:
            with self._session(f"copying rows into {table.staged_name}") as connection:
                return loading.copy_into(connection, into, table, file)
        except DatabaseFull:
            self._make_room(into)
            raise

    def _make_room(self, load: loading.Load) -> None:
        # The next load would drop them, too, if PostgreSQL can't even do that now.
        with suppress(WarehouseError), self._session("dropping the load") as connection:
            loading.drop(connection, load.load_id)

    def seal(self, sealed: loading.Load, findings: Mapping[str, Any]) -> loading.Load:
        """Mark a load as staged."""
        with self._session("completing the load") as connection:
            return loading.seal(connection, sealed, findings)

    def latest(self) -> loading.Load:
        """The newest staged load.

        Raises:
            NothingStaged: there is none.
        """
        with self._session("looking for the staged load") as connection:
            return loading.latest(connection, self.schema)

    def audit(self, audited: loading.Load) -> list[auditing.Verdict]:
        """Run all checks over a load and store the verdicts."""
        with self._session("auditing") as connection:
            return auditing.audit(connection, audited, allow_shrink=self.allow_shrink)

    def publish(self, published: loading.Load, run_id: str | None = None) -> publishing.Publication:
        """Publish a load; see `publish.publish` for what it raises."""
        with session.translated(self.target, "publishing"):
            return publishing.publish(
                self.connect,
                published,
                allow_shrink=self.allow_shrink,
                allow_older=self.allow_older,
                run_id=run_id,
            )

    def current_release(self) -> publishing.PublishedRelease | None:
        """The newest row of the ledger for this schema."""
        with self._session("asking the ledger") as connection:
            return publishing.current_release(connection, self.schema)

    def releases(self) -> list[tuple[Any, ...]]:
        """The ledger for this schema, newest first; see `sql/releases.sql` for the columns."""
        with self._session("reading the ledger") as connection:
            return publishing.releases(connection, self.schema)

    def ask(self, question: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """The answer to `sql/<question>.sql` over the published tables."""
        with self._session("asking the published tables") as connection:
            query = statement(question, schema=self.schema)
            return connection.execute(query, dict(values)).fetchall()
