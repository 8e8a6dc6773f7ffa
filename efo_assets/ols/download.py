"""One whole download: which pages are missing, are they what was asked, do they make the whole.

What makes one page acceptable is in `acceptance`. The download is accepted when distinct IRIs equal
the totals that were asked for apart, and OLS serves the same release before and after.
"""

import asyncio
import sys
import time
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import NamedTuple

from efo_assets import errors
from efo_assets.ols import acceptance
from efo_assets.ols.client import OlsClient
from efo_assets.ols.http import AttemptFailed, Response, Traffic, printable
from efo_assets.ols.page_store import PageFolder, PageStore
from efo_assets.ols.payload import BodyTooLarge, PayloadError
from efo_assets.ols.plan import PageSpec, make_plan
from efo_assets.ols.reading import PageReader, ReadPage, Task, task_of_kept
from efo_assets.ols.records import parse_page
from efo_assets.ols.release import Release
from efo_assets.ols.stored_pages import PageSet
from efo_assets.privacy.logs import logger

log = logger(__name__)

MAX_RESTARTS = 2
EXAMPLES = 3
MAX_PAGES = 100_000
"""With pages of 500 rows, the largest ontology in OLS has 5,400."""
REREAD_AT_ONCE = 2
"""Pages kept from before, beside those that come."""
HASHES_AT_ONCE = 200_000
MAX_REJECTED = 8
"""Pages that never come: with so many, no other is begun."""
MAX_UNSERVABLE = 8
"""Parts that fail in one round of bisection; with more, the whole page is named."""


class Progress(NamedTuple):
    """Where a download is."""

    pages_done: int
    pages_total: int
    rows_done: int
    rows_total: int
    bytes_received: int
    elapsed_s: float

    @property
    def rows_per_s(self) -> float:
        """Rows per second so far."""
        return self.rows_done / self.elapsed_s if self.elapsed_s else 0.0

    @property
    def eta_s(self) -> float | None:
        """Seconds left at this rate, or None before the first row."""
        rate = self.rows_per_s
        return (self.rows_total - self.rows_done) / rate if rate else None


OnProgress = Callable[[Progress], None]
AcceptRelease = Callable[[Release], None]
IsStanding = Callable[[Release], bool]


class Download(NamedTuple):
    """A whole download, and what it took."""

    page_set: PageSet
    pages: int
    fetched: int
    reused: int
    rows: int
    bytes_decoded: int
    traffic: Traffic
    """Of all requests, probes included."""
    seconds: float
    latencies_s: list[float]
    """Of the pages that were fetched."""
    max_in_flight_seen: int
    notes: list[str]


async def download(
    client: OlsClient,
    store: PageStore,
    reader: PageReader,
    ontology: str,
    *,
    page_size: int = 500,
    limit: int | None = None,
    accept_release: AcceptRelease = lambda _: None,
    is_standing: IsStanding = lambda _: False,
    on_progress: OnProgress | None = None,
) -> Download:
    """Fetch what is missing of the release that OLS serves now, and prove it whole.

    `reader` reads each page that comes, and where any comes, those that are kept from before, so
    that it has seen all of them when this returns. Accepted pages stay in the store whatever
    happens. With `limit`, only so many classes count. `accept_release` is called, in a thread,
    before a page is asked for; what it raises ends the download. Where pages are missing and
    `is_standing`, called so too, says that the rows of the release are had elsewhere, none is asked
    for: the page set is the newest, and tells of which release, but can't be read.

    Raises:
        OlsUnreachable: OLS doesn't answer.
        OlsRefused: OLS answered no, or sent the client elsewhere.
        UnknownOntology: OLS does not hold the ontology, or holds it empty.
        PageRejected: a page never became acceptable; the message names its rows.
        IncompleteDownload: the pages don't make the whole.
        ReleaseChanged: OLS went on serving more than one release.
        PageStoreError: the store can't be written, or another download holds it.
    """
    downloader = _Downloader(
        client, store, reader, ontology, page_size, limit, accept_release, is_standing, on_progress
    )
    try:
        with store.lock(ontology):
            return await downloader.run()
    except (errors.OlsUnreachable, errors.OlsRefused) as error:
        kept = (
            "No page was fetched; run again later. To try things out without OLS, `efo-assets "
            "demo` loads generated data, and `efo-assets sample` serves them."
        )
        if downloader.folder is not None:
            kept = f"{downloader.folder.kept}; run again to go on from there."
        raise type(error)(f"{error} {kept}") from error


