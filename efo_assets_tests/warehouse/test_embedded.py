"""The embedded PostgreSQL: shared by processes, stopped by the last, opening no folder."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from efo_assets.errors import DatabaseUnavailable
from efo_assets.settings import DatabaseTarget
from efo_assets.warehouse import embedded
from efo_assets.warehouse.embedded import embedded_server, remove
from efo_assets_tests.databases import connected
from efo_assets_tests.small_disk import small_disk

USER = """
import sys
from pathlib import Path
from efo_assets.warehouse.embedded import embedded_server
with embedded_server(Path(sys.argv[1]), is_durable=False) as target:
    print(target.parameters["host"], flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def data_dir() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="efo-e-"))
    folder.chmod(0o755)
    yield folder
    remove(folder)
    shutil.rmtree(folder)


def answers(target: DatabaseTarget) -> bool:
    try:
        with connected(target) as connection:
            return connection.execute("select 1").fetchone() == (1,)
    except psycopg.OperationalError:
        return False


def another_user(data_dir: Path) -> "subprocess.Popen[str]":
    """A process that uses the server until its standard input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", USER, str(data_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip(), "it is up"
    return process


def leave(process: "subprocess.Popen[str]") -> None:
    process.communicate("")


def test_it_runs_as_long_as_the_block_and_keeps_its_rows(data_dir: Path) -> None:
    with (
        embedded_server(data_dir, is_durable=False) as target,
        connected(target) as connection,
    ):
        connection.execute("create table kept as select 7 as n")
    assert not answers(target)
    with (
        embedded_server(data_dir, is_durable=False) as target,
        connected(target) as connection,
    ):
        assert connection.execute("select n from kept").fetchone() == (7,)


def test_uses_in_one_process_are_counted(data_dir: Path) -> None:
    with embedded_server(data_dir, is_durable=False) as outer:
        with embedded_server(data_dir, is_durable=False) as inner:
            assert inner.parameters == outer.parameters
        assert answers(outer)
    assert not answers(outer)


def test_the_last_process_stops_it(data_dir: Path) -> None:
    other = another_user(data_dir)
    with embedded_server(data_dir, is_durable=False) as target:
        pass
    assert answers(target)
    leave(other)
    assert not answers(target)


def test_a_server_that_does_not_end_by_itself_is_ended(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "STOP_TIMEOUT_S", 1)
    with embedded_server(data_dir) as target, connected(target) as connection:
        # A process that hears no signal keeps PostgreSQL from ending, as crash recovery may.
        os.kill(connection.info.backend_pid, signal.SIGSTOP)
        running = data_dir / "postgres-18" / "postmaster.pid"
        assert running.exists()
        connection.close()
    assert not running.exists()


def test_two_processes_that_start_at_once_share_one_server(data_dir: Path) -> None:
    users = [
        subprocess.Popen(
            [sys.executable, "-c", USER, str(data_dir)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    hosts = {user.stdout.readline().strip() for user in users if user.stdout is not None}
    for user in users:
        leave(user)
    assert len(hosts) == 1
    assert "" not in hosts
    assert [user.returncode for user in users] == [0, 0, 0]


def test_a_killed_user_leaves_a_server_that_the_next_one_adopts_and_stops(data_dir: Path) -> None:
    other = another_user(data_dir)
    other.send_signal(signal.SIGKILL)
    other.communicate()
    with embedded_server(data_dir, is_durable=False) as target:
        assert answers(target)
    assert not answers(target)


def test_a_forked_child_stops_nothing(data_dir: Path) -> None:
    with embedded_server(data_dir, is_durable=False) as target:
        script = (
            "import os, sys\n"
            "from pathlib import Path\n"
            "from efo_assets.warehouse.embedded import embedded_server\n"
            "with embedded_server(Path(sys.argv[1]), is_durable=False):\n"
            "    child = os.fork()\n"
            "    if not child: sys.exit(0)\n"
            "    os.waitpid(child, 0)\n"
        )
        subprocess.run([sys.executable, "-c", script, str(data_dir)], check=True)
        assert answers(target)


@pytest.mark.fault("X24")
def test_programs_are_started_without_a_fork(data_dir: Path) -> None:
    """Libraries hang handlers on a fork, and gRPC's crash in the child of a busy server."""
    script = (
        "import ctypes, sys\n"
        "from pathlib import Path\n"
        "from efo_assets.warehouse.embedded import embedded_server\n"
        "libc = ctypes.CDLL(None)\n"
        "getattr(libc, '__register_atfork')(None, None, libc.abort, None)\n"
        "with embedded_server(Path(sys.argv[1]), is_durable=False):\n"
        "    pass\n"
    )
    subprocess.run([sys.executable, "-c", script, str(data_dir)], check=True)


def test_a_program_that_is_ended_or_missing_says_so() -> None:
    account = embedded._Account.chosen()
    assert account.run("/bin/sh", "-c", "kill -9 $$").stderr.endswith("ended by signal 9")
    if account.is_other:
        assert "error: /no/initdb: No such file" in account.run("/no/initdb").stderr


def test_a_half_made_cluster_is_made_anew(data_dir: Path) -> None:
    with embedded_server(data_dir, is_durable=False):
        pass
    remove(data_dir)
    (data_dir / "postgres-18.new-1").mkdir()
    with embedded_server(data_dir, is_durable=False) as target:
        assert answers(target)


