"""Readers all the while: every statement sees one whole release, whatever breaks meanwhile."""

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg import errors as pg

from efo_assets.settings import DatabaseTarget
from efo_assets.warehouse.tables import TABLES
from efo_assets.warehouse.warehouse import Warehouse
from efo_assets_tests.databases import connected
from efo_assets_tests.faults.marked import (
    audited,
    publications,
    publish_marked,
    release_published,
    release_seen,
)
from efo_assets_tests.faults.pg_proxy import Action, PgProxy, Statement, running_proxy

READERS = 3
STATEMENTS_IN_PUBLICATION = 34
"""Roughly: BEGIN to COMMIT of a publication in which every table changes, and some after it."""
STATEMENTS_IN_FIRST_PUBLICATION = 120
"""Roughly: BEGIN to COMMIT, with all the definitions between."""
ALLOWED_LOCKS = {"AccessShareLock", "RowShareLock", "RowExclusiveLock"}
LOCKS = """
select distinct l.mode
from pg_locks as l
join pg_class as c on c.oid = l.relation
join pg_stat_activity as a on a.pid = l.pid
where c.relname = any (%s) and c.relnamespace = 'public'::regnamespace
    and a.application_name like 'efo_assets %%'
"""


class Readers:
    """Threads that each run one statement over all tables again and again."""

    def __init__(self, target: DatabaseTarget) -> None:
        self._target = target
        self._more = threading.Condition()
        self._is_over = False
        self.statements = 0
        self.failures: list[BaseException] = []
        self._threads = [threading.Thread(target=self._read) for _ in range(READERS)]

    @contextmanager
    def reading(self) -> Iterator[None]:
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._is_over = True
            for thread in self._threads:
                thread.join()

    def wait_for(self, statements: int) -> None:
        """Until so many statements have been answered, or one saw a mixture."""
        with self._more:
            self._more.wait_for(lambda: self.failures or self.statements >= statements)

    def _read(self) -> None:
        try:
            with connected(self._target, autocommit=True) as connection:
                newest = 0
                while not self._is_over:
                    try:
                        seen = release_seen(connection)
                    except pg.UndefinedTable:
                        seen = 0
                    assert seen >= newest, "a release that was replaced came back"
                    newest = seen
                    with self._more:
                        self.statements += 1
                        self._more.notify_all()
        except BaseException as error:  # noqa: BLE001  # told by the main thread
            with self._more:
                self.failures.append(error)
                self._more.notify_all()


class Trouble:
    """Breaks one statement of every second publication, and looks at the locks of all."""

    def __init__(self, admin: psycopg.Connection[Any], seed: int) -> None:
        self._admin = admin
        self._random = random.Random(seed)
        self.locks: set[str] = set()
        self.struck = 0

    def plan(
        self, proxy: PgProxy, version: int, statements: int = STATEMENTS_IN_PUBLICATION
    ) -> None:
        number = self._random.randint(1, statements) if version % 2 else 0
        how = self._random.choice(["terminate", "cut before", "cut after"])

        def script(statement: Statement) -> Action:
            rows = self._admin.execute(LOCKS, [[table.name for table in TABLES]]).fetchall()
            self.locks.update(mode for (mode,) in rows)
            if statement.number != number:
                return Action.FORWARD
            self.struck += 1
            if how == "terminate":
                self._admin.execute(
                    "select pg_terminate_backend(%s, 5000)", [statement.backend_pid]
                )
                return Action.FORWARD
            return Action.CUT_BEFORE if how == "cut before" else Action.CUT_AFTER

        proxy.follow(script)


@pytest.mark.fault("D04")
@pytest.mark.fault("D06")
@pytest.mark.parametrize(
    ("number", "statements_each"),
    [
        pytest.param(6, 40, id="few"),
        pytest.param(200, 500, id="200", marks=pytest.mark.campaign),
    ],
)
def test_no_reader_sees_a_mixture_while_releases_are_published_among_faults(
    database: DatabaseTarget, server: DatabaseTarget, number: int, statements_each: int
) -> None:
    readers = Readers(database)
    with (
        connected(server, dbname=database.parameters["dbname"], autocommit=True) as admin,
        running_proxy(database) as (proxy, target),
        Warehouse(target) as warehouse,
    ):
        publish_marked(warehouse, 1)
        trouble = Trouble(admin, seed=number)
        with readers.reading():
            for version in range(2, number + 2):
                load = audited(warehouse, version)
                trouble.plan(proxy, version)
                assert warehouse.publish(load).is_new
                assert release_published(database) == version
                readers.wait_for((version - 1) * statements_each)
                assert not readers.failures, readers.failures
    assert not readers.failures, readers.failures
    assert readers.statements >= number * statements_each
    assert trouble.struck >= number // 2 - number // 20
    assert "RowExclusiveLock" in trouble.locks
    assert trouble.locks <= ALLOWED_LOCKS
    assert len(publications(database)) == number + 1


@pytest.mark.fault("D04")
@pytest.mark.fault("O27")
@pytest.mark.parametrize(
    "number", [pytest.param(4, id="few"), pytest.param(60, id="60", marks=pytest.mark.campaign)]
)
def test_readers_see_nothing_or_all_of_a_first_release_that_is_published_among_faults(
    database: DatabaseTarget, server: DatabaseTarget, number: int
) -> None:
    struck = 0
    with (
        connected(server, dbname=database.parameters["dbname"], autocommit=True) as admin,
        running_proxy(database) as (proxy, target),
    ):
        for version in range(1, number + 1):
            trouble, readers = Trouble(admin, seed=version), Readers(database)
            with Warehouse(target) as warehouse, readers.reading():
                load = audited(warehouse, version)
                readers.wait_for(READERS)
                trouble.plan(proxy, version, STATEMENTS_IN_FIRST_PUBLICATION)
                assert warehouse.publish(load).is_new
                readers.wait_for(readers.statements + 2 * READERS)
            assert not readers.failures, readers.failures
            assert release_published(database) == version
            struck += trouble.struck
            with connected(database, autocommit=True) as owner:
                tables = ", ".join(f"public.{table.name}" for table in TABLES)
                owner.execute(f"drop table {tables} cascade")
                owner.execute("drop schema efo_meta cascade")
    assert struck >= number // 4
