"""One pass over the pages of a release: each is read once, and its rows go to PostgreSQL at once.

Pages come from a download, or were kept by one. Processes (`crew`), or a thread where pages are
few, accept, keep and decode them; one connection copies their rows into a load, whose transaction
ends when all are there. Whatever goes wrong on the way drops the load; pages stay.
"""

import asyncio
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self, TypeVar, cast

import msgspec

from efo_assets.errors import EfoError, PageStoreError, RecordRejected
from efo_assets.ols.plan import PageKey, PageSpec, Plan
from efo_assets.ols.reading import ReadPage, Task, task_of_kept
from efo_assets.ols.records import COLUMNS, Findings, TermKeys
from efo_assets.ols.stored_pages import PageSet
from efo_assets.pipeline.crew import MOST_WORKERS, Crew, workers_for
from efo_assets.pipeline.worker import page_work
from efo_assets.privacy.logs import logger
from efo_assets.warehouse.load import Filling, Load
from efo_assets.warehouse.warehouse import Warehouse

REPLAYED_AT_ONCE = 2 * MOST_WORKERS
"""So that each process finds the next page when it has read one."""

T = TypeVar("T")

_log = logger(__name__)


class _Readers:
    """Reads pages in threads: by a process each, or by itself where so many rows aren't worth it.

    What is cancelled goes on; `settle` waits for it.
    """

    def __init__(self, rows: int) -> None:
        workers = workers_for(rows)
        self._crew = Crew(workers) if workers else None
        self._work = self._crew or page_work()
        self._threads = ThreadPoolExecutor(workers or 1, "efo-read")
        self._under_way: set[Future[ReadPage]] = set()

    async def read(self, task: Task, body: bytes) -> ReadPage:
        reading = self._threads.submit(self._work.read, task, body)
        self._under_way.add(reading)
        reading.add_done_callback(self._under_way.discard)
        return await asyncio.wrap_future(reading)

    def make_rows_by(self, keys: TermKeys) -> None:
        """Rows of pages that are read from now on have these keys."""
        self._work.keys = keys

    async def settle(self) -> None:
        await asyncio.to_thread(wait, tuple(self._under_way))

    def close(self) -> None:
        self._threads.shutdown(cancel_futures=True)
        if self._crew is not None:
            self._crew.close()


class _Superseded(Exception):
    """Another plan begins, or the pass ends before all of its pages were taken."""


