"""Requests to one OLS over all runs: never more than the budget, shared, and given back."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from efo_assets.errors import DatabaseRefused
from efo_assets.ols.pace import Pause
from efo_assets.pipeline.budget import CERTAIN_S, LEAST_DRAIN_S, SharedBudget
from efo_assets.sample.catalogue import Member
from efo_assets.sample.server import Sample, running_sample
from efo_assets.settings import DatabaseTarget
from efo_assets.warehouse.request_slots import RequestSlots
from efo_assets.warehouse.warehouse import Warehouse
from efo_assets_tests.databases import ask, connected
from efo_assets_tests.faults.downloading import Pauses

BUDGET = 4
SERVICE = "ols.example.org:443"
MEMBERS = [Member(f"member{number}", 1_000) for number in range(4)]


@pytest.fixture
def target(database: DatabaseTarget) -> DatabaseTarget:
    """A database that a run has prepared."""
    with Warehouse(database) as warehouse:
        warehouse.prepare()
    return database


class Run:
    """Asks for more requests than there can be, as long as it may; ends each when it is told."""

    def __init__(self, target: DatabaseTarget, pause: Pause | None = None, most: int = 50) -> None:
        self.slots = RequestSlots(target, SERVICE, BUDGET)
        self.budget = SharedBudget(self.slots, most, pause or Pauses())
        self.under_way = 0
        self.begun = asyncio.Condition()

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[None]:
        """Ask as long as the block runs, and then until the last request has ended."""
        is_over = asyncio.Event()

        async def ask() -> None:
            while not is_over.is_set():
                async with self.budget.request():
                    self.under_way += 1
                    async with self.begun:
                        self.begun.notify_all()
                    await asyncio.sleep(0.001)
                    self.under_way -= 1

        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            for _ in range(2 * BUDGET):
                group.create_task(ask())
            yield
            is_over.set()


async def until(condition: Callable[[], bool], *runs: Run) -> None:
    """Wait until it holds, looking whenever the first of these runs begins a request."""
    async with asyncio.timeout(30), runs[0].begun:
        await runs[0].begun.wait_for(lambda: _sound(*runs) and condition())


async def quiet(run: Run) -> None:
    """Wait until no request has begun for a while."""
    with suppress(TimeoutError):
        while True:
            async with asyncio.timeout(0.6), run.begun:
                await run.begun.wait()


def _sound(*runs: Run) -> bool:
    assert sum(run.under_way for run in runs) <= BUDGET
    assert sum(len(run.slots.held) for run in runs) <= BUDGET
    return True


def test_one_run_has_all_and_gives_half_to_a_second_that_gives_them_back(
    target: DatabaseTarget,
) -> None:
    async def story() -> None:
        first, second = Run(target), Run(target)
        async with first.budget, first.asking():
            await until(lambda: first.under_way == BUDGET, first, second)
            async with second.budget, second.asking():
                await until(lambda: second.under_way == BUDGET // 2, second, first)
                await until(lambda: first.under_way == BUDGET // 2, first, second)
            await until(lambda: first.under_way == BUDGET, first, second)

    asyncio.run(story())
    assert ask(target, "select * from efo_meta.ols_slots") == []
    assert ask(target, "select 1 from pg_locks where locktype = 'advisory'") == []


def test_more_runs_than_slots_wait_for_each_other(target: DatabaseTarget) -> None:
    async def story() -> int:
        ended = 0

        async def once(run: Run) -> None:
            nonlocal ended
            async with run.budget, run.budget.request():
                _sound(*runs)
                await asyncio.sleep(0.001)
            ended += 1

        runs = [Run(target) for _ in range(2 * BUDGET)]
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            for run in runs:
                group.create_task(once(run))
        return ended

    assert asyncio.run(story()) == 2 * BUDGET


@pytest.mark.fault("H33")
def test_what_ols_tells_one_run_the_others_heed(target: DatabaseTarget) -> None:
    async def story() -> tuple[int, int, list[float]]:
        pauses = Pauses()
        told, other = Run(target), Run(target, pauses)
        async with told.budget, other.budget:
            async with told.budget.request(), other.budget.request():
                told.budget.tell(None)
                told.budget.tell(40.0)
            async with asyncio.timeout(30):
                while not pauses.seconds or not other.budget.overloads_elsewhere:
                    async with other.budget.request():
                        await asyncio.sleep(0.001)
            counted = told.budget.overloads_elsewhere, other.budget.overloads_elsewhere
        # It holds for a run that begins later, too, and not for another OLS.
        for service in (SERVICE, "elsewhere:443"):
            late = RequestSlots(target, service, BUDGET)
            async with SharedBudget(late, 1, pauses) as budget, budget.request():
                pass
        return *counted, pauses.seconds

    by_itself, elsewhere, (seconds, later) = asyncio.run(story())
    assert (by_itself, elsewhere) == (0, 1)
    assert 30 < seconds <= 40
    assert 30 < later <= seconds


@pytest.mark.fault("X27")
def test_slots_of_a_killed_run_are_used_when_ols_has_ended_its_requests(
    target: DatabaseTarget,
) -> None:
    killed = RequestSlots(target, SERVICE, BUDGET)
    killed.open()
    assert killed.take(BUDGET - 1, drain_s=70) == 0.0
    assert killed._holder is not None
    killed._holder.close()  # no more does PostgreSQL see of a process that is killed
    paused_s: list[float] = []

    async def story() -> None:
        is_over = asyncio.Event()

        async def pause(seconds: float) -> None:
            paused_s.append(seconds)
            await is_over.wait()

        run = Run(target, pause)
        async with run.budget:
            async with run.budget.request():
                assert run.slots.held == {BUDGET}, "the one that nobody left"
                assert run.slots.draining == {1, 2, 3}
            is_over.set()
            async with run.asking():
                await until(lambda: run.under_way == BUDGET, run)

    asyncio.run(story())
    assert paused_s == [70]


@pytest.mark.fault("D42")
def test_a_lost_connection_is_made_again_and_its_slots_drain(target: DatabaseTarget) -> None:
    pauses = Pauses()

    async def story() -> None:
        run = Run(target, pauses)
        async with run.budget, run.asking():
            await until(lambda: run.under_way == BUDGET, run)
            ended = (
                "select pg_terminate_backend(pid) from pg_locks"
                " where locktype = 'advisory' and objid = 0"
            )
            assert await asyncio.to_thread(ask, target, ended) == [(True,)]
            await until(lambda: bool(pauses.seconds), run)
            await until(lambda: run.under_way == BUDGET, run)

    asyncio.run(story())
    assert all(seconds >= CERTAIN_S + LEAST_DRAIN_S for seconds in pauses.seconds)


@pytest.mark.fault("D42")
def test_while_postgresql_does_not_answer_no_request_is_sent(
    target: DatabaseTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seconds in (("CERTAIN_S", 0.3), ("LOOKED_EVERY_S", 0.05)):
        monkeypatch.setattr(f"efo_assets.pipeline.budget.{name}", seconds)

    async def story() -> None:
        run = Run(target)
        async with run.budget, run.asking():
            await until(lambda: run.under_way == BUDGET, run)
            ((pid,),) = ask(target, "select pid from pg_locks where locktype = 'advisory' limit 1")
            os.kill(pid, signal.SIGSTOP)
            try:
                await quiet(run)
            finally:
                os.kill(pid, signal.SIGCONT)
            await until(lambda: run.under_way == BUDGET, run)

    asyncio.run(story())


@pytest.mark.fault("D42")
def test_without_postgresql_no_request_is_sent_and_a_sentence_says_why(
    server: DatabaseTarget, target: DatabaseTarget
) -> None:
    name = target.parameters["dbname"]
    there, gone = psycopg.sql.Identifier(name), psycopg.sql.Identifier(f"{name}_gone")
    rename = psycopg.sql.SQL("alter database {} rename to {}")

    async def story() -> None:
        run = Run(target)
        with closing(connected(server, autocommit=True)) as admin:
            async with run.budget:
                async with run.budget.request():
                    pass
                admin.execute(
                    "select pg_terminate_backend(pid, 10000) from pg_stat_activity"
                    " where datname = %s",
                    [name],
                )
                admin.execute(rename.format(there, gone))
                try:
                    async with asyncio.timeout(30):
                        while True:
                            async with run.budget.request():
                                await asyncio.sleep(0.001)
                finally:
                    admin.execute(rename.format(gone, there))

    with pytest.raises(DatabaseRefused, match="does not accept the database name"):
        asyncio.run(story())


def started(
    sample: Sample, member: Member, database: DatabaseTarget, folder: Path
) -> "subprocess.Popen[str]":
    """`efo-assets load` of one ontology into a schema of its own."""
    environment = {
        **os.environ,
        "EFO_OLS_URL": sample.url,
        "EFO_ONTOLOGY": member.ontology,
        "EFO_SCHEMA": member.ontology,
        "EFO_DATABASE_URL": psycopg.conninfo.make_conninfo(**database.parameters),
        "EFO_DATA_DIR": str(folder / member.ontology),
        "EFO_PAGE_SIZE": "20",
        "EFO_OLS_BUDGET": "6",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "efo_assets", "load"],
        env=environment,
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.fault("X27")
def test_runs_in_several_processes_never_pass_the_budget_and_one_may_be_killed(
    database: DatabaseTarget, tmp_path: Path
) -> None:
    with running_sample(ontology="sample", catalogue=MEMBERS, base_latency_ms=100) as sample:
        runs = [started(sample, member, database, tmp_path) for member in MEMBERS]
        victim = runs[0]
        assert victim.stderr is not None
        for line in victim.stderr:
            if "pages" in line:  # it is among them
                break
        victim.send_signal(signal.SIGKILL)
        victim.communicate()
        runs[0] = started(sample, MEMBERS[0], database, tmp_path)
        said: list[Any] = [run.communicate(timeout=120)[1] for run in runs]
        assert [run.returncode for run in runs] == [0] * len(runs), said
        assert sample.max_in_flight == 6
    for member in MEMBERS:
        query = f"select count(*) from {member.ontology}.terms"
        assert ask(database, query) == [(member.classes,)]
