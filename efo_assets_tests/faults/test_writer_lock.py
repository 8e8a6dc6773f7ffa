"""One writer at a time: across processes, behind a pooler, and free when its holder dies."""

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from efo_assets.errors import LoadInProgress
from efo_assets.settings import DatabaseTarget
from efo_assets.warehouse import session
from efo_assets.warehouse.warehouse import Warehouse
from efo_assets_tests.commands import free_port
from efo_assets_tests.databases import connected
from efo_assets_tests.faults.marked import publications, publish_marked, release_published

POOL_SIZE = 6
HOLDER = """
import json, sys
from efo_assets.settings import DatabaseTarget
from efo_assets.warehouse.warehouse import Warehouse
with Warehouse(DatabaseTarget(json.loads(sys.argv[1]))) as warehouse:
    warehouse.prepare()
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def pooled(database: DatabaseTarget, clusters: Path) -> Iterator[DatabaseTarget]:
    """The database behind PgBouncer in transaction mode."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("PgBouncer is not installed (Debian: apt-get install pgbouncer)")
    given = database.parameters
    folder = clusters / f"pooler-{given['dbname']}"
    folder.mkdir()
    port = free_port()
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\n{given['dbname']} = host={given['host']} dbname={given['dbname']}"
        f" user={given['user']}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        f"auth_type = any\npool_mode = transaction\ndefault_pool_size = {POOL_SIZE}\n"
    )
    account = {"user": "nobody", "group": pwd.getpwnam("nobody").pw_gid, "extra_groups": []}
    process = subprocess.Popen(
        [program, str(folder / "pgbouncer.ini")],
        stderr=subprocess.DEVNULL,
        **(account if os.geteuid() == 0 else {}),  # type: ignore[call-overload]
    )
    try:
        target = DatabaseTarget({**given, "host": "127.0.0.1", "port": str(port)})
        session.connect(target).close()
        yield target
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(folder)


@pytest.fixture(params=["direct", "pooled"])
def target(request: pytest.FixtureRequest) -> DatabaseTarget:
    name = "database" if request.param == "direct" else "pooled"
    found: DatabaseTarget = request.getfixturevalue(name)
    return found


def holder(target: DatabaseTarget) -> "subprocess.Popen[str]":
    """Another process that holds the writer's lock until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, json.dumps(dict(target.parameters))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def locks(database: DatabaseTarget) -> int:
    with connected(database, autocommit=True) as asking:
        row = asking.execute(
            "select count(*) from pg_locks where locktype = 'advisory' and database ="
            " (select oid from pg_database where datname = current_database())"
        ).fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.fault("X14")
@pytest.mark.fault("X15")
@pytest.mark.fault("D23")
def test_the_second_loader_names_the_first_and_follows_when_that_one_is_killed(
    target: DatabaseTarget, database: DatabaseTarget
) -> None:
    first = holder(target)
    with first, Warehouse(target) as second:
        with pytest.raises(LoadInProgress) as caught:
            second.prepare()
        said = str(caught.value)
        assert f"(efo_assets {first.pid}@{socket.gethostname()}"[:40] in said
        assert ", since 20" in said
        began = time.monotonic()
        first.send_signal(signal.SIGKILL)
        while locks(database):
            assert time.monotonic() - began < 1.0
        second.prepare()
        assert locks(database) == 1
    assert locks(database) == 0


@pytest.mark.fault("X14")
def test_a_loader_that_lost_its_lock_to_another_goes_no_further(
    database: DatabaseTarget, server: DatabaseTarget
) -> None:
    with Warehouse(database) as first, Warehouse(database) as second:
        publish_marked(first, 1)
        lost = first._writer._holder
        assert lost is not None
        with connected(server, autocommit=True) as admin:
            admin.execute("select pg_terminate_backend(%s, 5000)", [lost.info.backend_pid])
        second.prepare()
        with pytest.raises(LoadInProgress):
            publish_marked(first, 2)
        assert publish_marked(second, 3).is_new
    assert publications(database) == [("1",), ("3",)]


@pytest.mark.fault("D23")
def test_releases_are_published_behind_a_pooler_and_its_other_users_feel_nothing(
    pooled: DatabaseTarget, database: DatabaseTarget
) -> None:
    asked = "select current_setting('search_path'), current_setting('statement_timeout'), (select"
    asked += " count(*) from pg_prepared_statements)"
    with (
        Warehouse(pooled) as warehouse,
        connected(pooled, autocommit=True) as neighbour,
    ):
        for version in (1, 2, 3):
            assert publish_marked(warehouse, version).is_new
            assert release_published(pooled) == version
            for _ in range(POOL_SIZE * 2):
                seen = neighbour.execute(asked, prepare=False).fetchone()
                assert seen == ('"$user", public', "0", 0)
        with Warehouse(pooled) as second, pytest.raises(LoadInProgress, match="efo_assets"):
            second.prepare()
        warehouse._writer.release()
        with session.connect(pooled) as connection:
            assert connection.execute("show search_path").fetchone() == ("pg_catalog, pg_temp",)
    assert locks(database) == 0