@dataclass(eq=False)
class OnePass:
    """Reads the pages of one plan at a time and fills a load; an async context manager.

    Where a load can't be filled, `take` and `finish` raise why if `is_strict`. If not, that is
    said, the load is dropped, and pages are kept as before.
    """

    warehouse: Warehouse
    begin_load: Callable[[PageSet], Load | None]
    """Begins a load for the pages of a plan; None where no rows are wanted."""
    is_strict: bool = False
    _plan: Plan = field(init=False)
    _readers: _Readers | None = field(default=None, init=False)
    _filling: Filling | None = field(default=None, init=False)
    _transaction: ExitStack = field(default_factory=ExitStack, init=False)
    _findings: dict[PageKey, Mapping[str, Any]] = field(default_factory=dict, init=False)

    async def __aenter__(self) -> Self:
        self._copying = ThreadPoolExecutor(1, "efo-copy")
        return self

    async def __aexit__(self, _: object, error: BaseException | None, __: object) -> None:
        try:
            await self.settle()
            await self._drop(error or _Superseded())
        finally:
            self._copying.shutdown()
            if self._readers is not None:
                self._readers.close()

    async def begin(self, page_set: PageSet) -> None:
        """Pages of this plan come from now on, and are to fill a load of their own."""
        self._readers = self._readers or _Readers(page_set.plan.rows)
        self._plan, self._findings = page_set.plan, {}
        try:
            load = await self._copied(self.begin_load, page_set)
            if load is not None:
                sys.audit("efo_assets.staging_began")
                keys = await self._copied(self.warehouse.term_keys)
                self._readers.make_rows_by(TermKeys(*keys))
                filling = self.warehouse.filling(load, COLUMNS)
                self._filling = await self._copied(self._transaction.enter_context, filling)
        except EfoError as error:
            self._fail(error)

    async def read(self, task: Task, body: bytes) -> ReadPage:
        """Read one page; see `PageWork.read` for what it raises."""
        if self._readers is None:
            raise RuntimeError("no plan was begun")
        if self._filling is None:
            task = msgspec.structs.replace(task, wanted_rows=None)
        return await self._readers.read(task, body)

    async def take(self, page: ReadPage) -> None:
        """Copy the rows of a page that is in the manifest."""
        filling = self._filling
        if filling is None:
            return
        self._findings[page.entry.key] = page.findings
        try:
            if page.undecodable:
                kind = RecordRejected if page.is_rejected else PageStoreError
                raise kind(page.undecodable)  # noqa: TRY301  # it drops the load as well
            await self._copied(filling.write, page.rows)
        except Exception as error:  # noqa: BLE001  # a defect is raised again
            # Rows that were waiting when the first of them failed fail for the same reason.
            if self._filling is filling:
                self._fail(await self._drop(error))

    async def drop(self) -> None:
        """Drop the load that is being filled, if any: its pages are of no use any more."""
        await self._drop(_Superseded())

    async def finish(self) -> Load | None:
        """Keep what was filled, once the pages are proven to be the whole; the load, if any."""
        filling = self._filling
        if filling is None:
            return None
        findings = Findings()
        # In the order of pages, however they came, samples are the same each time.
        for spec in self._plan.pages():
            findings.add(self._findings[spec.key])
        # OLS lists owl:Thing as a class of a few ontologies; it is no term.
        expected_terms = self._plan.rows - findings.counts["owl_thing"]
        try:
            load = await self._copied(
                partial(filling.finish, findings.as_facts(), expected_terms=expected_terms)
            )
            await self._copied(self._end, None)
        except Exception as error:  # noqa: BLE001  # a defect is raised again
            self._fail(await self._drop(error))
            return None
        self._filling = None
        sys.audit("efo_assets.tables_filled")
        return load

    async def settle(self) -> None:
        """Wait until no page is being read."""
        if self._readers is not None:
            await self._readers.settle()

    async def _copied(self, work: Callable[..., T], *values: Any) -> T:
        """Do something in the thread that the connection belongs to, after all that waits there."""
        return await asyncio.get_running_loop().run_in_executor(self._copying, work, *values)

    async def _drop(self, error: BaseException) -> BaseException:
        """Drop the load that is being filled, if any; `error` in the words of the warehouse."""
        if self._filling is not None:
            self._filling = None
            try:
                await self._copied(self._end, error)
            except Exception as said:  # noqa: BLE001  # returned
                return said
        return error

    def _end(self, error: BaseException | None) -> None:
        """End the transaction, well or not."""
        if error is None:
            self._transaction.close()
        else:
            self._transaction.__exit__(type(error), error, error.__traceback__)

    def _fail(self, error: BaseException) -> None:
        if self.is_strict or not isinstance(error, EfoError):
            raise error
        _log.warning("%s Pages go on coming, and are staged when all are there.", error)


async def replay(reader: OnePass, page_set: PageSet) -> Load:
    """Read all pages of a complete download and fill a load with them.

    Raises:
        PageStoreError: a page is missing, or isn't what was stored.
        RecordRejected: a value can't be a key in PostgreSQL.
        WarehouseError: PostgreSQL is lost, full or refuses.
    """

    async def take(specs: Iterator[PageSpec]) -> None:
        for spec in specs:
            await reader.take(await reader.read(task_of_kept(page_set, spec), b""))

    with page_set.held():
        await reader.begin(page_set)
        specs = page_set.plan.pages()
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(REPLAYED_AT_ONCE):
                    group.create_task(take(specs))
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from failures.exceptions[0].__cause__
        # One that is strict raises why it has none.
        return cast("Load", await reader.finish())
