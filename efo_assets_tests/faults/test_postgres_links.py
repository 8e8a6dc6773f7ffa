"""Servers that restart and links that break: published exactly once, whole, in the same run."""

import logging
import queue
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from efo_assets.errors import DatabaseUnavailable, LoadInProgress
from efo_assets.sample.server import running_sample
from efo_assets.settings import DatabaseTarget
from efo_assets.warehouse import session
from efo_assets.warehouse.warehouse import Warehouse
from efo_assets_tests.databases import connected
from efo_assets_tests.faults.cluster import Cluster, running_cluster
from efo_assets_tests.faults.marked import (
    audited,
    publications,
    publish_marked,
    release_published,
)
from efo_assets_tests.faults.pg_proxy import (
    Action,
    PgProxy,
    Script,
    Statement,
    need_vanishing,
    running_proxy,
    vanish,
)
from efo_assets_tests.graph.materializing import Graph

LOOK_TIMEOUT_S = 30.0
QUICK_CLIENT = {
    "keepalives_idle": 1,
    "keepalives_interval": 1,
    "keepalives_count": 2,
    "tcp_user_timeout": 2_000,
}
QUICK_SERVER = {
    "keepalive_idle_s": 1,
    "keepalive_interval_s": 1,
    "keepalive_count": 2,
    "user_timeout_ms": 2_000,
}
LONGEST_SILENCE_S = 60


@pytest.fixture(scope="module")
def cluster(clusters: Path) -> Iterator[Cluster]:
    with running_cluster(clusters / "links") as running:
        yield running


@pytest.fixture
def fresh(cluster: Cluster) -> Cluster:
    cluster.run("drop database efo with (force)", "create database efo owner efo_owner")
    return cluster


@pytest.fixture
def proxied(database: DatabaseTarget) -> Iterator[tuple[PgProxy, Warehouse]]:
    with running_proxy(database) as (proxy, target), Warehouse(target) as warehouse:
        yield proxy, warehouse


def once(text: str, action: Action) -> Script:
    """Take the action at the first statement that begins so, and forward all others."""
    if action in (Action.VANISH_BEFORE, Action.VANISH_AFTER):
        need_vanishing()
    left = [action]

    def script(statement: Statement) -> Action:
        begins = statement.sql.lower().startswith(text)
        return left.pop() if left and begins else Action.FORWARD

    return script


def leftovers(target: DatabaseTarget) -> tuple[int, int]:
    """Schemas of loads, and advisory locks."""
    with connected(target) as connection:
        row = connection.execute(
            "select (select count(*) from pg_namespace where nspname like 'efo_load_%'),"
            " (select count(*) from pg_locks where locktype = 'advisory' and database ="
            "  (select oid from pg_database where datname = current_database()))"
        ).fetchone()
    assert row is not None
    return row


