"""A disk that fills up: one sentence, nothing lost, and it goes on once there is room."""

import os
import pwd
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from efo_assets.sample.ontology import release
from efo_assets.sample.server import Sample
from efo_assets.settings import DatabaseTarget
from efo_assets_tests.databases import connected
from efo_assets_tests.graph.materializing import Graph, failure
from efo_assets_tests.oracle.rows import expected_rows
from efo_assets_tests.small_disk import small_disk

CLASSES = 400
SEED = 11
PAGE_SIZE = 50
DISK_BYTES = 64_000_000


class Disk:
    """A small file system and what fills it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill(self, leaving_bytes: int) -> None:
        """Leave so much room and no more."""
        with self._ballast.open("ab") as ballast:
            ballast.write(bytes(max(shutil.disk_usage(self.folder).free - leaving_bytes, 0)))

    def clear(self) -> None:
        """Give the room back."""
        self._ballast.unlink()


@pytest.fixture
def disk(clusters: Path) -> Iterator[Disk]:
    with small_disk(clusters / "disk", DISK_BYTES) as folder:
        yield Disk(folder)


@pytest.fixture
def graph(graph: Graph, disk: Disk) -> Graph:
    """Keeps its data on the small disk."""
    graph.configure(EFO_DATA_DIR=str(disk.folder / "data"), EFO_MAX_IN_FLIGHT="1")
    return graph


def assert_published_is_release(graph: Graph, number: int) -> None:
    assert graph.published()["terms"] == expected_rows(release(CLASSES, SEED, number)).terms


@pytest.mark.fault("X11")
def test_while_pages_are_kept(
    graph: Graph, sample: Sample, disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    assert graph.materialize().success
    assert "MB free" not in caplog.text
    sample.publish(2)
    disk.fill(leaving_bytes=60_000)
    said = failure(graph.materialize())
    assert "data has 0.1 MB free, and a load of 400 classes takes about 0.4 MB there" in caplog.text
    assert "The page store" in said
    assert "No space left on device" in said
    assert_published_is_release(graph, 1)
    disk.clear()
    assert graph.materialize().success
    assert_published_is_release(graph, 2)


@pytest.fixture
def small_tablespace(disk: Disk, server: DatabaseTarget) -> Iterator[str]:
    folder = disk.folder / "tablespace"
    folder.mkdir()
    if os.geteuid() == 0:
        account = pwd.getpwnam("nobody")
        os.chown(folder, account.pw_uid, account.pw_gid)
    name = "small_disk"
    with connected(server, autocommit=True) as admin:
        admin.execute(f"create tablespace {name} location '{folder}'")
        admin.execute(f"grant create on tablespace {name} to public")
        yield name
        admin.execute(f"drop tablespace {name}")


@pytest.mark.fault("D09")
def test_while_postgresql_takes_rows(
    small_tablespace: str, graph: Graph, sample: Sample, disk: Disk, tmp_path: Path
) -> None:
    graph.configure(EFO_DATA_DIR=str(tmp_path))
    assert graph.materialize().success
    sample.publish(2)
    graph.configure(PGOPTIONS=f"-c default_tablespace={small_tablespace}")
    disk.fill(leaving_bytes=300_000)
    said = failure(graph.materialize())
    assert "has no space left while" in said
    assert "No space left on device" in said
    assert_published_is_release(graph, 1)
    disk.clear()
    assert graph.materialize().success
    assert_published_is_release(graph, 2)
