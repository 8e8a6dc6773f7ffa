"""One whole download: which pages are missing, are they what was asked, do they make the whole.

What makes one page acceptable is in `acceptance`. The download is accepted when distinct IRIs equal
the totals that were asked for apart, and OLS serves the same release before and after.
"""

import asyncio
import hashlib
import sys
import time
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from efo_assets.errors import (
    IncompleteDownload,
    OlsError,
    OlsRefused,
    OlsUnreachable,
    PageRejected,
    ReleaseChanged,
)
from efo_assets.ols.acceptance import (
    AnotherRelease,
    ClassPage,
    OneList,
    PageMismatch,
    PageTooLarge,
    Restart,
    SmallerPages,
    accepted,
    iri_hashes,
)
from efo_assets.ols.client import OlsClient
from efo_assets.ols.fields import unknown_fields
from efo_assets.ols.http import Answer, GaveUp, printable
from efo_assets.ols.page_store import PageFolder, PageStore
from efo_assets.ols.payload import Body, BodyTooLarge, parse
from efo_assets.ols.plan import PageKey, PageSpec, Plan, make_plan
from efo_assets.ols.release import Release
from efo_assets.ols.stored_pages import PageEntry, PageSet
from efo_assets.privacy.logs import logger

log = logger(__name__)

MAX_RESTARTS = 2
EXAMPLES = 3
MAX_UNSERVABLE = 8
"""Parts that fail in one round of bisection; with more, the whole page is named."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a download is."""

    pages_done: int
    pages_total: int
    rows_done: int
    rows_total: int
    bytes_received: int
    elapsed_s: float
    in_flight: int

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


@dataclass(frozen=True, slots=True)
class Download:
    """A whole download, and what it took."""

    page_set: PageSet
    pages: int
    fetched: int
    reused: int
    rows: int
    bytes_received: int
    bytes_decoded: int
    requests: int
    retries: int
    seconds: float
    latencies_s: list[float]
    """Of the pages that were fetched."""
    request_latencies_s: list[float]
    """Of every request that was answered, probes included."""
    max_in_flight_seen: int
    notes: list[str]


async def download(
    client: OlsClient,
    store: PageStore,
    ontology: str,
    *,
    page_size: int = 500,
    limit: int | None = None,
    on_progress: OnProgress | None = None,
) -> Download:
    """Fetch what is missing of the release that OLS serves now, and prove it whole.

    Accepted pages stay in the store whatever happens. With `limit`, only so many classes count.

    Raises:
        OlsUnreachable: OLS doesn't answer.
        OlsRefused: OLS answered no, or sent the client elsewhere.
        UnknownOntology: OLS does not hold the ontology, or holds it empty.
        PageRejected: a page never became acceptable; the message names its rows.
        IncompleteDownload: the pages don't make the whole.
        ReleaseChanged: OLS went on serving more than one release.
        PageStoreError: the store can't be written, or another download holds it.
    """
    downloader = _Downloader(client, store, page_size, limit, on_progress)
    try:
        return await downloader.run(ontology)
    except (OlsUnreachable, OlsRefused) as error:
        raise type(error)(f"{error} {downloader.kept}") from error


