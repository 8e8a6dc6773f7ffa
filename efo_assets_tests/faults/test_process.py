"""What can happen to the process itself, its machine and its folders: group X beside the kills."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from efo_assets.errors import PageStoreError, SettingsError
from efo_assets.settings import Settings
from efo_assets_tests.faults import broken
from efo_assets_tests.faults.engine import load_once
from efo_assets_tests.faults.fake_ols import Asked, Script
from efo_assets_tests.faults.one_load import (
    FAILED,
    HEADROOM_VARIABLE,
    ROOT,
    Nursery,
    ended,
    started,
)
from efo_assets_tests.faults.worlds import World

PATIENCE_S = 60.0
MEGABYTE = 1_000_000
STUBBORN = """
import asyncio, sys
from efo_assets.pipeline.interruption import run_to_its_end

async def stubborn():
    try:
        print("begun", flush=True)
        await asyncio.Event().wait()
    finally:
        print("tidying", flush=True)
        await asyncio.Event().wait()

run_to_its_end(stubborn())
"""


@pytest.mark.fault("X07")
@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_at_once_what_would_not_end(second: signal.Signals) -> None:
    command = [sys.executable, "-c", STUBBORN]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "tidying\n"
        process.send_signal(second)
        assert process.wait(10) == -second


class Held:
    """Holds back the answers to pages until they are let go, or gives another."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.let_go = threading.Event()

    def __call__(self, asked: Asked) -> None:
        if not asked.is_probe and not self.let_go.is_set():
            self.asked.set()
            self.let_go.wait(PATIENCE_S)


@contextmanager
def following(world: World, script: Script) -> Iterator[None]:
    """Let the fake OLS follow `script`."""
    before, world.ols.script = world.ols.script, script
    try:
        yield
    finally:
        world.ols.script = before


@pytest.mark.fault("X07")
def test_two_signals_in_the_download_leave_what_one_would(loaded: World) -> None:
    loaded.ols.release = 2
    held = Held()
    with following(loaded, held):
        process = started(loaded.settings)
        assert held.asked.wait(PATIENCE_S)
        began_s = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
        assert ended(process).returncode != 0
        assert time.monotonic() - began_s < 10
        held.let_go.set()
    assert loaded.oracle.assert_well() == 1
    load_once(loaded.settings)
    assert loaded.oracle.assert_well() == 2


@pytest.mark.fault("X09")
def test_out_of_memory_ends_the_load_and_the_next_goes_on(loaded: World, nursery: Nursery) -> None:
    loaded.ols.release = 2
    huge = broken.body(msgspec.json.encode({"elements": [{"iri": "x" * 60 * MEGABYTE}]}))
    with following(loaded, broken.on_page(huge, page=5, times=None)):
        done = nursery.load(loaded.settings, **{HEADROOM_VARIABLE: str(64 * MEGABYTE)})
    assert done.returncode == FAILED
    # A thread that finds no room for its stack is told of in Python's own words.
    assert re.search("MemoryError|can't start new thread", done.stderr)
    assert loaded.oracle.assert_well() == 1
    kept = loaded.kept
    loaded.ols.refused = kept
    loaded.ols.log.clear()
    load_once(loaded.settings)
    assert loaded.oracle.assert_well() == 2
    assert not set(loaded.ols.asked) & kept


@pytest.mark.fault("X13")
def test_what_another_version_of_the_code_kept_is_made_anew(loaded: World) -> None:
    for manifest in loaded.settings.data_dir.rglob("manifest.jsonl"):
        header, *others = manifest.read_bytes().splitlines(keepends=True)
        old = json.loads(header)[1] | {"format": 1}
        manifest.write_bytes(json.dumps(old).encode() + b"\n" + b"".join(others))
    loaded.oracle.ask("update efo_meta.loads set format_version = 0 returning 1")
    assert load_once(loaded.settings).written == 0
    assert len(loaded.ols.asked) > 10, "fetched again"
    assert loaded.oracle.ask("select count(*) from efo_meta.loads") == [(2,)], "staged again"
    assert loaded.oracle.assert_well() == 1


@pytest.mark.fault("X14")
@pytest.mark.fault("O16")
@pytest.mark.parametrize("is_same_machine", [True, False])
def test_of_two_loads_at_once_one_publishes_and_one_ends(
    loaded: World, tmp_path_factory: pytest.TempPathFactory, *, is_same_machine: bool
) -> None:
    loaded.ols.release = 2
    elsewhere = loaded.settings.data_dir if is_same_machine else tmp_path_factory.mktemp("other")
    held = Held()
    with following(loaded, held):
        first = started(loaded.settings)
        assert held.asked.wait(PATIENCE_S)
        second = ended(started(replace(loaded.settings, data_dir=elsewhere)))
        held.let_go.set()
        assert ended(first).returncode == 0
    assert second.returncode == FAILED
    assert second.stderr.startswith("Another load into schema public is under way (efo_assets ")
    assert loaded.oracle.assert_well() == 2
    assert loaded.oracle.ask("select count(*) from efo_meta.releases") == [(2,)]