def test_a_path_too_long_for_a_socket_works(data_dir: Path) -> None:
    long = data_dir / ("long" * 25)
    with embedded_server(long, is_durable=False) as target:
        assert answers(target)
        assert len(target.parameters["host"]) < 100
    remove(long)


ODD = r"""a $HOME "b" 'c' \d `id` ;&|<*>? %s #ü-数据"""


@pytest.mark.fault("X24")
@pytest.mark.parametrize("name", [ODD, "comma, and comma", "-D", " blank "])
def test_a_path_of_any_characters_works(data_dir: Path, name: str) -> None:
    odd = data_dir / name
    for _ in range(2):
        with embedded_server(odd, is_durable=False) as target:
            assert answers(target)
    remove(odd)
    assert not list(odd.glob("postgres-18/"))


@pytest.mark.fault("X24")
def test_a_path_longer_than_postgresql_takes_is_refused(data_dir: Path) -> None:
    longest = data_dir.joinpath(*["long" * 50] * 5)
    with pytest.raises(DatabaseUnavailable, match=r"no path of 1,\d\d\d bytes .* a shorter one"):
        begin(longest)


@pytest.mark.fault("X24")
@pytest.mark.parametrize("is_closed", [False, True], ids=["open", "closed"])
@pytest.mark.parametrize("umask", [0o027, 0o077])
def test_the_umask_closes_nothing(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, umask: int, *, is_closed: bool
) -> None:
    # Where root's data directory is closed to others, the cluster and a copy of the programs.
    monkeypatch.setattr(embedded, "ROOTS_PLACE", data_dir / "place")
    home = data_dir / "home"
    home.mkdir(0o700 if is_closed else 0o755)
    before = os.umask(umask)
    try:
        with embedded_server(home / "new" / "data", is_durable=False) as target:
            assert answers(target)
    finally:
        os.umask(before)
    assert stat.S_IMODE((home / "new" / "data").stat().st_mode) == 0o755
    remove(home / "new" / "data")


def test_a_server_that_is_being_stopped_is_waited_for(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who told it to stop was killed before it had ended."""
    other = another_user(data_dir)
    other.send_signal(signal.SIGKILL)
    other.communicate()
    running = embedded._Server(data_dir, 18)
    running._find_place()
    with connected(running.target) as session:
        running._ctl("-m", "smart", "-W", "stop")
        give_up_at_s = time.monotonic() + 30
        while not running._is_stopping():
            assert time.monotonic() < give_up_at_s, "it waits for its sessions to end"
        monkeypatch.setattr(time, "sleep", lambda _: session.close())
        with embedded_server(data_dir, is_durable=False) as target:
            assert session.closed
            assert answers(target)


def test_what_was_removed_and_made_anew_is_stopped_by_its_own_users(data_dir: Path) -> None:
    earlier = another_user(data_dir)
    remove(data_dir)
    with embedded_server(data_dir, is_durable=False) as target:
        leave(earlier)
        assert answers(target)
    assert not answers(target)


def test_a_user_that_is_killed_before_the_database_is_made_leaves_it_to_the_next(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(embedded._Server, "_make_database", lambda _: None)
        patched.setattr(embedded._Server, "release", lambda _: None)
        with embedded_server(data_dir, is_durable=False) as target:
            pass
    with embedded_server(data_dir, is_durable=False):
        assert answers(target)
    del embedded._users_here[embedded._lock_path(data_dir, 18)]


def test_no_folder_of_others_is_opened(data_dir: Path) -> None:
    closed = data_dir / "closed"
    closed.mkdir(mode=0o700)
    with embedded_server(closed / "data", is_durable=False) as target:
        assert answers(target)
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700
        assert stat.S_IMODE(Path(target.parameters["host"]).stat().st_mode) == 0o700
    remove(closed / "data")


def test_only_the_owner_gets_to_the_socket(data_dir: Path) -> None:
    with embedded_server(data_dir, is_durable=False) as target:
        place = Path(target.parameters["host"])
        assert stat.S_IMODE(place.stat().st_mode) == 0o700
        assert place.stat().st_uid != 0, "PostgreSQL never runs as root"


def test_a_socket_folder_that_somebody_else_made_is_refused(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = data_dir / ("long" * 25)
    monkeypatch.setattr(tempfile, "tempdir", str(data_dir))
    server = embedded._Server(long, 18)
    long.mkdir()
    server._find_place()
    server._socket_dir.symlink_to(data_dir)
    with (
        pytest.raises(DatabaseUnavailable, match="belongs to somebody else"),
        embedded_server(long, is_durable=False),
    ):
        pass
    server._socket_dir.unlink()
    remove(long)


def test_a_data_directory_that_cannot_be_written_is_one_sentence(data_dir: Path) -> None:
    blocked = data_dir / "file"
    blocked.write_text("")
    with (
        pytest.raises(
            DatabaseUnavailable,
            match=r"file/data.* can't be started \(Not a directory\).*EFO_DATA_DIR",
        ),
        embedded_server(blocked / "data", is_durable=False),
    ):
        pass


@pytest.mark.fault("X11")
def test_a_disk_too_small_for_a_cluster_is_one_sentence(data_dir: Path) -> None:
    with small_disk(data_dir / "small", 3 << 20) as disk:
        disk.chmod(0o755)
        with pytest.raises(DatabaseUnavailable, match=r"can't be made \(could not .*No space left"):
            begin(disk)
        assert list(disk.glob("postgres-*/")) == []


def begin(data_dir: Path) -> None:
    with embedded_server(data_dir, is_durable=False):
        pass
