"""Power loss, simulated: what is not yet durable is dropped at every moment, and the rest is read.

The page store writes to a real folder. Beside it stands a model of a disk: bytes become durable by
fsync of their file, names by fsync of their folder, or at once on a file system that orders names
before bytes. Whatever the power leaves, an acknowledged page is there and no half page is taken.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from efo_assets import files
from efo_assets.ols.page_store import PageFolder, PageStore
from efo_assets.ols.plan import Plan, make_plan
from efo_assets.ols.release import Release, Totals
from efo_assets.ols.stored_pages import PageEntry

BODIES = (b"the first page", b"the second page, a longer one", b"the third page")
PAGE_SIZE = 10
RELEASE = Release("efo", "http://v/1", "1.0", "2030-01-01", None, Totals(25, 0, 25))

Tree = Mapping[Path, bytes]


class Moment(NamedTuple):
    """What a disk would hold if the power went now."""

    acknowledged: int
    """Pages that the store said it keeps."""
    synced: Tree
    """Where names are durable when their folder is synced."""
    names_first: Tree
    """Where names are durable at once, and bytes are not."""


class Disk:
    """Looks at a real folder after each call that changes it, and knows what is files."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.acknowledged = 0
        self.moments: list[Moment] = []
        self._bytes: dict[int, bytes] = {}
        self._names: dict[int, dict[str, int]] = {root.stat().st_ino: {}}

    def synced(self, descriptor: int) -> None:
        """Make durable what an fsync makes files."""
        found, path = os.fstat(descriptor), f"/proc/self/fd/{descriptor}"
        if Path(path).is_dir():
            with os.scandir(path) as entries:
                self._names[found.st_ino] = {each.name: each.inode() for each in entries}
        else:
            self._bytes[found.st_ino] = Path(path).resolve().read_bytes()

    def changed(self) -> None:
        """Remember this moment."""
        for folder in (path for path in self.root.rglob("*") if path.is_dir()):
            self._names.setdefault(folder.stat().st_ino, {})
        now = {
            path: self._bytes.get(path.stat().st_ino, b"")
            for path in self.root.rglob("*")
            if path.is_file()
        }
        inode = self.root.stat().st_ino
        synced = dict(self._durable(inode, self.root))
        self.moments.append(Moment(self.acknowledged, synced, now))

    def _durable(self, inode: int, folder: Path) -> Iterator[tuple[Path, bytes]]:
        for name, below in self._names.get(inode, {}).items():
            if below in self._names:
                yield from self._durable(below, folder / name)
            else:
                yield folder / name, self._bytes.get(below, b"")


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    root = tmp_path / "disk"
    root.mkdir()
    made = Disk(root)

    def watched(name: str, first: Callable[[int], None] | None = None) -> None:
        real = getattr(os, name)

        def call(*arguments: Any, **options: Any) -> Any:
            done = real(*arguments, **options)
            if first is not None:
                first(arguments[0])
            made.changed()
            return done

        monkeypatch.setattr(os, name, call)

    watched("fsync", made.synced)
    for name in ("write", "replace", "mkdir", "unlink", "truncate"):
        watched(name)
    return made


def test_the_plan_of_this_module_has_its_pages() -> None:
    assert len(list(_plan().pages())) == len(BODIES)


@pytest.mark.fault("X20")
@pytest.mark.parametrize("order", ["synced", "names_first"])
def test_whenever_the_power_goes_acknowledged_pages_are_there_whole(
    disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    _keep_pages(disk)
    monkeypatch.undo()
    assert len(disk.moments) > 15
    taken = [
        _taken_after(getattr(moment, order), disk.root, tmp_path / str(number))
        for number, moment in enumerate(disk.moments)
    ]
    for moment, pages_taken in zip(disk.moments, taken, strict=True):
        assert len(pages_taken) >= moment.acknowledged, "an acknowledged page is lost"
        assert list(pages_taken) == list(BODIES[: len(pages_taken)]), "half a page was taken"
    assert taken[-1] == list(BODIES)


@pytest.mark.fault("X20")
def test_without_fsync_the_model_finds_pages_that_are_lost(
    disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "sync_folder", lambda _: None)
    _keep_pages(disk)
    monkeypatch.undo()
    assert _taken_after(disk.moments[-1].synced, disk.root, tmp_path / "after") == []


def _plan() -> Plan:
    return make_plan(RELEASE, PAGE_SIZE, None, one_list=False)


def _keep_pages(disk: Disk) -> None:
    store = PageStore(disk.root / "data" / "pages")
    with store.lock("efo"), store.folder(_plan()) as folder:
        for spec, body in zip(_plan().pages(), BODIES, strict=True):
            entry = _entry(spec.key.number, spec.rows, body)
            files.write_whole(folder.page_set.folder / entry.file_name, body)
            folder.add(entry)
            disk.acknowledged += 1
            disk.changed()
        store.complete(folder)


def _entry(number: int, rows: int, body: bytes) -> PageEntry:
    digest = hashlib.sha256(body).hexdigest()
    return PageEntry(
        "current", number, rows, len(body), len(body), digest, "identity", "http://a", "http://b"
    )


def _taken_after(left: Tree, root: Path, folder: Path) -> list[bytes]:
    """The pages that a store uses again where only `left` is left, in order."""
    for path, body in left.items():
        copy = folder / path.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(body)
    store = PageStore(folder / "data" / "pages")
    with store.lock("efo"), store.folder(_plan()) as opened:
        return [_body(opened, entry) for _, entry in sorted(opened.page_set.entries.items())]


def _body(folder: PageFolder, entry: PageEntry) -> bytes:
    return (folder.page_set.folder / entry.file_name).read_bytes()
