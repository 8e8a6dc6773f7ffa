"""One page, read once: inflated, parsed, accepted, kept in its file, and made into rows.

That is what costs, so `PageWork` may be done in another process (`pipeline.crew`). A download hands
its pages to a `PageReader`, and knows neither processes nor what becomes of rows.
"""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec

from efo_assets import files
from efo_assets.errors import PageStoreError, RecordRejected
from efo_assets.ols.acceptance import accepted
from efo_assets.ols.payload import Inflater, PayloadError, encoding_named
from efo_assets.ols.plan import PageSpec
from efo_assets.ols.records import Findings, ParsedPage, TermKeys, parse_page, unknown_fields
from efo_assets.ols.stored_pages import PageEntry, PageSet, read_body

HASH_BYTES = 8


class Task(msgspec.Struct, frozen=True, tag=True):
    """A page to be read: as received, or where it is kept already, from its file."""

    spec: PageSpec
    folder: str
    """Of its download."""
    is_kept: bool = True
    """Whether its file is to be written; parts of a page that find a bad row have none."""
    content_encoding: str | None = None
    body_cap_bytes: int = 0
    """Once inflated."""
    entry: PageEntry | None = None
    """What its file must be, if it has one."""
    wanted_rows: int | None = None
    """How many of its first classes are made into rows; None where no rows are wanted."""
    first_row: int = 0
    """Its place in all lists, one after the other."""


def task_of_kept(page_set: PageSet, spec: PageSpec) -> Task:
    """What is to be done with a page that is kept already.

    Raises:
        PageStoreError: it is not.
    """
    return Task(
        spec,
        str(page_set.folder),
        entry=page_set.entry(spec),
        wanted_rows=page_set.plan.wanted_rows(spec),
        first_row=page_set.plan.place(spec),
    )


class ReadPage(msgspec.Struct):
    """An accepted page, whose file is on the disk."""

    entry: PageEntry
    iri_hashes: bytes
    """`HASH_BYTES` for each IRI: the IRIs themselves would not be flat memory."""
    unknown_fields: list[str]
    """Fields of its first class that OLS didn't use before."""
    findings: dict[str, Any]
    undecodable: str = ""
    """Why its rows can't be decoded, as a sentence."""
    is_rejected: bool = False
    """Whether that is since a value can't be a key in PostgreSQL."""
    rows: Any = None
    """What `make_rows` made; not sent with the rest."""


MakeRows = Callable[[ParsedPage, Findings, TermKeys, Task], Mapping[str, Any]]
"""What makes rows of the wanted classes of a page, and notes what it leaves out."""


class PageWork:
    """Reads pages, one after the other."""

    def __init__(self, make_rows: MakeRows | None = None) -> None:
        self._make_rows = make_rows
        self._inflater = Inflater()
        self.keys = TermKeys(b"", b"", 1)
        """Of the load that rows are made for."""

    def read(self, task: Task, body: bytes) -> ReadPage:
        """Read one page; `body` is as received, and empty where the page is kept already.

        Raises:
            PayloadError: it isn't acceptable; see `acceptance`.
            PageStoreError: its file is missing, or isn't what was stored.
            OSError: its file can't be written.
        """
        if task.entry is None:
            parsed, entry, unknown = self._received(task, body)
        else:
            text = read_body(Path(task.folder), task.spec, task.entry, self._inflater)
            try:
                parsed, entry, unknown = parse_page(text), task.entry, set()
            except PayloadError as error:
                raise PageStoreError(_no_page(task, error)) from error
        page = ReadPage(entry, iri_hashes(parsed), sorted(unknown), {})
        if self._make_rows is not None and task.wanted_rows is not None:
            findings = Findings()
            try:
                page.rows = self._make_rows(parsed, findings, self.keys, task)
            except RecordRejected as error:
                page.undecodable, page.is_rejected = str(error), True
            except PayloadError as error:
                page.undecodable = _no_page(task, error)
            page.findings = findings.as_facts()
        return page

    def _received(self, task: Task, body: bytes) -> tuple[ParsedPage, PageEntry, set[str]]:
        text = self._inflater.inflate(body, task.content_encoding, task.body_cap_bytes)
        parsed = accepted(task.spec, text)
        elements = parsed.page.elements
        entry = PageEntry(
            *task.spec.key,
            rows=len(elements),
            bytes=len(body),
            decoded_bytes=len(text),
            sha256=hashlib.sha256(body).hexdigest(),
            encoding=encoding_named(task.content_encoding),
            first_iri=elements[0].iri,
            last_iri=elements[-1].iri,
        )
        if task.is_kept:
            files.write_whole(Path(task.folder) / entry.file_name, body)
        return parsed, entry, unknown_fields(text)


def _no_page(task: Task, error: PayloadError) -> str:
    listing, number = task.spec.key
    return (
        f"Page {number} of the {listing} list in {task.folder} is no page of classes ({error}): "
        "nothing was published; delete the folder, run again."
    )


def iri_hashes(parsed: ParsedPage) -> bytes:
    """A hash of each IRI, the same in any process."""
    return b"".join(
        hashlib.blake2b(element.iri.encode(), digest_size=HASH_BYTES).digest()
        for element in parsed.page.elements
    )


class PageReader(Protocol):
    """What a download hands its pages to."""

    async def begin(self, page_set: PageSet) -> None:
        """Pages of this plan come from now on, until all of them came or they are dropped."""

    async def drop(self) -> None:
        """What was taken so far is of no use any more, since another plan is made."""

    async def read(self, task: Task, body: bytes) -> ReadPage:
        """Read one page; see `PageWork.read` for what it raises."""

    async def take(self, page: ReadPage) -> None:
        """Take the rows of a page that is in the manifest now."""

    async def settle(self) -> None:
        """Wait until no page is being read."""