@dataclass(slots=True)
class _Downloader:
    """Runs one download to its end, with another plan where the first one doesn't fit."""

    client: OlsClient
    store: PageStore
    page_size: int
    limit: int | None
    on_progress: OnProgress | None
    notes: list[str] = field(default_factory=list)
    one_list: bool = False
    may_shrink: bool = True
    """Whether a page beyond the cap may still lead to smaller pages: once."""
    restarts: int = 0
    kept: str = "No page was fetched; run again later."

    async def run(self, ontology: str) -> Download:
        """Download, with at most `MAX_RESTARTS` restarts for a release that changes."""
        began = time.monotonic()
        with self.store.lock(ontology):
            while True:
                sys.audit("efo_assets.download_began")
                release = await self.client.release(ontology)
                self.one_list = self.one_list or self._totals_disagree(release)
                plan = make_plan(release, self.page_size, self.limit, one_list=self.one_list)
                with self.store.folder(plan) as folder:
                    self.store.prune(ontology, in_use=folder.path)
                    try:
                        return await self._whole(plan, folder, began)
                    except SmallerPages as restart:
                        self._note(f"{restart}: asked for pages of that size.")
                        self.page_size = restart.size
                        self.may_shrink = not isinstance(restart, PageTooLarge)
                    except OneList:
                        self._note(
                            "OLS does not honour isObsolete: read from the one list of everything."
                        )
                        self.one_list = True
                    except AnotherRelease as change:
                        self._count_restart(release, folder, str(change))

    def _totals_disagree(self, release: Release) -> bool:
        if release.totals.add_up or self.one_list:
            return False
        self._note(
            f"OLS's totals do not add up ({release.totals.current:,} current, "
            f"{release.totals.obsolete:,} obsolete, {release.totals.all:,} in all): read from the "
            "one list of everything."
        )
        return True

    def _note(self, text: str) -> None:
        log.warning(text)
        self.notes.append(text)

    def _count_restart(self, release: Release, folder: PageFolder, change: str) -> None:
        self.restarts += 1
        self.store.discard(folder)
        if self.restarts > MAX_RESTARTS:
            raise ReleaseChanged(
                f"OLS served more than one release of {release.ontology} during the download "
                f"({change}), {self.restarts} times: its pages were dropped and nothing was "
                "published; run again later, a data release or two back ends take some hours."
            )
        self._note(f"The release changed during the download ({change}): began again.")

    async def _whole(self, plan: Plan, folder: PageFolder, began: float) -> Download:
        self.kept = f"{folder.kept}; run again to go on from there."
        reused = set(folder.entries)
        fetch = _Fetch(self.client, plan, folder, self.on_progress, began, self.may_shrink)
        missing = [spec for spec in plan.pages() if spec.key not in reused]
        try:
            if missing:
                await _look(self.client, plan.release)
                await fetch.run(missing)
        finally:
            folder.close()
            self.kept = f"{folder.kept}; run again to go on from there."
        if fetch.fetched:
            await self._look_again(plan.release)
            await asyncio.to_thread(self._prove_distinct, plan, folder, fetch)
        self._note_unknown(fetch.unknown_fields)
        page_set = self.store.complete(folder)
        tally = self.client.exchange.tally
        entries = folder.entries.values()
        return Download(
            page_set=page_set,
            pages=len(folder.entries),
            fetched=fetch.fetched,
            reused=len(reused),
            rows=plan.rows,
            bytes_received=tally.bytes_received,
            bytes_decoded=sum(entry.decoded_bytes for entry in entries),
            requests=tally.requests,
            retries=tally.retries,
            seconds=time.monotonic() - began,
            latencies_s=fetch.latencies_s,
            request_latencies_s=tally.latencies_s,
            max_in_flight_seen=self.client.exchange.gate.max_in_flight_seen,
            notes=self.notes,
        )

    def _note_unknown(self, fields: set[str]) -> None:
        if fields:
            named = ", ".join(printable(name) for name in sorted(fields)[:EXAMPLES])
            self._note(
                f"OLS sends {len(fields)} fields that it didn't before ({named}): kept in the "
                "pages as received, and in no table."
            )

    async def _look_again(self, release: Release) -> None:
        """See the same release twice in a row, the second time with its totals."""
        await _look(self.client, release)
        _refuse_another(release, await self.client.release(release.ontology))

    def _prove_distinct(self, plan: Plan, folder: PageFolder, fetch: "_Fetch") -> None:
        """Every IRI once: then the rows, which add up to totals asked for apart, are the whole."""
        page_set = folder.page_set()
        for spec in plan.pages():
            if spec.key not in fetch.hashes:
                page, _ = parse(page_set.read(spec).body, ClassPage)
                fetch.hashes[spec.key] = iri_hashes(page)
        rows = sum(map(len, fetch.hashes.values()))
        repeated = rows - len({each for page in fetch.hashes.values() for each in page})
        if repeated:
            examples = _repeated(plan, page_set)
            self.store.discard(folder)
            raise IncompleteDownload(
                f"{repeated:,} classes of {plan.release.name} came twice, so as many others are "
                f"missing ({'; '.join(examples)}): OLS changed its order or its data between "
                "pages. The pages were dropped and nothing was published; run again."
            )


