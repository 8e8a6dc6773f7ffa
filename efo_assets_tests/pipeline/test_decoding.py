"""Decoding in several processes: the same rows and findings as in one, and nothing left behind."""

import asyncio
import gzip
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil
import pytest

from efo_assets.errors import PageStoreError, RecordRejected
from efo_assets.ols.client import OlsClient
from efo_assets.ols.download import download
from efo_assets.ols.page_store import PageStore
from efo_assets.ols.stored_pages import (
    FORMAT,
    MANIFEST,
    Completed,
    Header,
    PageSet,
    Record,
    line_of,
)
from efo_assets.pipeline import decoding
from efo_assets.sample.server import Sample
from efo_assets.warehouse.tables import COPIED

CLASSES = 700
PAGE_SIZE = 50
CHUNK_BYTES = 1 << 12
PATIENCE_S = 30.0


@pytest.fixture
def pages(sample: Sample, tmp_path: Path) -> PageSet:
    async def fetch() -> PageSet:
        async with OlsClient(sample.url) as client:
            store = PageStore(tmp_path / "pages")
            return (await download(client, store, "efo", page_size=PAGE_SIZE)).page_set

    return asyncio.run(fetch())


@pytest.fixture
def two_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "WORTH_A_PROCESS_BYTES", 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})


def decoded(pages: PageSet, folder: Path) -> tuple[dict[str, bytes], dict[str, object]]:
    files, findings = decoding.decode(pages, folder)
    rows = {table.name: b"".join(files.file(table).chunks(CHUNK_BYTES)) for table in COPIED}
    files.close()
    return rows, findings.as_facts()


def replace_body(pages: PageSet, old: bytes, new: bytes) -> None:
    """Put another text of the same length into the stored pages, with hashes that agree."""
    records: list[Record] = [Header(FORMAT, pages.plan), Completed(pages.serial)]
    for entry in pages.entries.values():
        path = pages.folder / entry.file_name
        body = gzip.compress(gzip.decompress(path.read_bytes()).replace(old, new))
        path.write_bytes(body)
        sha256 = hashlib.sha256(body).hexdigest()
        records.append(msgspec.structs.replace(entry, sha256=sha256))
    (pages.folder / MANIFEST).write_bytes(b"".join(map(line_of, records)))


@pytest.fixture
def _all_processes_end() -> Iterator[None]:
    before = set(psutil.Process().children(recursive=True))
    yield
    assert set(psutil.Process().children(recursive=True)) <= before


@pytest.mark.usefixtures("two_processes")
def test_two_processes_give_what_one_gives(
    pages: PageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []
    run = subprocess.Popen

    def counted(*args: object, **options: object) -> object:
        started.append(args)
        return run(*args, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "Popen", counted)
    by_two = decoded(pages, tmp_path / "two")
    assert len(started) == 2
    monkeypatch.setattr(decoding, "MOST_PROCESSES", 1)
    by_one = decoded(pages, tmp_path / "one")
    assert len(started) == 2
    assert by_two == by_one
    assert all(len(rows) > CHUNK_BYTES for rows in by_one[0].values())
    assert list((tmp_path / "two").iterdir()) == []


@pytest.mark.usefixtures("two_processes", "_all_processes_end")
def test_a_value_that_cannot_be_a_key_is_named_from_any_process(
    pages: PageSet, tmp_path: Path
) -> None:
    replace_body(pages, b'"no colon ', b'"' + b"x" * 3000 + b"no colon ")
    with pytest.raises(RecordRejected, match=r"has a cross reference of 3,\d+ bytes"):
        decoded(pages, tmp_path / "copy")


@pytest.mark.usefixtures("two_processes", "_all_processes_end")
def test_a_page_that_is_gone_is_named_from_any_process(pages: PageSet, tmp_path: Path) -> None:
    (pages.folder / "current-00009.json.gz").unlink()
    with pytest.raises(PageStoreError, match="page 9 of the current list"):
        decoded(pages, tmp_path / "copy")


@pytest.mark.usefixtures("two_processes", "_all_processes_end")
def test_a_defect_of_ours_keeps_its_traceback(
    pages: PageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "sitecustomize.py").write_text("import msgspec; del msgspec.json")
    with pytest.raises(RuntimeError, match=r"(?s)decoding process ended .*AttributeError"):
        decoded(pages, tmp_path / "copy")


@pytest.mark.fault("X01")
def test_a_decoding_process_ends_when_nobody_reads_what_it_says(
    pages: PageSet, tmp_path: Path
) -> None:
    # What its parent does before it is killed: it starts it, and then it is gone.
    parent = (
        "import os, sys, pathlib\n"
        "from efo_assets.pipeline import decoding\n"
        "from efo_assets.ols.stored_pages import open_page_set\n"
        "decoding.WORTH_A_PROCESS_BYTES = 1\n"
        "os.sched_getaffinity = lambda _: {0, 1}\n"
        "decoding._result = lambda *_: os.kill(os.getpid(), 9)\n"
        "decoding.decode(open_page_set(pathlib.Path(sys.argv[1])), pathlib.Path(sys.argv[2]))\n"
    )
    victim = [sys.executable, "-c", parent, str(pages.folder), str(tmp_path / "copy")]
    assert subprocess.run(victim, check=False).returncode == -signal.SIGKILL
    orphans = [
        each
        for each in psutil.process_iter(["cmdline"])
        if str(pages.folder) in " ".join(each.info["cmdline"] or [])
    ]
    _, alive = psutil.wait_procs(orphans, timeout=PATIENCE_S)
    assert alive == []
