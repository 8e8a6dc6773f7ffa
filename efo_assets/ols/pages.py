"""The page store: every page as OLS sent it, one folder for each download that can be resumed.

    <root>/<ontology>/.lock                           held while a download writes
    <root>/<ontology>/<fingerprint>-s500-two/         release, page size, lists
        manifest.jsonl                                header, one line a page, `completed`
        current-00012.json.gz                         the body as received

A page is there when the manifest tells its hash and the file has it. A file gets its name after
its bytes are on the disk, and its line in the manifest after that, so whatever dies in between
leaves a page that is fetched again and never one that is half there. Names are made of numbers
and of words listed here; a symbolic link inside the store is refused. Other accounts may read
pages, which are public, and neither write nor lock anything. HTTP lives elsewhere.
"""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import socket
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from efo_assets.crashpoints import crash_point
from efo_assets.durable import (
    FILE_MODE,
    FOLDER_MODE,
    drop_unfinished_line,
    make_folder,
    read_nofollow,
    sync_folder,
    write_all,
    write_whole,
)
from efo_assets.errors import PageStoreError
from efo_assets.ols.payload import Body, Inflater, PayloadError
from efo_assets.ols.plan import Listing, ListingName, PageKey, PageSpec, Plan
from efo_assets.ols.release import Release

FORMAT = 1
"""Of the manifest and the names; a folder of another format is fetched anew."""
KEPT_SETS = 2
"""Complete downloads kept: the one in use and the one before it."""
KEPT_UNFINISHED = 1
"""Interrupted downloads kept to be resumed."""
STORED_BODY_CAP_BYTES = 1 << 30
"""Our own verified file is inflated without the client's cap, within reason."""
FETCH_COMMAND = "dagster asset materialize -m efo_assets.definitions --select raw_ols_pages"

_MANIFEST = "manifest.jsonl"
_LOCK_MODE = 0o600
"""Whoever can open a lock file can hold it."""
_ONTOLOGY = re.compile(r"[a-z][a-z0-9_-]{0,30}")
_SET_FOLDER = re.compile(r"[0-9a-f]{16}-s[0-9]{1,7}(-first[0-9]{1,9})?-(one|two)")
_SUFFIX_OF_ENCODING = {"gzip": ".json.gz", "identity": ".json"}

Encoding = Literal["gzip", "identity"]


class Header(msgspec.Struct, frozen=True, tag="header"):
    """First line of a manifest: what is downloaded, and in which format it is kept."""

    format: int
    plan: Plan


class PageEntry(msgspec.Struct, frozen=True, tag="page"):
    """One accepted page: where it belongs, and what its file must be."""

    listing: ListingName
    number: int
    rows: int
    bytes: int
    decoded_bytes: int
    sha256: str
    encoding: Encoding
    first_iri: str
    last_iri: str

    @property
    def key(self) -> PageKey:
        """The page of the plan that this is."""
        return PageKey(self.listing, self.number)

    @property
    def file_name(self) -> str:
        """Its file, named by number alone."""
        return f"{self.listing}-{self.number:05d}{_SUFFIX_OF_ENCODING[self.encoding]}"


class Completed(msgspec.Struct, frozen=True, tag="completed"):
    """The line that declares a download whole; the highest serial is the newest."""

    serial: int


class _Format(msgspec.Struct):
    format: int


class StoredPage(NamedTuple):
    """One verified page of a page set, as decoded JSON."""

    listing: ListingName
    number: int
    first_row: int
    """Row within the list that the page begins with."""
    rows: int
    """Rows that count: on the last page of a limited download, fewer than it has."""
    body: Body
    """As long as its inflater isn't used again."""


_MANIFEST_LINE = msgspec.json.Decoder(Header | PageEntry | Completed)