@pytest.mark.fault("X15")
def test_the_lock_of_a_load_that_is_killed_is_free_within_a_second(loaded: World) -> None:
    loaded.ols.release = 2
    held = Held()
    with following(loaded, held):
        process = started(loaded.settings)
        assert held.asked.wait(PATIENCE_S)
        process.kill()
        assert ended(process).returncode == -signal.SIGKILL
        held.let_go.set()
        began_s = time.monotonic()
        locks = "select 1 from pg_locks where locktype = 'advisory' and database = {}"
        here = locks.format("(select oid from pg_database where datname = current_database())")
        while loaded.oracle.ask(here):
            assert time.monotonic() - began_s < 1.0
    load_once(loaded.settings)
    assert loaded.oracle.assert_well() == 2


@pytest.mark.fault("X18")
def test_a_clock_that_jumps_makes_no_difference(
    loaded: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded.ols.release = 2
    real, day_s, calls = time.time, 86_400.0, iter(range(1 << 30))
    monkeypatch.setattr(time, "time", lambda: real() + day_s * (next(calls) % 3 - 1))
    load_once(loaded.settings)
    monkeypatch.undo()
    assert loaded.oracle.assert_well() == 2
    off = "select max(abs(extract(epoch from now() - {}))) < 300 from efo_meta.{}"
    for column, table in (
        ("published_at", "releases"),
        ("created_at", "loads"),
        ("staged_at", "loads"),
        ("checked_at", "verdicts"),
    ):
        assert loaded.oracle.ask(off.format(column, table)) == [(True,)], column


@pytest.mark.fault("X18")
def test_a_wrong_time_zone_makes_no_difference(loaded: World, nursery: Nursery) -> None:
    loaded.ols.release = 2
    done = nursery.load(loaded.settings, TZ="Pacific/Kiritimati", PGTZ="America/Caracas")
    assert done.returncode == 0, done.stderr
    assert loaded.oracle.assert_well() == 2
    since = "extract(epoch from now() - published_at)"
    assert loaded.oracle.ask(f"select bool_and(abs({since}) < 300) from efo_meta.releases") == [
        (True,)
    ]


@pytest.mark.fault("X19")
def test_a_folder_that_is_read_only_is_named_before_anything_is_published(
    loaded: World, read_only: Path
) -> None:
    loaded.ols.release = 2
    with pytest.raises(PageStoreError) as caught:
        load_once(replace(loaded.settings, data_dir=read_only / "data"))
    assert str(read_only) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert loaded.oracle.assert_well() == 1


@pytest.fixture
def read_only(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder that nobody can write to, not even root."""
    folder = tmp_path_factory.mktemp("readonly")
    if os.geteuid() != 0:
        folder.chmod(0o555)
        yield folder
        folder.chmod(0o755)
        return
    mount = ["mount", "-t", "tmpfs", "-o", "ro,size=4k", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("mounting a disk takes more than root here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.fault("X19")
def test_without_a_home_everything_works(loaded: World) -> None:
    loaded.ols.release = 2
    process = started(loaded.settings, HOME="", XDG_CACHE_HOME="", PGSERVICEFILE="")
    assert ended(process).returncode == 0
    assert loaded.oracle.assert_well() == 2


@pytest.mark.fault("X19")
def test_a_home_that_is_nobodys_is_refused_by_name() -> None:
    with pytest.raises(SettingsError, match=r"^EFO_DATA_DIR takes .*~nobody-here-42/efo"):
        Settings.from_environment({"EFO_DATA_DIR": "~nobody-here-42/efo"})


@pytest.mark.fault("X11")
def test_a_disk_that_is_full_at_any_write_leaves_no_half_page(
    loaded: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded.ols.release = 2
    real, calls = os.write, iter(range(1 << 30))

    def full(descriptor: int, data: bytes) -> int:
        number = next(calls)
        if number % 3 == 1:
            real(descriptor, bytes(data)[: len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, data)

    for _ in range(4):
        with monkeypatch.context() as patched:
            patched.setattr("efo_assets.files.os.write", full)
            with pytest.raises(PageStoreError, match="No space left"):
                load_once(loaded.settings)
        assert loaded.oracle.assert_well() == 1
    load_once(loaded.settings)
    assert loaded.oracle.assert_well() == 2
