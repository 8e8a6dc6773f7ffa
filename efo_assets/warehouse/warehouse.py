"""The warehouse as its users see it: prepare, stage, audit, publish, each failing in one sentence.

Holds the target, the schema and the writer's lock; the work is in `load`, `audit` and `publish`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import cached_property, partial
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import psycopg
from psycopg import sql

from efo_assets.errors import (
    AuditNotPassed,
    ConnectionLost,
    DatabaseFull,
    LoadInProgress,
    WarehouseError,
)
from efo_assets.privacy.disclosure import shown
from efo_assets.privacy.logs import logger, said_while
from efo_assets.settings import DatabaseTarget, Settings
from efo_assets.warehouse import (
    ahead,
    audit,
    digest,
    ledger,
    load,
    migrations,
    preflight,
    publish,
    report,
    session,
    verify,
)
from efo_assets.warehouse.copy_rows import Columns
from efo_assets.warehouse.embedded import embedded_server
from efo_assets.warehouse.load import Filling, Load, Source
from efo_assets.warehouse.request_slots import DOING, RequestSlots
from efo_assets.warehouse.schema import EFO, TABLE, Schema
from efo_assets.warehouse.session import Connection
from efo_assets.warehouse.statements import row_counts, statement
from efo_assets.warehouse.succession import predecessor
from efo_assets.warehouse.writer import WriterLock

_log = logger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


class Warehouse:
    """One target schema of a PostgreSQL database."""

    def __init__(
        self,
        target: DatabaseTarget,
        schema: str = "public",
        *,
        ontology: str = EFO,
        allow_shrink: bool = False,
        allow_older: bool = False,
        ancestors: str = TABLE,
        semsql: bool = False,
    ) -> None:
        self.target = target
        self.schema_name = schema
        self.ontology = ontology
        self.allow_shrink = allow_shrink
        self.allow_older = allow_older
        self.ancestors = ancestors
        self.semsql = semsql
        self._writer = WriterLock(self.connect, schema)
        self._filled_here: str | None = None

    @classmethod
    @contextmanager
    def opened(cls, settings: Settings) -> Iterator[Self]:
        """The configured PostgreSQL, or the embedded one, which runs as long as it is in use."""
        database = settings.database
        with (
            nullcontext(database) if database else embedded_server(settings.data_dir) as target,
            cls(
                target,
                settings.schema,
                ontology=settings.ontology,
                allow_shrink=settings.allow_shrink,
                allow_older=settings.allow_older,
                ancestors=settings.ancestors,
                semsql=settings.semsql,
            ) as it,
        ):
            yield it

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.release()

    @cached_property
    def schema(self) -> Schema:
        """The schema that people read, with the names that things have there as it stands."""
        doing = "asking how tables are called"
        return self.run(doing, preflight.named, self.schema_name, self.ontology, self.ancestors)

    def connect(self) -> Connection:
        """Open a connection; see `session.connect` for what it raises."""
        return session.connect(self.target)

    def _second(self) -> Connection:
        """Open a connection that is of use, if it can be had at once."""
        return session.connect(self.target, patience_s=0)

    def run(
        self,
        doing: str,
        work: Callable[Concatenate[Connection, P], T],
        *values: P.args,
        **options: P.kwargs,
    ) -> T:
        """Call `work` with a connection and the rest; once more over another where one is lost.

        What it does must change nothing when it is done again, so that a server that restarts
        under way costs no more than its restart. `doing` names it in what is raised.
        """

        def once(connection: Connection) -> T:
            with (
                session.translated(self.target, doing),
                connection,
                said_while(lambda: doing, _log.info),
            ):
                return work(connection, *values, **options)

        with session.translated(self.target, doing):
            self._writer.keep()
        connection = self.connect()
        try:
            return once(connection)
        except ConnectionLost as error:
            _log.warning("%s This step is done once more.", error)
        with session.translated(self.target, doing):
            session.end_left_behind(self.connect, connection)
            self._writer.keep()
        return once(self.connect())

    @contextmanager
    def attempt(self, run_id: str | None = None) -> Iterator[None]:
        """Write down what fails in the block, so that `efo_meta.ontologies` tells it."""
        try:
            yield
        except Exception as error:
            # Of another load that is under way only that one's end is of interest.
            if self._writer.is_held or not isinstance(error, LoadInProgress):
                self.record_failure(self.schema_name, self.ontology, shown(error), run_id)
            raise

    def record_failure(
        self, schema: str, ontology: str, sentence: str, run_id: str | None = None
    ) -> None:
        """Write down why an ontology isn't published, if PostgreSQL can do so at once."""
        with suppress(WarehouseError, psycopg.Error), self._second() as connection:
            ledger.record_failure(connection, schema, ontology, sentence, run_id)

    def prepare(self) -> None:
        """Check what a load needs and take the writer's lock, before anything is downloaded.

        Raises:
            WarehouseError: see `preflight.prepare` and `WriterLock`.
        """
        doing = "preparing the database"
        self.run(doing, preflight.prepare, self.schema, self.ontology)
        with session.translated(self.target, doing):
            self._writer.acquire()

    def request_slots(self, service: str, budget: int) -> RequestSlots | None:
        """The slots of a process among all that ask the OLS `service`; None before any load."""
        is_prepared = self.run(DOING, lambda it: it.has_table("efo_meta.ols_slots"))
        return RequestSlots(self.target, service, budget) if is_prepared else None

    def refuse_unfit(self, source: Source) -> None:
        """Refuse now what the publisher would refuse in the end.

        Raises:
            PublicationRefused: see `succession.predecessor`.
        """
        self.run(
            "comparing releases", predecessor, self.schema, source, allow_older=self.allow_older
        )

    def term_keys(self) -> tuple[bytes, bytes, int]:
        """The keys of all terms that the schema knows; see `load.term_keys`."""
        return self.run("reading the keys of terms", load.term_keys, self.schema)

    def begin(self, source: Source, *, expected_terms: int, run_id: str | None = None) -> Load:
        """Make an empty load."""
        return self.run(
            "making the tables of a load",
            load.begin,
            self.schema,
            source,
            expected_terms=expected_terms,
            run_id=run_id,
        )

    def reusable(self, source: Source) -> Load | None:
        """The staged load of exactly this source, if its tables are still there and as audited."""
        return self.run("looking for a staged load", audit.reusable, self.schema, source)

    def filled(self, source: Source) -> Load | None:
        """The load of exactly this source that waits to be sealed; see `load.filled`."""
        doing = "looking for a filled load"
        return self.run(doing, load.filled, self.schema, source, by_caller=self._filled_here)

    @contextmanager
    def filling(self, staging: Load, columns: Columns) -> Iterator[Filling]:
        """Fill the copied tables of an empty load by one transaction, which this block is.

        Whatever ends the block before its end drops the load's tables: then another is begun.

        Raises:
            WarehouseError: PostgreSQL is lost, full or refuses.
        """
        connection = self.connect()
        try:
            with (
                session.translated(self.target, "copying rows"),
                connection,
                load.filling(connection, staging, columns) as filling,
            ):
                yield filling
            self._filled_here = staging.load_id
        except BaseException as error:
            if isinstance(error, ConnectionLost):
                with suppress(WarehouseError):
                    session.end_left_behind(self.connect, connection)
            self._drop(staging)
            raise

    def seal(self, staging: Load, findings: Mapping[str, Any]) -> Load:
        """Derive the tables that SQL makes, and mark a load as staged.

        Raises:
            DatabaseFull: the load's tables are dropped, so that what they took is free again.
            AuditNotPassed: as `load.seal` raises it; they are dropped, since they can't be used.
        """
        doing = "completing the load"
        try:
            plan = self.run(doing, ahead.planned, staging)
            if plan is None:
                return self.run(doing, load.seal, staging, findings)
            with session.beside(self._second, plan.build):
                try:
                    sealed = self.run(doing, load.seal, staging, findings)
                    plan.add_rest()
                    self.run("building keys", plan.build)
                finally:
                    plan.end()
        except (AuditNotPassed, DatabaseFull):
            self._drop(staging)
            raise
        else:
            return sealed

    def _drop(self, staging: Load) -> None:
        # The next load would drop them, too, if PostgreSQL can't even do that now.
        with suppress(WarehouseError):
            self.run("dropping the load", load.drop, staging.load_id)

    def latest(self) -> Load:
        """The newest staged load.

        Raises:
            NothingStaged: there is none.
        """
        doing = "looking for the staged load"
        self.run(doing, migrations.keep_up)
        return self.run(doing, load.latest, self.schema)

    def audit(self, staged: Load) -> list[audit.Verdict]:
        """Run all checks over a load and store the verdicts."""
        return self.run(
            "auditing",
            audit.audit,
            staged,
            allow_shrink=self.allow_shrink,
            connect=self._second,
        )

    def publish(self, staged: Load, run_id: str | None = None) -> ledger.Publication:
        """Publish a load; see `publish.publish` for what it raises."""
        doing = "publishing"
        with session.translated(self.target, doing), said_while(lambda: doing, _log.info):
            self._writer.keep()
            publication = publish.publish(
                self.connect,
                staged,
                allow_shrink=self.allow_shrink,
                allow_older=self.allow_older,
                with_semsql=self.semsql,
                run_id=run_id,
            )
            self.__dict__["schema"] = staged.target_schema
            return publication

    def current_release(self) -> ledger.PublishedRelease | None:
        """The release that stands in this schema."""
        return self.run("asking the ledger", ledger.current_release, self.schema)

    @property
    def nothing_published(self) -> str:
        """What to say before the first release."""
        return (
            f"Nothing is published in schema {self.schema_name} of {self.target.place} yet: run "
            "`efo-assets load` or `make run`, in a deployment the service `pipeline`; what "
            "`make demo` loaded is there with `efo-assets --demo`."
        )

    def digest(self, load_id: str | None = None) -> digest.Digest:
        """What people are told of the release that stands, and of the audit of a load of it.

        Raises:
            WarehouseError: nothing is published.
        """
        return self._of_what_stands(partial(digest.digest, load_id=load_id))

    def report(self) -> report.Report:
        """What the report of the release that stands tells.

        Raises:
            WarehouseError: nothing is published.
        """
        return self._of_what_stands(report.report)

    def _of_what_stands(self, read: Callable[[Connection, Schema], T | None]) -> T:
        def once(connection: Connection) -> T | None:
            with digest.one_snapshot(connection):
                return read(connection, self.schema)

        told = self.run("reading what is published", once)
        if told is None:
            raise WarehouseError(self.nothing_published)
        return told

    def releases(self) -> list[tuple[Any, ...]]:
        """The ledger for this schema, newest first; see `releases` in `sql/ledger.sql`."""
        return self.run("reading the ledger", ledger.releases, self.schema)

    def ontologies(self) -> list[tuple[Any, ...]]:
        """All schemas of the database, each with its release; see `ontologies` in the SQL."""
        return self.run("reading the ledger", ledger.ontologies)

    def ledger_facts(self) -> dict[str, list[dict[str, Any]]]:
        """The ledger of this schema and every schema of the database; see `ledger.facts`."""
        return self.run("reading the ledger", ledger.facts, self.schema)

    def failures(self) -> list[tuple[Any, ...]]:
        """Runs that failed, by schema; see `ledger.failures`."""
        return self.run("reading the ledger", ledger.failures)

    def standing_releases(self) -> dict[str, tuple[str | None, ...]]:
        """What stands in all schemas; see `ledger.standing_releases`."""
        return self.run("reading the ledger", ledger.standing_releases)

    def verify(self) -> list[verify.Comparison]:
        """What is published, compared with the ledger; see `verify.verify` for what it raises."""
        return self.run("verifying what is published", verify.verify, self.schema)

    def sizes(self) -> dict[str, int]:
        """Bytes on disk; see `ledger.sizes`. Only after the first load."""
        return self.run("asking for sizes", ledger.sizes, self.schema)

    def standings(self) -> dict[str, ledger.Standing]:
        """What each schema of the database holds, without waiting long for it."""
        with (
            session.translated(self.target, "reading how things stand"),
            session.connect(self.target, patience_s=ledger.WATCHER_PATIENCE_S) as connection,
        ):
            return ledger.standings(connection)

    def ask(self, question: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """The answer of the published tables to a statement of `sql/questions.sql`, by its name."""
        return self._answer(statement(question, **self.schema.parts), values)

    def resolve(self, ids: Sequence[str]) -> list[tuple[str | None, ...]]:
        """Where each id leads today; see `resolved` in `sql/questions.sql` for the columns.

        Raises:
            WarehouseError: nothing is published, or an earlier version of this project did it.
        """
        function = f"{self.schema.quoted('resolve')}(text[])"
        # A reader may not look into the ledger.
        ((is_there,),) = self._answer(
            sql.SQL("select to_regprocedure(%(function)s) is not null"), {"function": function}
        )
        if not is_there:
            raise WarehouseError(
                f"{self.nothing_published} Where a release stands, an earlier version of "
                "efo_assets published it: the same command adds what is missing."
            )
        return self.ask("resolved", {"ids": ids})

    def row_counts(self) -> list[tuple[Any, ...]]:
        """Name and number of rows of each published table; a term that vanished doesn't count."""
        return self._answer(row_counts(self.schema), {})

    def _answer(self, query: sql.Composable, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        doing = "asking the published tables"
        return self.run(doing, lambda connection: connection.execute(query, values).fetchall())
