"""No room for PostgreSQL's log: the server ends itself, the old release stays, the run goes on."""

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from efo_assets.warehouse import embedded
from efo_assets.warehouse.warehouse import Warehouse
from efo_assets_tests.faults.cluster import Cluster, running_cluster
from efo_assets_tests.faults.marked import (
    audited,
    publications,
    publish_marked,
    release_published,
)
from efo_assets_tests.faults.pg_proxy import Action, Statement, running_proxy
from efo_assets_tests.small_disk import small_disk

DISK_BYTES = 100_000_000


@pytest.fixture
def log_disk(clusters: Path) -> Iterator[Path]:
    with small_disk(clusters / "log-disk", DISK_BYTES) as folder:
        yield folder


@pytest.fixture
def cluster(clusters: Path, log_disk: Path) -> Iterator[Cluster]:
    with running_cluster(clusters / "full-log") as running:
        running.stop()
        log = running._server._cluster / "pg_wal"
        account = embedded._Account.chosen()
        moved = log_disk / "pg_wal"
        shutil.copytree(log, moved)
        shutil.rmtree(log)
        for each in (moved, *moved.rglob("*")):
            os.chown(each, account.uid, account.gid)
        log.symlink_to(moved)
        running.start()
        yield running


def fill_until_it_ends(cluster: Cluster, ballast: Path) -> None:
    """Leave no room and ask for new log files until the server is gone."""
    ballast.write_bytes(bytes(shutil.disk_usage(ballast.parent).free))
    with suppress(psycopg.OperationalError):
        while True:
            cluster.run("create table if not exists public.filler ()", "drop table public.filler")
            cluster.run("select pg_switch_wal()")


@pytest.mark.fault("D10")
def test_a_full_log_disk_in_publication_leaves_the_old_release_and_resumes_with_room(
    cluster: Cluster, log_disk: Path
) -> None:
    ballast = log_disk / "ballast"
    filled: list[str] = []

    def script(statement: Statement) -> Action:
        if not filled and statement.sql.startswith('delete from "public"."efo_xrefs"'):
            fill_until_it_ends(cluster, ballast)
            filled.append(cluster._server._log.read_text())
            ballast.unlink()
            cluster.stop("immediate")
            cluster.start()
            assert release_published(cluster.owner) == 1
        return Action.FORWARD

    with running_proxy(cluster.owner) as (proxy, target), Warehouse(target) as warehouse:
        publish_marked(warehouse, 1)
        load = audited(warehouse, 2)
        proxy.follow(script)
        assert warehouse.publish(load).is_new
    assert "PANIC" in filled[0]
    assert "No space left on device" in filled[0]
    assert release_published(cluster.owner) == 2
    assert publications(cluster.owner) == [("1",), ("2",)]
