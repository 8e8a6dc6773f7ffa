"""The page store: every page as OLS sent it, one folder for each download that can be resumed.

    <root>/<ontology>/.lock                           held while a download writes
    <root>/<ontology>/<fingerprint>-s500-two/         release, page size, lists
        manifest.jsonl                                header, one line a page, `completed`
        current-00012.json.gz                         the body as received

A file gets its name after its bytes are on the disk, and its line in the manifest after that, so
whatever dies in between leaves a page that is fetched again and never one that is half there. Names
are made of numbers and of words listed here; a symbolic link inside the store is refused. Other
accounts may read pages, which are public, and neither write nor lock anything. HTTP lives
elsewhere; pages are read in `page_set`.
"""

import contextlib
import fcntl
import os
import re
import shutil
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec

from efo_assets.errors import PageStoreError
from efo_assets.files import (
    FILE_MODE,
    FOLDER_MODE,
    drop_unfinished_line,
    make_folder,
    sync_folder,
    write_all,
    write_whole,
)
from efo_assets.ols.plan import PageKey, Plan
from efo_assets.ols.stored_pages import (
    FORMAT,
    MANIFEST,
    Completed,
    Header,
    PageEntry,
    PageSet,
    explained,
    folder_name,
    is_being_read,
    is_there,
    read_manifest,
)

KEPT_SETS = 2
"""Complete downloads kept: the one in use and the one before it."""
KEPT_UNFINISHED = 1
"""Interrupted downloads kept to be resumed."""
_LOCK_MODE = 0o600
"""Whoever can open a lock file can hold it."""
_ONTOLOGY = re.compile(r"[a-z][a-z0-9_-]{0,30}")
_SET_FOLDER = re.compile(r"[0-9a-f]{16}-s[0-9]{1,7}(-first[0-9]{1,9})?-(one|two)")


class PageFolder:
    """The folder of one download, for writing. Its methods may be called from any thread."""

    def __init__(self, path: Path, plan: Plan) -> None:
        self.path = path
        self.plan = plan
        self.entries: dict[PageKey, PageEntry] = {}
        self._serial = 0
        self._closed = False
        self._writing = threading.Lock()

    def open(self) -> None:
        """Take over what is there and matches its hash; begin anew where nothing can be used."""
        with explained(self.path, "be opened"):
            found = read_manifest(self.path)
            if found is None or found.plan != self.plan:
                _remove(self.path)
                self.path.mkdir(FOLDER_MODE)
                sync_folder(self.path.parent)
                self._append(Header(FORMAT, self.plan))
                return
            drop_unfinished_line(self.path / MANIFEST)
            self._serial = found.serial
            self.entries = {e.key: e for e in found.entries.values() if is_there(self.path, e)}

    def close(self) -> None:
        """Wait for the page being written, and take no other."""
        with self._writing:
            self._closed = True

    def put(self, entry: PageEntry, body: bytes) -> None:
        """Keep `body`, exactly as received, so that it outlives us from now on."""
        with self._writing, explained(self.path, "take a page", self.kept):
            if self._closed:
                raise PageStoreError(f"{self.path} takes no page any more: its download has ended.")
            write_whole(self.path / entry.file_name, body)
            sys.audit("efo_assets.page_written")
            self._append(entry)
            self.entries[entry.key] = entry

    def complete(self, serial: int) -> None:
        """Declare the download whole."""
        with self._writing, explained(self.path, "be completed", self.kept):
            self._append(Completed(serial))
            self._serial = serial

    @property
    def kept(self) -> str:
        """What is kept here, in words."""
        return f"{len(self.entries)} pages are kept in {self.path}"

    def page_set(self) -> PageSet:
        """Give the pages for reading."""
        return PageSet(self.path, self.plan, self.entries, self._serial)

    def _append(self, line: Header | PageEntry | Completed) -> None:
        path = self.path / MANIFEST
        drop_unfinished_line(path)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
        with open(os.open(path, flags, FILE_MODE), "ab", buffering=0) as manifest:  # noqa: PTH123
            write_all(manifest.fileno(), msgspec.json.encode(line) + b"\n")
            os.fsync(manifest.fileno())