@dataclass(slots=True)
class _Downloader:
    """Runs one download to its end, with another plan where the first one doesn't fit."""

    client: OlsClient
    store: PageStore
    reader: PageReader
    ontology: str
    page_size: int
    limit: int | None
    accept_release: AcceptRelease
    is_standing: IsStanding
    on_progress: OnProgress | None
    notes: list[str] = field(default_factory=list)
    one_list: bool = False
    may_shrink: bool = True
    """Whether a page beyond the cap may still lead to smaller pages: once."""
    is_cut: bool = False
    """Whether OLS was seen serving smaller pages than asked for: once."""
    restarts: int = 0
    folder: PageFolder | None = None
    began_s: float = field(default_factory=time.monotonic)

    async def run(self) -> Download:
        """Download, with at most `MAX_RESTARTS` restarts for a release that changes."""
        while True:
            sys.audit("efo_assets.download_began")
            await self.reader.drop()
            release = await self.client.release(self.ontology)
            await asyncio.to_thread(self.accept_release, release)
            totals = release.totals
            if totals.current + totals.obsolete != totals.all and not self.one_list:
                self.one_list = True
                self._note(
                    f"OLS's totals do not add up ({totals.current:,} current, "
                    f"{totals.obsolete:,} obsolete, {totals.all:,} in all): read from the one "
                    "list of everything."
                )
            plan = make_plan(release, self.page_size, self.limit, one_list=self.one_list)
            if plan.rows > MAX_PAGES * plan.page_size:
                raise errors.IncompleteDownload(
                    f"{release.name} would take more than {MAX_PAGES:,} requests, since OLS counts "
                    f"{plan.rows:,} classes and a page has {plan.page_size} rows: nothing was "
                    "published; set EFO_PAGE_SIZE higher, or run again later if OLS serves "
                    "smaller pages than it should."
                )
            with self.store.folder(plan) as folder:
                self.folder = folder
                for each in folder.damage[:EXAMPLES]:
                    self._note(each)
                self.store.prune(self.ontology, in_use=folder.page_set.folder)
                try:
                    return await self._whole(folder)
                except acceptance.SmallerPages as mismatch:
                    if self.is_cut or folder.page_set.has_full_page:
                        spec = mismatch.spec
                        # Kept, they would tell the next run that OLS serves pages of their size.
                        self.store.discard(folder)
                        raise errors.IncompleteDownload(
                            f"OLS counts {spec.total:,} classes in the {spec.key.listing} list of "
                            f"{release.name} and serves {spec.first_row + mismatch.size:,}: "
                            f"{mismatch}. The pages were dropped and nothing was published, since "
                            "a release with a hole is none; run again later, and tell the OLS "
                            "team if it stays."
                        ) from mismatch
                    self.page_size, self.may_shrink, self.is_cut = mismatch.size, True, True
                    self._note(
                        f"OLS serves {self.page_size} rows in a page at most: asked for pages of "
                        "that size."
                    )
                except BodyTooLarge as error:
                    smaller = next(plan.pages()).parts()[0]
                    self.page_size, self.may_shrink = smaller.size, False
                    self._note(
                        f"With pages of more than {self.page_size} rows {error}: asked for pages "
                        "of that size."
                    )
                except acceptance.FilterIgnored:
                    self._note(
                        "OLS does not honour isObsolete: read from the one list of everything."
                    )
                    self.one_list = True
                except acceptance.AnotherRelease as change:
                    self._count_restart(folder, change)

    def _note(self, text: str) -> None:
        log.warning(text)
        self.notes.append(text)

    def _count_restart(self, folder: PageFolder, change: acceptance.AnotherRelease) -> None:
        self.restarts += 1
        self.store.discard(folder)
        if self.restarts > MAX_RESTARTS:
            raise errors.ReleaseChanged(
                f"OLS served more than one release of {self.ontology} during the download "
                f"({change}), {self.restarts} times: its pages were dropped and nothing was "
                "published; run again later, a data release or two back ends take some hours."
            ) from change
        self._note(f"The release changed during the download ({change}): began again.")

    async def _whole(self, folder: PageFolder) -> Download:
        page_set, plan = folder.page_set, folder.page_set.plan
        reused = set(page_set.entries)
        fetch = _Fetch(
            self.client, folder, self.reader, self.on_progress, self.began_s, self.may_shrink
        )
        missing = [spec for spec in plan.pages() if spec.key not in reused]
        is_standing = partial(self.is_standing, plan.release)
        # What was kept here and is damaged is mended all the same.
        if missing and not folder.damage and await asyncio.to_thread(is_standing):
            log.info("the rows of %s are there, so no page of it is asked for", plan.release.name)
            missing = []
        if missing:
            await _require_same_release(self.client, plan.release)
            await self.reader.begin(page_set)
            await fetch.run(missing)
            await _require_same_release(self.client, plan.release, with_totals=True)
            await asyncio.to_thread(self._prove_distinct, folder, fetch.iri_hashes)
        if fetch.unknown_fields:
            names = ", ".join(printable(name) for name in sorted(fetch.unknown_fields)[:EXAMPLES])
            self._note(
                f"OLS sends {len(fetch.unknown_fields)} fields that it didn't before ({names}): "
                "kept in the pages as received, and in no table."
            )
        return Download(
            self.store.complete(folder),
            pages=len(page_set.entries),
            fetched=len(missing),
            reused=len(reused),
            rows=plan.rows,
            bytes_decoded=sum(entry.decoded_bytes for entry in page_set.entries.values()),
            traffic=self.client.traffic,
            seconds=time.monotonic() - self.began_s,
            latencies_s=fetch.latencies_s,
            max_in_flight_seen=self.client.gate.max_in_flight_seen,
            notes=self.notes,
        )

    def _prove_distinct(self, folder: PageFolder, iri_hashes: "array[int]") -> None:
        """Every IRI once: then the rows, which add up to totals asked for apart, are the whole."""
        page_set = folder.page_set
        # A set of all would take 120 bytes for each of some million classes.
        parts = 1 + len(iri_hashes) // HASHES_AT_ONCE
        distinct = sum(
            len({each for each in iri_hashes if each % parts == part}) for part in range(parts)
        )
        repeated = len(iri_hashes) - distinct
        if repeated:
            examples = _repeated(page_set)
            self.store.discard(folder)
            raise errors.IncompleteDownload(
                f"{repeated:,} classes of {page_set.plan.release.name} came twice, so as many "
                f"others are missing ({'; '.join(examples)}): OLS changed its order or its data "
                "between pages. The pages were dropped and nothing was published; run again."
            )


