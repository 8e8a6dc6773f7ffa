"""The warehouse as its users see it: prepare, stage, audit, publish, each failing in one sentence.

Holds the target, the schema and the writer's lock; the work is in `load`, `audit` and `publish`.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Self, TypeVar

from efo_assets.errors import ConnectionLost, DatabaseFull, WarehouseError
from efo_assets.privacy.logs import logger
from efo_assets.settings import DatabaseTarget, Settings
from efo_assets.warehouse import audit as auditing
from efo_assets.warehouse import ledger, migrations, preflight, session
from efo_assets.warehouse import load as loading
from efo_assets.warehouse import publish as publishing
from efo_assets.warehouse.copy_files import CopyFile
from efo_assets.warehouse.embedded import embedded_server
from efo_assets.warehouse.statements import statement
from efo_assets.warehouse.tables import Table
from efo_assets.warehouse.writer import WriterLock

_log = logger(__name__)

T = TypeVar("T")


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
        self._writer = WriterLock(self.connect, schema)

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

    def _step(self, doing: str, work: Callable[[session.Connection], T]) -> T:
        """Do `work` over a connection; once more over another where the first one is lost.

        Each step changes nothing when it is done again, so that a server that restarts under way
        costs no more than its restart.
        """
        with session.translated(self.target, doing):
            self._writer.keep()
        connection = self.connect()
        try:
            return self._once(doing, work, connection)
        except ConnectionLost as error:
            _log.warning("%s This step is done once more.", error)
        with session.translated(self.target, doing):
            session.end_left_behind(self.connect, connection)
            self._writer.keep()
        return self._once(doing, work, self.connect())

    def _once(
        self, doing: str, work: Callable[[session.Connection], T], connection: session.Connection
    ) -> T:
        with session.translated(self.target, doing), connection:
            return work(connection)

    def prepare(self) -> None:
        """Check what a load needs and take the writer's lock, before anything is downloaded.

        Raises:
            WarehouseError: see `preflight.prepare` and `WriterLock`.
        """
        doing = "preparing the database"
        self._step(doing, lambda connection: preflight.prepare(connection, self.schema))
        with session.translated(self.target, doing):
            self._writer.acquire()

    def begin(
        self, source: loading.Source, *, expected_terms: int, run_id: str | None = None
    ) -> loading.Load:
        """Make an empty load."""
        return self._step(
            "making the tables of a load",
            lambda connection: loading.begin(
                connection, self.schema, source, expected_terms=expected_terms, run_id=run_id
            ),
        )

    def reusable(self, source: loading.Source) -> loading.Load | None:
        """The staged load of exactly this source, if its tables are still there and as audited."""

        def look(connection: session.Connection) -> loading.Load | None:
            found = loading.reusable(connection, self.schema, source)
            if found is None or auditing.is_spoilt(connection, found):
                return None
            return found

        return self._step("looking for a staged load", look)

    def copy_into(self, into: loading.Load, table: Table, file: CopyFile) -> int:
        """Fill one staged table from its COPY file; return its number of rows.

        Raises:
            DatabaseFull: the load's tables are dropped, so that what they took is free again.
        """
        try:
            return self._step(
                f"copying rows into {table.staged_name}",
                lambda connection: loading.copy_into(connection, into, table, file),
            )
        except DatabaseFull:
            self._make_room(into)
            raise

    def _make_room(self, load: loading.Load) -> None:
        # The next load would drop them, too, if PostgreSQL can't even do that now.
        with suppress(WarehouseError):
            self._step(
                "dropping the load", lambda connection: loading.drop(connection, load.load_id)
            )

    def seal(self, sealed: loading.Load, findings: Mapping[str, Any]) -> loading.Load:
        """Derive the tables that SQL makes, and mark a load as staged.

        Raises:
            DatabaseFull: the load's tables are dropped, as `copy_into` does.
        """
        try:
            return self._step(
                "completing the load",
                lambda connection: loading.seal(connection, sealed, findings),
            )
        except DatabaseFull:
            self._make_room(sealed)
            raise

    def latest(self) -> loading.Load:
        """The newest staged load.

        Raises:
            NothingStaged: there is none.
        """

        def look(connection: session.Connection) -> loading.Load:
            migrations.keep_up(connection)
            return loading.latest(connection, self.schema)

        return self._step("looking for the staged load", look)

    def audit(self, audited: loading.Load) -> list[auditing.Verdict]:
        """Run all checks over a load and store the verdicts."""
        return self._step(
            "auditing",
            lambda connection: auditing.audit(connection, audited, allow_shrink=self.allow_shrink),
        )

    def publish(self, published: loading.Load, run_id: str | None = None) -> ledger.Publication:
        """Publish a load; see `publish.publish` for what it raises."""
        with session.translated(self.target, "publishing"):
            self._writer.keep()
            return publishing.publish(
                self.connect,
                published,
                allow_shrink=self.allow_shrink,
                allow_older=self.allow_older,
                run_id=run_id,
            )

    def current_release(self) -> ledger.PublishedRelease | None:
        """The newest row of the ledger for this schema."""
        return self._step(
            "asking the ledger",
            lambda connection: ledger.current_release(connection, self.schema),
        )

    def releases(self) -> list[tuple[Any, ...]]:
        """The ledger for this schema, newest first; see `sql/releases.sql` for the columns."""
        return self._step(
            "reading the ledger", lambda connection: ledger.releases(connection, self.schema)
        )

    def standing(self) -> ledger.Standing:
        """The published release and the last audit, without waiting long for either."""
        with (
            session.translated(self.target, "reading how things stand"),
            session.connect(self.target, patience_s=ledger.WATCHER_PATIENCE_S) as connection,
        ):
            return ledger.standing(connection, self.schema)

    def reading(self, doing: str, work: Callable[[session.Connection], T]) -> T:
        """What `work` reads over a connection; once more where that is lost."""
        return self._step(doing, work)

    def ask(self, question: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """The answer to `sql/<question>.sql` over the published tables."""
        query = statement(question, schema=self.schema)
        return self._step(
            "asking the published tables",
            lambda connection: connection.execute(query, dict(values)).fetchall(),
        )