class PageSet:
    """The pages of one download, for reading."""

    def __init__(
        self, folder: Path, plan: Plan, entries: dict[PageKey, PageEntry], serial: int
    ) -> None:
        self.folder = folder
        self.plan = plan
        self.entries = entries
        self.serial = serial

    def __repr__(self) -> str:
        return f"PageSet({str(self.folder)!r}, complete={self.complete})"

    @property
    def release(self) -> Release:
        """The release that every page is of."""
        return self.plan.release

    @property
    def page_size(self) -> int:
        """Rows of a page."""
        return self.plan.page_size

    @property
    def limit(self) -> int | None:
        """How many rows count; None means all."""
        return self.plan.limit

    @property
    def listings(self) -> tuple[Listing, ...]:
        """The lists that the pages were cut from."""
        return self.plan.listings

    @property
    def rows(self) -> int:
        """How many classes the whole holds."""
        return self.plan.rows

    @property
    def complete(self) -> bool:
        """Say whether the download was declared whole."""
        return self.serial > 0 and all(spec.key in self.entries for spec in self.plan.pages())

    def bodies(self, specs: Iterable[PageSpec] | None = None) -> Iterator[StoredPage]:
        """Give these pages (all of them) in order, verified; one is read while you use another.

        A page's body is there until you ask for the next.

        Raises:
            PageStoreError: a page is missing, or isn't what was stored.
        """
        with _shared_lock(self.folder / _MANIFEST), ThreadPoolExecutor(max_workers=1) as reader:
            ahead = None
            # One holds the page that is used, the other the next.
            inflaters = cycle((Inflater(), Inflater()))
            wanted = self.plan.pages() if specs is None else specs
            for spec, inflater in zip(wanted, inflaters, strict=False):
                behind, ahead = ahead, reader.submit(self.read, spec, inflater)
                if behind is not None:
                    yield behind.result()
            if ahead is not None:
                yield ahead.result()

    def read(self, spec: PageSpec, inflater: Inflater | None = None) -> StoredPage:
        """Read one page, verified.

        Raises:
            PageStoreError: the page is missing, or isn't what was stored.
        """
        try:
            entry = self.entries[spec.key]
            body = _verified(self.folder / entry.file_name, entry)
            inflater = inflater or Inflater()
            decoded = inflater.inflate(body, entry.encoding, STORED_BODY_CAP_BYTES)
        except (KeyError, OSError, PayloadError) as error:
            raise PageStoreError(
                f"{spec.place} in {self.folder} is missing or isn't what was stored ({error}); "
                f"fetch it again with: {FETCH_COMMAND}"
            ) from None
        rows = self.plan.wanted_rows(spec)
        return StoredPage(spec.key.listing, spec.key.number, spec.first_row, rows, decoded)


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
        with _explained(self.path, "be opened"):
            found = _read_manifest(self.path)
            if found is None or found.plan != self.plan:
                _remove(self.path)
                self.path.mkdir(FOLDER_MODE)
                sync_folder(self.path.parent)
                self._append(Header(FORMAT, self.plan))
                return
            drop_unfinished_line(self.path / _MANIFEST)
            self._serial = found.serial
            self.entries = {e.key: e for e in found.entries.values() if _is_there(self.path, e)}

    def close(self) -> None:
        """Wait for the page being written, and take no other."""
        with self._writing:
            self._closed = True

    def put(self, entry: PageEntry, body: bytes) -> None:
        """Keep `body`, exactly as received, so that it outlives us from now on."""
        with self._writing, _explained(self.path, "take a page", self.kept):
            if self._closed:
                raise PageStoreError(f"{self.path} takes no page any more: its download has ended.")
            write_whole(self.path / entry.file_name, body)
            crash_point("C4")
            self._append(entry)
            self.entries[entry.key] = entry

    def complete(self, serial: int) -> None:
        """Declare the download whole."""
        with self._writing, _explained(self.path, "be completed", self.kept):
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
        path = self.path / _MANIFEST
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
        with _explained(folder, "be written"):
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
        path = self._ontology_folder(plan.release.ontology) / _folder_name(plan)
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
        with _explained(folder.path, "be removed"):
            _remove(folder.path)

    def prune(self, ontology: str, in_use: Path | None = None) -> None:
        """Keep `in_use`, the newest complete downloads and the last one that can be resumed."""
        sets = list(self._sets(ontology))
        complete = sorted((each for each in sets if each.complete), key=_serial, reverse=True)
        unfinished = [each.folder for each in sets if not each.complete]
        keep = {each.folder for each in complete[:KEPT_SETS]} | {in_use}
        keep |= set(sorted(unfinished, key=_written_ns)[-KEPT_UNFINISHED:])
        for path in self._set_folders(ontology):
            if path not in keep and not _is_being_read(path / _MANIFEST):
                with _explained(path, "be removed"):
                    _remove(path)

    def _sets(self, ontology: str) -> Iterator[PageSet]:
        for path in self._set_folders(ontology):
            with _explained(path, "be read"):
                found = _read_manifest(path)
            if found is not None:
                yield found

    def _set_folders(self, ontology: str) -> list[Path]:
        folder = self._ontology_folder(ontology)
        with _explained(folder, "be read"):
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


