"""`efo-assets serve`: the embedded PostgreSQL for programs that speak TCP."""

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from efo_assets.errors import DatabaseUnavailable
from efo_assets.sample.server import running_sample
from efo_assets.warehouse.embedded import embedded_server, remove
from efo_assets.warehouse.serving import PASSWORD_FILE, served
from efo_assets_tests.commands import free_port
from efo_assets_tests.databases import connected
from efo_assets_tests.warehouse.stopping import stop_server


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    remove(tmp_path)


@contextmanager
def serving(environment: dict[str, str]) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """The command in a process of its own, and the URL that it prints."""
    words = [sys.executable, "-m", "efo_assets", "serve", "--port", "0"]
    with subprocess.Popen(
        words,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def test_programs_read_what_is_loaded_meanwhile_and_can_do_nothing_else(data_dir: Path) -> None:
    environment = os.environ | {"EFO_DATA_DIR": str(data_dir)}
    with serving(environment) as (process, url), running_sample(classes=120) as ols:
        file = data_dir / PASSWORD_FILE
        password = file.read_text().strip().rpartition(":")[2]
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert len(password) >= 32
        assert password not in url
        load = subprocess.run(
            [sys.executable, "-m", "efo_assets", "load"],
            env=environment | {"EFO_OLS_URL": ols.url},
            capture_output=True,
            text=True,
            check=False,
        )
        assert load.returncode == 0, load.stderr
        with psycopg.connect(url, autocommit=True) as reader:
            assert reader.execute("select count(*) >= 100 from efo_terms").fetchone() == (True,)
            assert reader.execute("select count(*) from efo_search('diseese')").fetchone()
            assert reader.execute("select is_current from efo_release").fetchone() == (True,)
            assert reader.execute("show listen_addresses").fetchone() == ("127.0.0.1",)
            reader.execute("create temp table annotations (term text, name text)")
            for refused in (
                "delete from efo_terms",
                "create table mine ()",
                "create schema mine",
                "set role efo",
                "select pg_read_file('/etc/passwd')",
                "alter system set listen_addresses = '*'",
                "select lo_create(0)",
                "select lo_from_bytea(0, 'mine')",
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    reader.execute(refused)
            reader.execute("alter role efo_guest password 'mine'")
            reader.execute("alter role efo_guest set statement_timeout = '1ms'")
            reader.execute("alter role efo_guest in database efo set search_path = pg_catalog")
            commands = [each.read_bytes() for each in Path("/proc").glob("[0-9]*/cmdline")]
            assert not any(password.encode() in each for each in commands)
            for login in ({"user": "efo"}, {"password": "wrong"}):
                with pytest.raises(psycopg.OperationalError, match="password"):
                    psycopg.connect(make_conninfo(url.partition("?")[0], **login))
            process.send_signal(signal.SIGTERM)
            said, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        assert password not in said
        assert "Traceback" not in said
        with pytest.raises(psycopg.OperationalError, match="refused"):
            psycopg.connect(url)
    with serving(environment) as (_, url), psycopg.connect(url) as reader:
        assert file.read_text().strip().endswith(f":{password}"), "programs may keep it"
        assert reader.execute("show statement_timeout").fetchone() == ("0",)
        assert reader.execute("select count(*) >= 100 from efo_terms").fetchone() == (True,)


@pytest.mark.parametrize("number", [None, signal.SIGINT])
def test_a_server_that_somebody_stops_is_waited_for_no_longer(
    data_dir: Path, number: signal.Signals | None
) -> None:
    with serving(os.environ | {"EFO_DATA_DIR": str(data_dir)}) as (process, url):
        with psycopg.connect(url) as reader:
            if number is not None:
                process.send_signal(signal.SIGSTOP)
            stop_server(reader)
        if number is not None:
            process.send_signal(number)
            process.send_signal(signal.SIGCONT)
        said, _ = process.communicate(timeout=30)
    port = url.partition("?")[0].rpartition(":")[2].partition("/")[0]
    sentence = f"The embedded PostgreSQL at 127.0.0.1:{port} was stopped by somebody else"
    if number is None:
        assert process.returncode == 1
        assert said.splitlines()[-1].startswith(sentence)
    else:
        assert (process.returncode, said.splitlines()[-1]) == (0, "Ended.")
    assert said.count("\n") <= 2


def test_who_still_reads_is_ended_while_a_load_goes_on(data_dir: Path) -> None:
    with ExitStack() as load:
        with served(data_dir, "public", 0) as url:
            target = load.enter_context(embedded_server(data_dir))
            reader = psycopg.connect(url, autocommit=True)
        with connected(target) as connection:
            assert connection.execute("select 1").fetchone() == (1,)
        with pytest.raises(psycopg.OperationalError):
            reader.execute("select 1")
        with pytest.raises(psycopg.OperationalError, match="not permitted to log in"):
            psycopg.connect(url)


def test_what_can_not_be_served_is_one_sentence(data_dir: Path) -> None:
    with (
        embedded_server(data_dir),
        pytest.raises(DatabaseUnavailable, match="was started by another process, without port"),
        served(data_dir, "public", 0),
    ):
        pass
    with (
        served(data_dir, "public", 0),
        pytest.raises(DatabaseUnavailable, match="Another `efo-assets serve` serves"),
        served(data_dir, "public", 0),
    ):
        pass
    other = data_dir / "other"
    try:
        with (
            served(data_dir, "public", port := free_port()),
            pytest.raises(DatabaseUnavailable, match=f"Port {port} of 127.0.0.1 is taken"),
            served(other, "public", port),
        ):
            pass
    finally:
        remove(other)
    link = other / PASSWORD_FILE
    other.mkdir(exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to("/dev/null")
    with pytest.raises(DatabaseUnavailable, match="can't be written"), served(other, "public", 0):
        pass