async def _require_same_release(
    client: OlsClient, release: Release, *, with_totals: bool = False
) -> None:
    """Ask for the ontology document twice in a row, each time on a connection of its own.

    No page says of which release it is. Replicas that serve two, of equal totals, show in the
    document alone; so it is asked for before, in the middle of and after the pages, and twice,
    since they may take turns.

    Raises:
        AnotherRelease: it is not the document of `release` any more.
    """
    for totals in (release.totals, None if with_totals else release.totals):
        seen = await client.release(release.ontology, totals)
        if seen != release:
            raise acceptance.AnotherRelease(f"{release.name}, then {seen.name}")


def _repeated(page_set: PageSet) -> list[str]:
    """The first IRIs that stand on more than one page, with the pages."""
    places: dict[str, list[str]] = {}
    for stored in page_set.bodies():
        for element in parse_page(stored.body).page.elements:
            places.setdefault(element.iri, []).append(f"{stored.listing} {stored.number}")
    repeated = ((iri, pages) for iri, pages in places.items() if len(pages) > 1)
    return [f"{iri} on pages {', '.join(pages)}" for iri, pages in islice(repeated, EXAMPLES)]


@dataclass(slots=True)
class _Fetch:
    """Fetches the missing pages of one plan, concurrently."""

    client: OlsClient
    folder: PageFolder
    reader: PageReader
    on_progress: OnProgress | None
    began_s: float
    may_shrink: bool
    pages_total: int = 0
    rows_total: int = 0
    pages_done: int = 0
    rows_done: int = 0
    latencies_s: list[float] = field(default_factory=list)
    iri_hashes: "array[int]" = field(default_factory=lambda: array("Q"))
    """Of all pages that were read, to count distinct ones."""
    rejected: list[errors.PageRejected] = field(default_factory=list)
    smaller: acceptance.SmallerPages | None = None
    unknown_fields: set[str] = field(default_factory=set)

    async def run(self, missing: list[PageSpec]) -> None:
        """Fetch and keep these pages; the first failure ends all others."""
        for spec in self.folder.page_set.plan.pages():
            self.pages_total += 1
            self.rows_total += spec.rows
        self.pages_done = len(self.folder.page_set.entries)
        self.rows_done = sum(entry.rows for entry in self.folder.page_set.entries.values())
        self._report()
        entries = self.folder.page_set.entries
        kept = iter([each for each in self.folder.page_set.plan.pages() if each.key in entries])
        waiting = iter(missing)
        halfway = (len(missing) + 1) // 2
        # More workers than may be under way would only wait at the gate.
        workers = min(self.client.max_in_flight, len(missing))
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(workers):
                    group.create_task(self._work(waiting, halfway))
                for _ in range(REREAD_AT_ONCE):
                    group.create_task(self._reread(kept))
        except BaseExceptionGroup as failures:
            # An unexpected one before an expected one, and that before a plan that doesn't fit.
            gravest = min(
                failures.exceptions,
                key=lambda it: (isinstance(it, PayloadError), isinstance(it, errors.OlsError)),
            )
            raise gravest from gravest.__cause__
        finally:
            # The folder may be dropped next.
            await self.reader.settle()
        if self.smaller:
            raise self.smaller
        if self.rejected:
            others = len(self.rejected) - 1
            raise errors.PageRejected(
                f"{self.rejected[0]} {f'So it is with {others} more. ' if others else ''}"
                "Nothing was published, since a release with a hole is none; "
                f"{self.folder.kept}: run again later, and tell the OLS team if it stays."
            )

    async def _work(self, waiting: Iterator[PageSpec], halfway: int) -> None:
        for spec in waiting:
            if self.smaller or len(self.rejected) >= MAX_REJECTED:
                return
            try:
                page, latency_s = await self._fetch(spec)
                await asyncio.to_thread(self.folder.add, page.entry)
                sys.audit("efo_assets.page_kept")
                await self._take(page)
                self.latencies_s.append(latency_s)
                # Not counted in the folder, whose entries may grow in a thread just now.
                self.pages_done += 1
                self.rows_done += page.entry.rows
                self._report()
                if len(self.latencies_s) == halfway:
                    await _require_same_release(self.client, self.folder.page_set.plan.release)
            except errors.PageRejected as error:
                # The others are still worth having: the next run won't ask for them again.
                self.rejected.append(error)
            except acceptance.SmallerPages as mismatch:
                # Those under way tell whether OLS serves smaller pages, or the list ends.
                self.smaller = mismatch

    async def _reread(self, kept: Iterator[PageSpec]) -> None:
        for spec in kept:
            await self._take(await self.reader.read(task_of_kept(self.folder.page_set, spec), b""))

    async def _take(self, page: ReadPage) -> None:
        self.iri_hashes.frombytes(page.iri_hashes)
        await self.reader.take(page)

    async def _fetch(self, spec: PageSpec) -> tuple[ReadPage, float]:
        """The page, or after many failures the place of the rows that OLS can't serve.

        Where all parts of the page are served, it was bad luck: it is asked for once more.

        Raises:
            PlanMismatch: OLS serves smaller pages, other lists or another release than planned.
            BodyTooLarge: so is the page; its parts are not.
            PageRejected: with the rows that were found by asking for parts.
        """
        try:
            return await self._get(spec)
        except AttemptFailed as error:
            failure = error
        if isinstance(failure.__cause__, BodyTooLarge):
            rows = await self._too_large(spec)
            if not rows:
                raise failure.__cause__ from None
        else:
            rows = await self._unservable(spec)
        if not rows:
            try:
                return await self._get(spec)
            except AttemptFailed as error:
                rows, failure = [spec], error
        begin, end = rows[0].first_row, rows[-1].first_row + rows[-1].rows - 1
        place = f"row {begin}" if begin == end else f"rows {begin}-{end}"
        raise errors.PageRejected(
            f"OLS never served {place} of the {spec.key.listing} list (counted from 0) of "
            f"{self.folder.page_set.plan.release.name} acceptably: {failure}."
        ) from failure

    async def _get(
        self, spec: PageSpec, attempts: int | None = None, *, is_kept: bool = True
    ) -> tuple[ReadPage, float]:
        """The page, kept in its file, and how long it took to come."""
        page_set = self.folder.page_set

        async def accept(response: Response) -> tuple[ReadPage, float]:
            sys.audit("efo_assets.page_fetched")
            task = Task(
                spec,
                str(page_set.folder),
                is_kept=is_kept,
                content_encoding=response.content_encoding,
                body_cap_bytes=self.client.body_cap_bytes,
                wanted_rows=page_set.plan.wanted_rows(spec) if is_kept else None,
                first_row=page_set.plan.place(spec),
            )
            with self.folder.taking():
                page = await self.reader.read(task, response.body)
            self.unknown_fields.update(page.unknown_fields)
            return page, response.latency_s

        url = self.client.classes_url(page_set.plan.release.ontology, spec.query())
        return await self.client.get(url, accept, attempts)

    async def _too_large(self, spec: PageSpec) -> list[PageSpec]:
        """The parts of a page beyond the cap that are so as well, or all of it; each asked once."""
        too_large = []
        parts = spec.parts() if self.may_shrink else []
        for part in parts:
            try:
                await self._get(part, attempts=1, is_kept=False)
            except AttemptFailed as failure:
                too_large += [part] if isinstance(failure.__cause__, BodyTooLarge) else []
            except acceptance.PlanMismatch:
                continue
        return too_large if parts else [spec]

    async def _unservable(self, spec: PageSpec) -> list[PageSpec]:
        """The smallest pages within `spec` that fail, each asked for twice; none if all come."""
        failing = [spec]
        while parts := [part for each in failing for part in each.parts()]:
            failed: list[PageSpec] = []
            for part in parts:
                try:
                    await self._get(part, attempts=2, is_kept=False)
                except (AttemptFailed, acceptance.PlanMismatch):
                    failed.append(part)
                if len(failed) > MAX_UNSERVABLE:
                    return failing
            if not failed:
                return [] if failing == [spec] else failing
            if failed == parts:
                return failing  # smaller pieces of it would fail as well
            failing = failed
        return failing

    def _report(self) -> None:
        if self.on_progress is not None:
            self.on_progress(
                Progress(
                    pages_done=self.pages_done,
                    pages_total=self.pages_total,
                    rows_done=self.rows_done,
                    rows_total=self.rows_total,
                    bytes_received=self.client.traffic.bytes_received,
                    elapsed_s=time.monotonic() - self.began_s,
                )
            )