async def _look(client: OlsClient, release: Release) -> None:
    """Ask for the ontology document alone, on a connection of its own.

    No page says of which release it is. Replicas that serve two, of equal totals, show in the
    document alone; so it is asked for before, in the middle of and after the pages, and twice in a
    row where replicas may take turns.
    """
    _refuse_another(release, await client.release(release.ontology, release.totals))


def _refuse_another(release: Release, seen: Release) -> None:
    if seen != release:
        raise AnotherRelease(f"{release.name}, then {seen.name}")


def _repeated(plan: Plan, page_set: PageSet) -> list[str]:
    """The first IRIs that stand on more than one page, with the pages."""
    places: dict[str, list[str]] = {}
    for spec in plan.pages():
        page, _ = parse(page_set.read(spec).body, ClassPage)
        for element in page.elements:
            places.setdefault(element.iri, []).append(f"{spec.key.listing} {spec.key.number}")
    several = ((iri, found) for iri, found in places.items() if len(found) > 1)
    return [f"{iri} on pages {', '.join(found)}" for iri, found in islice(several, EXAMPLES)]


@dataclass(slots=True)
class _Fetch:
    """Fetches the missing pages of one plan, concurrently."""

    client: OlsClient
    plan: Plan
    folder: PageFolder
    on_progress: OnProgress | None
    began_s: float
    may_shrink: bool
    looks_after: int = 0
    """So many pages are fetched when it is time to look which release OLS serves."""
    pages_done: int = 0
    rows_done: int = 0
    fetched: int = 0
    latencies_s: list[float] = field(default_factory=list)
    hashes: dict[PageKey, "array[int]"] = field(default_factory=dict)
    rejected: list[PageRejected] = field(default_factory=list)
    unknown_fields: set[str] = field(default_factory=set)

    async def run(self, missing: list[PageSpec]) -> None:
        """Fetch and keep these pages; the first failure ends all others."""
        self.pages_done = len(self.folder.entries)
        self.rows_done = sum(entry.rows for entry in self.folder.entries.values())
        self._report()
        self.looks_after = (len(missing) + 1) // 2
        waiting = iter(missing)
        # More workers than may be under way would only wait at the gate.
        workers = min(self.client.max_in_flight, len(missing))
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(workers):
                    group.create_task(self._work(waiting))
        except BaseExceptionGroup as failures:
            raise _gravest(failures) from None
        if self.rejected:
            raise PageRejected(f"{self.rejected[0]} {self._advice()}")

    async def _work(self, waiting: Iterator[PageSpec]) -> None:
        for spec in waiting:
            try:
                await self._fetch(spec)
            except PageRejected as error:
                # The others are still worth having: the next run won't ask for them again.
                self.rejected.append(error)

    async def _fetch(self, spec: PageSpec) -> None:
        try:
            entry, body, hashes, latency_s = await self._get(spec)
        except GaveUp as given_up:
            entry, body, hashes, latency_s = await self._get_after_all(spec, given_up)
        sys.audit("efo_assets.page_fetched")
        await asyncio.to_thread(self.folder.put, entry, body)
        sys.audit("efo_assets.page_kept")
        self.hashes[spec.key] = hashes
        self.latencies_s.append(latency_s)
        self.fetched += 1
        # The folder's entries may grow in a thread just now.
        self.pages_done += 1
        self.rows_done += entry.rows
        self._report()
        if self.fetched == self.looks_after:
            await _look(self.client, self.plan.release)

    async def _get(
        self, spec: PageSpec, attempts: int | None = None
    ) -> tuple[PageEntry, bytes, "array[int]", float]:
        def accept(answer: Answer, body: Body) -> tuple[PageEntry, bytes, "array[int]", float]:
            page = accepted(spec, body)
            self.unknown_fields.update(unknown_fields(body))
            entry = PageEntry(
                listing=spec.key.listing,
                number=spec.key.number,
                rows=len(page.elements),
                bytes=len(answer.body),
                decoded_bytes=len(body),
                sha256=hashlib.sha256(answer.body).hexdigest(),
                encoding="gzip" if answer.encoding == "gzip" else "identity",
                first_iri=page.elements[0].iri,
                last_iri=page.elements[-1].iri,
            )
            return entry, answer.body, iri_hashes(page), answer.latency_s

        url = self.client.classes_url(self.plan.release.ontology, spec.query())
        return await self.client.exchange.get(url, accept, attempts)

    async def _get_after_all(
        self, spec: PageSpec, given_up: GaveUp
    ) -> tuple[PageEntry, bytes, "array[int]", float]:
        """Where all parts of a page are served, it was bad luck: ask for the whole page again.

        Raises:
            Restart: OLS serves smaller pages, other lists or another release than planned.
            PageRejected: with the rows that OLS can't serve, found by asking for parts.
        """
        cause = given_up.setback.cause
        if isinstance(cause, PageMismatch):
            raise cause.restart from given_up
        parts = spec.parts()
        if isinstance(cause, BodyTooLarge) and self.may_shrink and parts:
            raise PageTooLarge(parts[0].size, cause) from given_up
        rows = await self._unservable(spec)
        if not rows:
            try:
                return await self._get(spec)
            except GaveUp as again:
                rows, given_up = [spec], again
        raise PageRejected(
            f"OLS never served {_place(rows)} of {self.plan.release.name} acceptably: "
            f"{given_up.setback}."
        ) from given_up

    def _advice(self) -> str:
        others = len(self.rejected) - 1
        return (
            (f"So it is with {others} more. " if others else "")
            + "Nothing was published, since a release with a hole is none; "
            f"{self.folder.kept}: run again later, and tell the OLS team if it stays."
        )

    async def _unservable(self, spec: PageSpec) -> list[PageSpec]:
        """The smallest pages within `spec` that fail, each asked for twice; none if all come."""
        failing = [spec]
        while parts := [part for each in failing for part in each.parts()]:
            found = []
            for part in parts:
                found += [] if await self._is_served(part) else [part]
                if len(found) > MAX_UNSERVABLE:
                    return failing
            if not found:
                return [] if failing == [spec] else failing
            if found == parts:
                return failing  # smaller pieces of it would fail as well
            failing = found
        return failing

    async def _is_served(self, part: PageSpec) -> bool:
        try:
            await self._get(part, attempts=2)
        except GaveUp:
            return False
        return True

    def _report(self) -> None:
        if self.on_progress is None:
            return
        self.on_progress(
            Progress(
                pages_done=self.pages_done,
                pages_total=sum(1 for _ in self.plan.pages()),
                rows_done=self.rows_done,
                rows_total=self.plan.rows_in_pages,
                bytes_received=self.client.exchange.tally.bytes_received,
                elapsed_s=time.monotonic() - self.began_s,
                in_flight=self.client.exchange.gate.in_flight,
            )
        )


def _place(specs: list[PageSpec]) -> str:
    first, last = specs[0], specs[-1]
    begin, end = first.first_row, last.first_row + last.rows - 1
    rows = f"row {begin}" if begin == end else f"rows {begin}-{end}"
    return f"{rows} of the {first.key.listing} list (counted from 0)"


def _gravest(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """One failure to show: an unexpected one first, then one of ours, then a restart."""
    flat = [
        _gravest(each) if isinstance(each, BaseExceptionGroup) else each
        for each in failures.exceptions
    ]
    expected = (OlsError, Restart)
    return next((e for e in flat if not isinstance(e, expected)), None) or next(
        (e for e in flat if isinstance(e, OlsError)), flat[0]
    )
