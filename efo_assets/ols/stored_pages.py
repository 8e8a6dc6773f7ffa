"""The pages of one download, for reading, and the lines of its manifest.

A page is there when the manifest has its hash and its file matches it; it is verified each time it
is read. Writing them is in `page_store`.
"""

import contextlib
import fcntl
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec

from efo_assets.errors import PageStoreError
from efo_assets.files import open_nofollow
from efo_assets.ols.payload import Body, Encoding, Inflater, PayloadError
from efo_assets.ols.plan import ListingName, PageKey, PageSpec, Plan

FORMAT = 2
"""Of the manifest and the names; a folder of another format is fetched anew."""
STORED_BODY_CAP_BYTES = 1 << 30
"""A verified file is inflated without the client's cap, within reason."""
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
    is_elsewhere: bool = False
    """Whether pages weren't asked for, since the rows of the release are had elsewhere."""


class DamagedManifest(PageStoreError):
    """Lines of a manifest aren't what was written; `page_set` is what the others tell."""

    def __init__(self, folder: Path, lines: int, page_set: "PageSet | None") -> None:
        self.damage = (
            f"{lines} lines of {folder / MANIFEST} are damaged, or of another version of this "
            "package"
        )
        super().__init__(f"{self.damage}; fetch what they told of with: {FETCH_COMMAND}")
        self.page_set = page_set


class StoredPage(NamedTuple):
    """One verified page of a page set, as decoded JSON."""

    listing: ListingName
    number: int
    rows: int
    """Rows that count: on the last page of a limited download, fewer than it has."""
    body: Body
    """As long as its inflater isn't used again."""


Record = Header | PageEntry | Completed
_LINE = msgspec.json.Decoder(tuple[str, msgspec.Raw])
_RECORD = msgspec.json.Decoder(Record)


def line_of(record: Record) -> bytes:
    """A record as a line of a manifest: its hash, and itself."""
    text = msgspec.json.encode(record)
    return msgspec.json.encode((_digest(text), msgspec.Raw(text))) + b"\n"


def _record_of(line: bytes) -> Record | None:
    """Inverse of `line_of`; None where the line is damaged, or not one of this format."""
    with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        digest, text = _LINE.decode(line)
        return _RECORD.decode(text) if digest == _digest(bytes(text)) else None
    return None


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()[:16]