def open_page_set(folder: Path) -> PageSet:
    """The pages in one folder of a store.

    Raises:
        PageStoreError: there are none in a format that we know.
    """
    with _explained(folder, "be read"):
        found = _read_manifest(folder)
    if found is None:
        raise PageStoreError(f"{folder} holds no pages; fetch them with: {FETCH_COMMAND}")
    return found


def _serial(page_set: PageSet) -> int:
    return page_set.serial


def _written_ns(folder: Path) -> int:
    return (folder / _MANIFEST).stat().st_mtime_ns


def _folder_name(plan: Plan) -> str:
    first = "" if plan.limit is None else f"-first{plan.limit}"
    lists = "one" if plan.is_one_list else "two"
    return f"{plan.release.fingerprint}-s{plan.page_size}{first}-{lists}"


def _read_manifest(folder: Path) -> PageSet | None:
    """Read what the manifest tells; None if there is none in a format that we know."""
    with contextlib.suppress(FileNotFoundError, msgspec.DecodeError):
        lines = read_nofollow(folder / _MANIFEST).split(b"\n")
        if msgspec.json.decode(lines[0], type=_Format).format != FORMAT:
            return None
        header = _MANIFEST_LINE.decode(lines[0])
        if isinstance(header, Header) and folder.name == _folder_name(header.plan):
            return _page_set(folder, header.plan, lines[1:-1])
    return None


def _page_set(folder: Path, plan: Plan, lines: Iterable[bytes]) -> PageSet:
    entries: dict[PageKey, PageEntry] = {}
    serial = 0
    for line in lines:
        with contextlib.suppress(msgspec.DecodeError):  # a damaged line tells of nothing
            match _MANIFEST_LINE.decode(line):
                case PageEntry() as entry:
                    entries[entry.key] = entry
                case Completed() as completed:
                    serial = max(serial, completed.serial)
    known = {spec.key for spec in plan.pages()}
    return PageSet(folder, plan, {k: e for k, e in entries.items() if k in known}, serial)


def _is_there(folder: Path, entry: PageEntry) -> bool:
    try:
        _verified(folder / entry.file_name, entry)
    except OSError:
        return False
    return True


def _verified(path: Path, entry: PageEntry) -> bytes:
    body = read_nofollow(path)
    if hashlib.sha256(body).hexdigest() != entry.sha256:
        raise OSError(f"the hash of {path.name} differs")
    return body


def _refuse_symlink(path: Path) -> None:
    if path.is_symlink():
        raise PageStoreError(
            f"{path} is a symbolic link, and the page store holds none; remove it."
        )


def _remove(folder: Path) -> None:
    """Remove a folder of ours, the manifest first, so that half of it is never taken for a set."""
    if folder.exists():
        (folder / _MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(folder)


@contextlib.contextmanager
def _shared_lock(manifest: Path) -> Iterator[None]:
    """Tell `prune` that somebody reads here."""
    with _explained(manifest, "be read"):
        descriptor = os.open(manifest, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def _is_being_read(manifest: Path) -> bool:
    try:
        descriptor = os.open(manifest, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _lock_or_name_the_holder(descriptor: int, ontology: str, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip()
        raise PageStoreError(
            f"Another download of {ontology} is writing to {folder} "
            f"({holder or 'unknown process'}); wait for it, or end it and run again."
        ) from None
    with _explained(folder, "be written"):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"pid {os.getpid()} on {socket.gethostname()}\n".encode(), 0)


@contextlib.contextmanager
def _explained(path: Path, what: str, kept: str = "") -> Iterator[None]:
    """Tell an error of the file system as one sentence: what, where, kept, and what to do."""
    try:
        yield
    except OSError as error:
        where = error.filename or path
        raise PageStoreError(
            f"The page store {path} cannot {what}: {error.strerror or error} ({where}); "
            f"{f'{kept}; ' if kept else ''}make room or give access there, and run again."
        ) from None