@pytest.mark.fault("D01")
def test_a_server_that_comes_up_is_waited_for(
    fresh: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    fresh.stop()
    starting = threading.Thread(target=fresh.start)

    class StartAtTheFirstComplaint(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "waiting for PostgreSQL" in record.getMessage() and not starting.ident:
                starting.start()

    handler = StartAtTheFirstComplaint()
    session._log.addHandler(handler)
    try:
        with Warehouse(fresh.owner_over_tcp) as warehouse:
            warehouse.prepare()
    finally:
        session._log.removeHandler(handler)
        starting.join()
    assert session.CONNECT_PATIENCE_S <= LONGEST_SILENCE_S
    assert "waiting for PostgreSQL at 127.0.0.1" in caplog.text


@pytest.mark.fault("D02")
def test_a_restart_in_the_middle_of_copy_costs_no_page_and_no_run(
    fresh: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        running_sample(classes=200, seed=3) as sample,
        running_proxy(fresh.owner) as (proxy, target),
    ):
        copying = threading.Event()

        def script(statement: Statement) -> Action:
            is_copy = statement.sql.startswith("copy ") and "synonyms" in statement.sql
            if is_copy and not copying.is_set():
                copying.set()
                fresh.restart("fast")
            return Action.FORWARD

        proxy.follow(script)
        graph = Graph(monkeypatch, target, tmp_path, sample.url)
        graph.configure(EFO_PAGE_SIZE="50")
        assert graph.materialize().success
        pages = [
            (each.query.get("isObsolete"), each.query["page"])
            for each in sample.requests
            if each.query.get("size") == "50"
        ]
    assert copying.is_set()
    assert len(pages) == len(set(pages))
    assert len(publications(fresh.owner)) == 1
    assert leftovers(fresh.owner)[0] == 1


@pytest.mark.fault("D03")
def test_a_crash_in_publication_leaves_the_old_release_and_the_run_goes_on(fresh: Cluster) -> None:
    seen: list[int] = []

    def script(statement: Statement) -> Action:
        if not seen and 'delete from "public"."efo_xrefs"' in statement.sql:
            fresh.restart("immediate")
            seen.append(release_published(fresh.owner))
        return Action.FORWARD

    with running_proxy(fresh.owner) as (proxy, target), Warehouse(target) as warehouse:
        publish_marked(warehouse, 1)
        load = audited(warehouse, 2)
        proxy.follow(script)
        assert warehouse.publish(load).is_new
    assert seen == [1]
    assert release_published(fresh.owner) == 2
    assert publications(fresh.owner) == [("1",), ("2",)]


class EndingBackends:
    """Ends a backend at its statement of each of these numbers, one backend after the other."""

    def __init__(
        self, admin: psycopg.Connection, database: DatabaseTarget, numbers: list[int]
    ) -> None:
        self._admin = admin
        self._database = database
        self._left = list(numbers)
        self._statements: Counter[int] = Counter()
        self.stood: queue.SimpleQueue[int] = queue.SimpleQueue()
        """The release that was published after each end."""

    def __call__(self, statement: Statement) -> Action:
        backend = statement.backend_pid
        self._statements[backend] += 1
        if self._left and self._statements[backend] == self._left[0]:
            self._left.pop(0)
            self._admin.execute("select pg_terminate_backend(%s, 5000)", [backend])
            self.stood.put(release_published(self._database))
        return Action.FORWARD


@pytest.mark.fault("D04")
def test_a_backend_that_is_ended_at_any_statement_of_publication_harms_nothing(
    proxied: tuple[PgProxy, Warehouse], database: DatabaseTarget, server: DatabaseTarget
) -> None:
    proxy, warehouse = proxied
    publish_marked(warehouse, 1)
    statements: list[str] = []
    load = audited(warehouse, 2)
    warehouse._writer.release()

    def listen(statement: Statement) -> Action:
        statements.append(statement.sql)
        return Action.FORWARD

    proxy.follow(listen)
    warehouse.publish(load)
    transaction = statements[: statements.index("COMMIT") + 1]
    assert len(transaction) > 20
    with connected(server, dbname=database.parameters["dbname"], autocommit=True) as admin:
        half = (len(transaction) + 1) // 2
        for number in range(1, half + 1):
            version = number + 2
            load = audited(warehouse, version)
            warehouse._writer.release()
            # Of three tries two are ended; the ledger is asked in fewer statements than half.
            targets = [each for each in (number, number + half) if each <= len(transaction)]
            ending = EndingBackends(admin, database, targets)
            proxy.follow(ending)
            assert warehouse.publish(load).is_new
            for target in targets:
                # The next try may be done before we look.
                stood = ending.stood.get(timeout=LOOK_TIMEOUT_S)
                assert stood in (version - 1, version), transaction[target - 1]
            assert release_published(database) == version
    expected = [(str(version),) for version in range(1, half + 3)]
    assert publications(database) == expected


@pytest.mark.fault("D05")
@pytest.mark.fault("D06")
@pytest.mark.parametrize(
    ("text", "action", "stands_meanwhile"),
    [
        ('update "public"."efo_terms"', Action.CUT_BEFORE, 1),
        ('update "public"."efo_terms"', Action.VANISH_BEFORE, 1),
        ('update "public"."efo_terms"', Action.VANISH_AFTER, 1),
        ("commit", Action.CUT_BEFORE, 1),
        ("commit", Action.CUT_AFTER, 2),
        ("commit", Action.VANISH_BEFORE, 1),
        ("commit", Action.VANISH_AFTER, 2),
    ],
)
def test_a_link_that_breaks_in_publication_publishes_exactly_once(  # noqa: PLR0917  # fixtures
    proxied: tuple[PgProxy, Warehouse],
    database: DatabaseTarget,
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    action: Action,
    stands_meanwhile: int,
) -> None:
    for name, value in QUICK_CLIENT.items():
        monkeypatch.setitem(session._SESSION_OPTIONS, name, value)
    proxy, warehouse = proxied
    publish_marked(warehouse, 1)
    load = audited(warehouse, 2)
    warehouse._writer.release()
    breaking = once(text, action)
    seen: list[int] = []

    def script(statement: Statement) -> Action:
        if "pg_terminate_backend" in statement.sql:
            seen.append(release_published(database))
        return breaking(statement)

    proxy.follow(script)
    began = time.monotonic()
    done = warehouse.publish(load)
    assert time.monotonic() - began < LONGEST_SILENCE_S
    assert done.is_new
    assert seen == [stands_meanwhile], "before the ledger is asked"
    assert release_published(database) == 2
    assert publications(database) == [("1",), ("2",)]
    assert leftovers(database) == (2, 0), "this release's load and the one before"


@pytest.mark.fault("D06")
@pytest.mark.parametrize("action", [Action.CUT_BEFORE, Action.CUT_AFTER])
def test_a_ledger_that_cannot_be_asked_at_first_is_asked_again(
    proxied: tuple[PgProxy, Warehouse], database: DatabaseTarget, action: Action
) -> None:
    proxy, warehouse = proxied
    publish_marked(warehouse, 1)
    load = audited(warehouse, 2)
    warehouse._writer.release()
    breaking = once("commit", action)

    def script(statement: Statement) -> Action:
        taken = breaking(statement)
        if taken is action:
            proxy.refusals = 3
        return taken

    proxy.follow(script)
    assert warehouse.publish(load).is_new
    assert proxy.refusals == 0
    assert publications(database) == [("1",), ("2",)]


@pytest.mark.fault("D06")
def test_a_ledger_that_stays_out_of_reach_is_said_and_the_next_run_publishes_nothing_twice(
    proxied: tuple[PgProxy, Warehouse], database: DatabaseTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, warehouse = proxied
    publish_marked(warehouse, 1)
    load = audited(warehouse, 2)
    warehouse._writer.release()
    breaking = once("commit", Action.CUT_AFTER)

    def script(statement: Statement) -> Action:
        taken = breaking(statement)
        if taken is Action.CUT_AFTER:
            monkeypatch.setattr(session, "CONNECT_PATIENCE_S", 0.3)
            proxy.refusals = 1_000
        return taken

    proxy.follow(script)
    with pytest.raises(DatabaseUnavailable, match=r"efo_meta\.releases, which could not be asked"):
        warehouse.publish(load)
    proxy.refusals = 0
    assert not warehouse.publish(load).is_new
    assert publications(database) == [("1",), ("2",)]


@pytest.mark.fault("X16")
def test_the_lock_of_a_host_that_vanishes_is_free_within_two_minutes(
    fresh: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_vanishing()
    patient = session.SERVER_KEEPALIVE
    assert patient["user_timeout_ms"] / 1000 + patient["keepalive_interval_s"] <= 120
    monkeypatch.setattr(session, "SERVER_KEEPALIVE", QUICK_SERVER)
    for name, value in QUICK_CLIENT.items():
        monkeypatch.setitem(session._SESSION_OPTIONS, name, value)
    warehouse = Warehouse(fresh.owner_over_tcp)
    warehouse.prepare()
    holder = warehouse._writer._holder
    assert holder is not None
    end = socket.socket(fileno=socket.dup(holder.fileno()))
    with end, Warehouse(fresh.owner) as second:
        vanish(end)
        with pytest.raises(LoadInProgress):
            second.prepare()
        with connected(fresh.owner, autocommit=True) as waiting:
            waiting.execute("set statement_timeout = '60s'")
            waiting.execute(
                "select pg_advisory_lock(hashtext('efo_assets writer'), hashtext('public'))"
            )
        second.prepare()
    warehouse.__exit__()


@pytest.mark.fault("D23")
@pytest.mark.parametrize("limit", ["role", "server"])
def test_with_too_many_connections_it_waits_for_one(
    fresh: Cluster, caplog: pytest.LogCaptureFixture, limit: str
) -> None:
    taken = [connected(fresh.owner)]
    if limit == "role":
        fresh.run("alter role efo_owner connection limit 1")
    else:
        with suppress(psycopg.OperationalError):
            while True:
                taken.append(connected(fresh.owner))

    def leave() -> None:
        for each in taken:
            each.close()

    leaving = threading.Thread(target=leave)

    class LeaveAtTheFirstComplaint(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "waiting for PostgreSQL" in record.getMessage() and not leaving.ident:
                leaving.start()

    handler = LeaveAtTheFirstComplaint()
    session._log.addHandler(handler)
    try:
        with session.connect(fresh.owner) as connection:
            assert connection.execute("select 1").fetchone() == (1,)
    finally:
        session._log.removeHandler(handler)
        leaving.join()
        fresh.run("alter role efo_owner connection limit -1")
    assert re.search("waiting for PostgreSQL at", caplog.text)