@dataclass(eq=False, repr=False)
class PageSet:
    """The pages of one download, for reading."""

    folder: Path
    plan: Plan
    entries: dict[PageKey, PageEntry]
    serial: int
    """Of its completion; 0 until then."""
    is_elsewhere: bool = False
    """Whether it was completed without all pages."""

    def __repr__(self) -> str:
        return f"PageSet({str(self.folder)!r}, complete={self.complete})"

    @property
    def complete(self) -> bool:
        """Whether the download was declared whole, and no page of it got lost."""
        return self.serial > 0 and (self.is_elsewhere or not self.lacks_pages)

    @property
    def lacks_pages(self) -> bool:
        """Whether a page of the plan isn't kept."""
        return any(spec.key not in self.entries for spec in self.plan.pages())

    @property
    def has_full_page(self) -> bool:
        """Whether OLS was seen serving as many rows as were asked for."""
        return any(entry.rows == self.plan.page_size for entry in self.entries.values())

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep `prune` away in this block."""
        with (
            explained(self.folder, "be read"),
            open_nofollow(self.folder / MANIFEST, "rb") as manifest,
        ):
            fcntl.flock(manifest, fcntl.LOCK_SH)
            yield

    def bodies(self) -> Iterator[StoredPage]:
        """All pages in order, verified; a body is valid until you ask for the next page.

        Raises:
            PageStoreError: a page is missing, or isn't what was stored.
        """
        inflater = Inflater()
        with self.held():
            for spec in self.plan.pages():
                body = read_body(self.folder, spec, self.entry(spec), inflater)
                yield StoredPage(*spec.key, self.plan.wanted_rows(spec), body)

    def entry(self, spec: PageSpec) -> PageEntry:
        """What is known of a page that is kept.

        Raises:
            PageStoreError: it is not.
        """
        if spec.key not in self.entries:
            raise _damaged(self.folder, spec, "it isn't in the manifest")
        return self.entries[spec.key]


def read_body(folder: Path, spec: PageSpec, entry: PageEntry, inflater: Inflater) -> Body:
    """The JSON text of a kept page, verified; valid as long as its inflater isn't used again.

    Raises:
        PageStoreError: the page is missing, or isn't what was stored.
    """
    try:
        return inflater.inflate(verified(folder, entry), entry.encoding, STORED_BODY_CAP_BYTES)
    except (OSError, PayloadError) as error:
        raise _damaged(folder, spec, error) from None


def _damaged(folder: Path, spec: PageSpec, why: object) -> PageStoreError:
    listing, number = spec.key
    rows = f"rows {spec.first_row}-{spec.first_row + spec.rows - 1}"
    return PageStoreError(
        f"page {number} of the {listing} list ({rows}) in {folder} is missing or isn't what was "
        f"stored ({why}); fetch it again with: {FETCH_COMMAND}"
    )


def folder_name(plan: Plan) -> str:
    """Release, page size, limit and lists, in characters that every file system takes."""
    first = "" if plan.limit is None else f"-first{plan.limit}"
    lists = "one" if plan.listings[0].name == "all" else "two"
    return f"{plan.release.fingerprint}-s{plan.page_size}{first}-{lists}"


def read_manifest(folder: Path) -> PageSet | None:
    """The pages that the manifest tells of; None if there is none, or none was begun.

    Raises:
        DamagedManifest: with the pages that sound lines tell of.
        OSError: it can't be read.
    """
    try:
        with open_nofollow(folder / MANIFEST, "rb") as manifest:
            lines = manifest.read().split(b"\n")[:-1]
    except FileNotFoundError:
        return None
    if not lines:
        return None
    records = [_record_of(line) for line in lines]
    header = records.pop(0)
    if (
        not isinstance(header, Header)
        or header.format != FORMAT
        or folder.name != folder_name(header.plan)
    ):
        raise DamagedManifest(folder, len(lines), None)
    page_set = PageSet(folder, header.plan, {}, 0)
    keys = {spec.key for spec in header.plan.pages()}
    for record in records:
        match record:
            case PageEntry() if record.key in keys:
                page_set.entries[record.key] = record
            case Completed():
                page_set.serial = max(page_set.serial, record.serial)
                page_set.is_elsewhere = record.is_elsewhere
    if None in records:
        raise DamagedManifest(folder, records.count(None), page_set)
    return page_set


def verified(folder: Path, entry: PageEntry) -> bytes:
    """One page as received.

    Raises:
        OSError: its file can't be read, or is not what was stored.
    """
    with open_nofollow(folder / entry.file_name, "rb") as file:
        body = file.read()
    if hashlib.sha256(body).hexdigest() != entry.sha256:
        raise OSError(f"the hash of {entry.file_name} differs")
    return body


def is_being_read(folder: Path) -> bool:
    """Whether a process reads the pages in `folder` just now."""
    try:
        with open_nofollow(folder / MANIFEST, "rb") as manifest:
            fcntl.flock(manifest, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


@contextlib.contextmanager
def explained(path: Path, what: str, kept: str = "") -> Iterator[None]:
    """Turn an error of the file system into one sentence: what, where, kept, and what to do.

    Raises:
        PageStoreError: the block raised an OSError.
    """
    try:
        yield
    except OSError as error:
        where = error.filename or path
        raise PageStoreError(
            f"The page store {path} cannot {what}: {error.strerror or error} ({where}); "
            f"{f'{kept}; ' if kept else ''}make room or give access there, and run again."
        ) from None