class PageStore:
    """All downloads kept below `root`."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    @contextlib.contextmanager
    def lock(self, ontology: str) -> Iterator[None]:
        """Keep other downloads of `ontology` out of the store until the block ends.

        Raises:
            PageStoreError: another process holds the lock; the message names it.
        """
        folder = self._ontology_folder(ontology)
        with explained(folder, "be written"):
            for made in (self.root.parent, self.root, folder):
                make_folder(made)
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
            descriptor = os.open(folder / ".lock", flags, _LOCK_MODE)
        try:
            _lock_or_name_the_holder(descriptor, ontology, folder)
            yield
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def folder(self, plan: Plan) -> Iterator[PageFolder]:
        """Open the folder of `plan`; call it under the lock."""
        path = self._ontology_folder(plan.release.ontology) / folder_name(plan)
        _refuse_symlink(path)
        folder = PageFolder(path, plan)
        folder.open()
        try:
            yield folder
        finally:
            folder.close()

    def complete(self, folder: PageFolder) -> PageSet:
        """Declare the download in `folder` whole and the newest, and drop what is superseded."""
        ontology = folder.plan.release.ontology
        newest = max((each.serial for each in self._sets(ontology)), default=0)
        made = folder.page_set()
        if not made.complete or made.serial < newest:
            folder.complete(newest + 1)
        self.prune(ontology, in_use=folder.path)
        return folder.page_set()

    def latest(self, ontology: str) -> PageSet | None:
        """Give the newest complete download, or None."""
        complete = [each for each in self._sets(ontology) if each.complete]
        return max(complete, key=_serial, default=None)

    def discard(self, folder: PageFolder) -> None:
        """Remove a download that turned out to be of no use, once no page is being written."""
        folder.close()
        with explained(folder.path, "be removed"):
            _remove(folder.path)

    def prune(self, ontology: str, in_use: Path | None = None) -> None:
        """Keep `in_use`, the newest complete downloads and the last one that can be resumed."""
        sets = list(self._sets(ontology))
        complete = sorted((each for each in sets if each.complete), key=_serial, reverse=True)
        unfinished = [each.folder for each in sets if not each.complete]
        keep = {each.folder for each in complete[:KEPT_SETS]} | {in_use}
        keep |= set(sorted(unfinished, key=_written_ns)[-KEPT_UNFINISHED:])
        for path in self._set_folders(ontology):
            if path not in keep and not is_being_read(path / MANIFEST):
                with explained(path, "be removed"):
                    _remove(path)

    def _sets(self, ontology: str) -> Iterator[PageSet]:
        for path in self._set_folders(ontology):
            with explained(path, "be read"):
                found = read_manifest(path)
            if found is not None:
                yield found

    def _set_folders(self, ontology: str) -> list[Path]:
        folder = self._ontology_folder(ontology)
        with explained(folder, "be read"):
            names = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
        paths = [folder / name for name in names if _SET_FOLDER.fullmatch(name)]
        for path in paths:
            _refuse_symlink(path)
        return paths

    def _ontology_folder(self, ontology: str) -> Path:
        if not _ONTOLOGY.fullmatch(ontology):
            raise PageStoreError(f"{ontology[:40]!r} is no ontology id ({_ONTOLOGY.pattern}).")
        path = self.root / ontology
        _refuse_symlink(path)
        return path


def _serial(page_set: PageSet) -> int:
    return page_set.serial


def _written_ns(folder: Path) -> int:
    return (folder / MANIFEST).stat().st_mtime_ns


def _refuse_symlink(path: Path) -> None:
    if path.is_symlink():
        raise PageStoreError(
            f"{path} is a symbolic link, and the page store holds none; remove it."
        )


def _remove(folder: Path) -> None:
    """Remove a folder of ours, the manifest first, so that half of it is never taken for a set."""
    if folder.exists():
        (folder / MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(folder)


def _lock_or_name_the_holder(descriptor: int, ontology: str, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip()
        raise PageStoreError(
            f"Another download of {ontology} is writing to {folder} "
            f"({holder or 'unknown process'}); wait for it, or end it and run again."
        ) from None
    with explained(folder, "be written"):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"pid {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
