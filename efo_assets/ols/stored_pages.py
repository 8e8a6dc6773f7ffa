"""The pages of one download, for reading, and what its manifest tells of them.

A page is there when the manifest has its hash and its file matches it; it is verified each time it
is read. Writing them is `pages`' part.
"""

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from pathlib import Path
from typing import NamedTuple

import msgspec

from efo_assets.errors import PageStoreError
from efo_assets.files import read_nofollow
from efo_assets.ols.payload import Body, Encoding, Inflater, PayloadError
from efo_assets.ols.plan import ListingName, PageKey, PageSpec, Plan

FORMAT = 1
"""Of the manifest and the names; a folder of another format is fetched anew."""
STORED_BODY_CAP_BYTES = 1 << 30
"""Our own verified file is inflated without the client's cap, within reason."""
FETCH_COMMAND = "dagster asset materialize -m efo_assets.definitions --select raw_ols_pages"

MANIFEST = "manifest.jsonl"
_SUFFIX_OF_ENCODING = {"gzip": ".json.gz", "identity": ".json"}


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


_LINE = msgspec.json.Decoder(Header | PageEntry | Completed)


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
    def complete(self) -> bool:
        """Say whether the download was declared whole."""
        return self.serial > 0 and all(spec.key in self.entries for spec in self.plan.pages())

    def bodies(self, specs: Iterable[PageSpec] | None = None) -> Iterator[StoredPage]:
        """Give these pages (all of them) in order, verified; one is read while you use another.

        A page's body is there until you ask for the next.

        Raises:
            PageStoreError: a page is missing, or isn't what was stored.
        """
        with _shared_lock(self.folder / MANIFEST), ThreadPoolExecutor(max_workers=1) as reader:
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


def open_page_set(folder: Path) -> PageSet:
    """The pages in one folder of a store.

    Raises:
        PageStoreError: there are none in a format that we know.
    """
    with explained(folder, "be read"):
        found = read_manifest(folder)
    if found is None:
        raise PageStoreError(f"{folder} holds no pages; fetch them with: {FETCH_COMMAND}")
    return found


def folder_name(plan: Plan) -> str:
    """Release, page size, limit and lists, in characters that no file system minds."""
    first = "" if plan.limit is None else f"-first{plan.limit}"
    lists = "one" if plan.is_one_list else "two"
    return f"{plan.release.fingerprint}-s{plan.page_size}{first}-{lists}"


def read_manifest(folder: Path) -> PageSet | None:
    """Read what the manifest tells; None if there is none in a format that we know."""
    with contextlib.suppress(FileNotFoundError, msgspec.DecodeError):
        lines = read_nofollow(folder / MANIFEST).split(b"\n")
        if msgspec.json.decode(lines[0], type=_Format).format != FORMAT:
            return None
        header = _LINE.decode(lines[0])
        if isinstance(header, Header) and folder.name == folder_name(header.plan):
            return _page_set(folder, header.plan, lines[1:-1])
    return None


def _page_set(folder: Path, plan: Plan, lines: Iterable[bytes]) -> PageSet:
    entries: dict[PageKey, PageEntry] = {}
    serial = 0
    for line in lines:
        with contextlib.suppress(msgspec.DecodeError):  # a damaged line tells of nothing
            match _LINE.decode(line):
                case PageEntry() as entry:
                    entries[entry.key] = entry
                case Completed() as completed:
                    serial = max(serial, completed.serial)
    known = {spec.key for spec in plan.pages()}
    return PageSet(folder, plan, {k: e for k, e in entries.items() if k in known}, serial)


def is_there(folder: Path, entry: PageEntry) -> bool:
    """Say whether the page's file is what its entry tells."""
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


@contextlib.contextmanager
def _shared_lock(manifest: Path) -> Iterator[None]:
    """Tell `prune` that somebody reads here."""
    with explained(manifest, "be read"):
        descriptor = os.open(manifest, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def is_being_read(manifest: Path) -> bool:
    """Say whether a process holds these pages open."""
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


@contextlib.contextmanager
def explained(path: Path, what: str, kept: str = "") -> Iterator[None]:
    """Tell an error of the file system as one sentence: what, where, kept, and what to do."""
    try:
        yield
    except OSError as error:
        where = error.filename or path
        raise PageStoreError(
            f"The page store {path} cannot {what}: {error.strerror or error} ({where}); "
            f"{f'{kept}; ' if kept else ''}make room or give access there, and run again."
        ) from None
