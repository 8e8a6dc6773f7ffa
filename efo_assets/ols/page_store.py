"""The page store: every page as OLS sent it, one folder for each download that can be resumed.

    <root>/<ontology>/.lock                           held while a download writes
    <root>/<ontology>/<fingerprint>-s500-two/         release, page size, lists
        manifest.jsonl                                header, a line for a page, `completed`; hashed
        current-00012.json.gz                         the body as received

A file gets its name after its bytes are on the disk, and its line in the manifest after that, so
whatever dies in between leaves a page that is fetched again and never one that is half there. Names
are made of numbers and of words listed here; a symbolic link inside the store is refused. Other
accounts may read pages, which are public, and neither write nor lock anything. HTTP lives
elsewhere; pages are read in `stored_pages`.
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
from operator import attrgetter
from pathlib import Path

from efo_assets import files
from efo_assets.errors import PageStoreError
from efo_assets.ols import stored_pages
from efo_assets.ols.plan import Plan
from efo_assets.ols.stored_pages import (
    FORMAT,
    MANIFEST,
    Completed,
    DamagedManifest,
    Header,
    PageEntry,
    PageSet,
    Record,
    explained,
    folder_name,
    line_of,
)

KEPT_SETS = 2
"""Complete downloads kept: the one in use and the one before it."""
KEPT_UNFINISHED = 1
"""Interrupted downloads kept to be resumed."""
_LOCK_MODE = 0o600
"""An account that can open a lock file can hold it."""
_ONTOLOGY = re.compile(r"[a-z][a-z0-9_-]{0,30}")
_SET_FOLDER = re.compile(r"[0-9a-f]{16}-s[0-9]{1,7}(-first[0-9]{1,9})?-(one|two)")


class PageFolder:
    """The folder of one download, for writing. Its methods may be called from any thread."""

    def __init__(self, path: Path, plan: Plan) -> None:
        self._closed = False
        self._writing = threading.Lock()
        self.damage: list[str] = []
        """What is fetched again, and why, as sentences."""
        with explained(path, "be opened"):
            try:
                kept = stored_pages.read_manifest(path)
            except DamagedManifest as error:
                kept = error.page_set
                self.damage.append(f"{error.damage}: what they told of is fetched again.")
            if kept is None or kept.plan != plan:
                _remove(path)
                files.make_folder(path)
                self.page_set = PageSet(path, plan, {}, 0)
                self._append(Header(FORMAT, plan))
            else:
                files.drop_unfinished_line(path / MANIFEST)
                self.page_set = kept
                entries, kept.entries = kept.entries, {}
                for key, entry in entries.items():
                    try:
                        stored_pages.verified(path, entry)
                        kept.entries[key] = entry
                    except OSError as error:
                        self.damage.append(
                            f"page {key.number} of the {key.listing} list in {path} is missing or "
                            f"isn't what was stored ({error.strerror or error}): fetched again."
                        )
                if self.damage:
                    records: list[Record] = [Header(FORMAT, plan), *kept.entries.values()]
                    files.write_whole(path / MANIFEST, b"".join(map(line_of, records)))
                    kept.serial = 0

    def close(self) -> None:
        """Wait for the line being written, and take no other."""
        with self._writing:
            self._closed = True

    def add(self, entry: PageEntry) -> None:
        """Add a page whose file is on the disk; once this returns, it outlives the process."""
        with self._writing, self.taking():
            if self._closed:
                raise PageStoreError(
                    f"{self.page_set.folder} takes no page any more: its download has ended."
                )
            sys.audit("efo_assets.page_written")
            self._append(entry)
            self.page_set.entries[entry.key] = entry
            self.page_set.entries[entry.key] = entry

    def taking(self) -> contextlib.AbstractContextManager[None]:
        """What a page costs that can't be written, as one sentence; see `explained`."""
        return explained(self.page_set.folder, "take a page", self.kept)

    def complete(self, serial: int) -> None:
        """Declare the download whole, or if pages are missing, that their rows are elsewhere."""
        with self._writing, explained(self.page_set.folder, "be completed", self.kept):
            self.page_set.is_elsewhere = self.page_set.lacks_pages
            self._append(Completed(serial, self.page_set.is_elsewhere))
            self.page_set.serial = serial

    @property
    def kept(self) -> str:
        """What is kept here, in words."""
        return f"{len(self.page_set.entries)} pages are kept in {self.page_set.folder}"

    def _append(self, line: Record) -> None:
        path = self.page_set.folder / MANIFEST
        files.drop_unfinished_line(path)
        with files.open_nofollow(path, "ab") as manifest:
            files.write_all(manifest.fileno(), line_of(line))
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
        with contextlib.ExitStack() as held:
            with explained(folder, "be written"):
                for each in (self.root.parent, self.root, folder):
                    files.make_folder(each)
                flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
                descriptor = os.open(folder / ".lock", flags, _LOCK_MODE)
                held.callback(os.close, descriptor)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip()
                    raise PageStoreError(
                        f"Another download of {ontology} is writing to {folder} "
                        f"({holder or 'unknown process'}); wait for it, or end it and run again."
                    ) from None
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"pid {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
            yield

    def folder(self, plan: Plan) -> contextlib.closing[PageFolder]:
        """Open the folder of `plan`, with the pages that are there and match their hashes.

        Call it under the lock.
        """
        path = self._ontology_folder(plan.release.ontology) / folder_name(plan)
        _refuse_symlink(path)
        return contextlib.closing(PageFolder(path, plan))

    def complete(self, folder: PageFolder) -> PageSet:
        """Declare the download in `folder` whole and the newest, and drop what is superseded."""
        page_set = folder.page_set
        ontology = page_set.plan.release.ontology
        newest = max((each.serial for each in self._sets(ontology, sound_only=True)), default=0)
        is_told = page_set.complete and page_set.is_elsewhere == page_set.lacks_pages
        if not is_told or page_set.serial < newest:
            folder.complete(newest + 1)
        self.prune(ontology, in_use=page_set.folder)
        return page_set

    def latest(self, ontology: str) -> PageSet | None:
        """The newest complete download, or None.

        Raises:
            DamagedManifest: which one is the newest can't be told.
        """
        complete = [each for each in self._sets(ontology) if each.complete]
        return max(complete, key=attrgetter("serial"), default=None)

    def discard(self, folder: PageFolder) -> None:
        """Remove a download that turned out to be of no use, once no page is being written."""
        folder.close()
        _remove(folder.page_set.folder)

    def prune(self, ontology: str, in_use: Path | None = None) -> None:
        """Keep `in_use`, the newest complete downloads and the last one that can be resumed."""
        sets = sorted(self._sets(ontology, sound_only=True), key=attrgetter("serial"), reverse=True)
        complete = [each.folder for each in sets if each.complete]
        unfinished = [each.folder for each in sets if not each.complete]
        unfinished.sort(key=lambda folder: (folder / MANIFEST).stat().st_mtime_ns)
        keep = {in_use, *complete[:KEPT_SETS], *unfinished[-KEPT_UNFINISHED:]}
        for path in self._set_folders(ontology):
            if path not in keep and not stored_pages.is_being_read(path):
                _remove(path)

    def _sets(self, ontology: str, *, sound_only: bool = False) -> Iterator[PageSet]:
        for path in self._set_folders(ontology):
            page_set = None
            with explained(path, "be read"):
                try:
                    page_set = stored_pages.read_manifest(path)
                except DamagedManifest:
                    if not sound_only:
                        raise
            if page_set is not None:
                yield page_set

    def _set_folders(self, ontology: str) -> list[Path]:
        folder = self._ontology_folder(ontology)
        with explained(folder, "be read"):
            paths = sorted(folder.iterdir()) if folder.exists() else []
        paths = [path for path in paths if _SET_FOLDER.fullmatch(path.name)]
        for path in paths:
            _refuse_symlink(path)
        return paths

    def _ontology_folder(self, ontology: str) -> Path:
        if not _ONTOLOGY.fullmatch(ontology):
            raise PageStoreError(f"{ontology[:40]!r} is no ontology id ({_ONTOLOGY.pattern}).")
        path = self.root / ontology
        _refuse_symlink(path)
        return path


def _refuse_symlink(path: Path) -> None:
    if path.is_symlink():
        raise PageStoreError(
            f"{path} is a symbolic link, and the page store holds none; remove it."
        )


def _remove(folder: Path) -> None:
    """Remove a download, its manifest first, so that half of it is never taken for a set."""
    with explained(folder, "be removed"):
        if folder.exists():
            (folder / MANIFEST).unlink(missing_ok=True)
            shutil.rmtree(folder)
