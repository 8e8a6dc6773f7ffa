"""The OLS client: where things are in OLS4, and which release of an ontology it serves now.

URLs are built here from the base and the ontology id, never from what OLS sends. A whole download
is a function over a client, in `download`.
"""

import asyncio
import re
from dataclasses import dataclass
from typing import Any

import msgspec
from yarl import URL

from efo_assets.errors import IncompleteDownload, PageRejected, UnknownOntology
from efo_assets.ols.http import AttemptFailed, NotFound, Response, Transport
from efo_assets.ols.payload import Inflater, PayloadError, parse
from efo_assets.ols.plan import QUERY_OF_LISTING
from efo_assets.ols.release import Listed, Release, Totals

MAX_CLASSES = 5_000_000
"""The largest ontology in OLS, NCBITaxon, has 2.7 million; memory has to hold a hash of each."""
UNKNOWN_MARK = "Expected at least 1 result"
"""What OLS before June 2026 says, with status 500, of an ontology that it doesn't hold."""


LISTED_ROWS = 20
"""Ontologies in a page of the list, as OLS serves it unasked: their documents are long."""


class _Listing(msgspec.Struct, frozen=True):
    """A page of the list of ontologies."""

    elements: list[Listed]
    total: int = msgspec.field(name="totalElements")


@dataclass(eq=False, repr=False)  # its URL may hold a password
class OlsClient(Transport):
    """An OLS4 service, asked politely; an async context manager."""

    base_url: str

    def __post_init__(self) -> None:
        super().__post_init__()
        self._base = URL(self.base_url)

    def classes_url(self, ontology: str, query: dict[str, str]) -> URL:
        """Where a page of classes is."""
        return self._ontology_url(ontology) / "classes" % query

    def _ontology_url(self, ontology: str) -> URL:
        return self._base / "api" / "v2" / "ontologies" / ontology

    async def release(self, ontology: str, totals: Totals | None = None) -> Release:
        """The release that OLS serves now: one document and three totals; 4 requests.

        With `totals`, only the document is asked for. Each request has a connection of its own, so
        that one replica doesn't speak for the others.

        Raises:
            UnknownOntology: OLS does not hold the ontology, or holds it empty.
            IncompleteDownload: the totals contradict each other, or are beyond what can be.
            PageRejected: OLS never answered with what was asked.
            OlsRefused: OLS answered no.
            OlsUnreachable: OLS does not answer.
        """
        url = self._ontology_url(ontology)
        try:
            document = await self.get(url, self._object, is_probe=True)
            totals = totals or await self._totals(ontology, document.get("numberOfClasses"))
        except NotFound as error:
            raise self._unknown(ontology) from error
        except AttemptFailed as failure:
            if UNKNOWN_MARK in failure.sentence:
                raise self._unknown(ontology) from failure
            raise PageRejected(
                f"OLS at {self._base} does not say what it serves of {ontology}: {failure}. "
                "Nothing was published and downloaded pages are kept; run again later, or look at "
                "EFO_OLS_URL."
            ) from failure
        return Release.from_document(ontology, document, totals)

    async def ontologies(self) -> list[Listed]:
        """Every ontology that OLS lists now; a request for 20 of them.

        Raises:
            IncompleteDownload: pages don't make one whole list.
            PageRejected: OLS never answered with what was asked.
            OlsRefused: OLS answered no.
            OlsUnreachable: OLS does not answer.
        """
        found: dict[str, Listed] = {}
        page, pages, rows = 0, 1, 0
        totals: set[int] = set()
        while page < pages:
            url = self._base / "api/v2/ontologies" % {"page": str(page), "size": str(LISTED_ROWS)}
            try:
                answer = await self.get(url, self._listing, is_probe=True)
            except (AttemptFailed, NotFound) as failure:
                raise PageRejected(
                    f"OLS at {self._base} does not list its ontologies: {failure}. Nothing was "
                    "changed; ask again later, or look at EFO_OLS_URL."
                ) from failure
            found |= {each.ontology: each for each in answer.elements}
            rows += len(answer.elements)
            totals.add(answer.total)
            page += 1
            pages = -(-answer.total // LISTED_ROWS) if answer.elements else 0
        # A row that goes meanwhile moves another to a page that was read already.
        if {rows, len(found)} != totals:
            raise IncompleteDownload(
                f"OLS at {self._base} says that it lists {max(totals):,} ontologies, and its "
                f"pages name {len(found):,} in {rows:,} rows: its list changes just now. Nothing "
                "was changed; ask again later."
            )
        return list(found.values())

    async def _listing(self, response: Response) -> "_Listing":
        body, encoding = response.body, response.content_encoding
        text = Inflater().inflate(body, encoding, self.body_cap_bytes)
        return parse(text, _Listing)[0]

    async def _totals(self, ontology: str, declared: object) -> Totals:
        asked: dict[str, asyncio.Task[int]] = {}
        try:
            async with asyncio.TaskGroup() as group:
                for name, condition in QUERY_OF_LISTING.items():
                    url = self.classes_url(ontology, {"page": "0", "size": "1", **condition})
                    # With so many attempts each: together they would pass for an outage.
                    total = self.get(url, self._total, self.attempts, is_probe=True)
                    asked[name] = group.create_task(total)
        except BaseExceptionGroup as failures:
            first = failures.exceptions[0]
            raise first from first.__cause__
        totals = Totals(**{name: total.result() for name, total in asked.items()})
        if not totals.all and not totals.current:
            raise self._unknown(ontology)
        if totals.all < max(totals.current, totals.obsolete, 1):
            raise IncompleteDownload(
                f"OLS at {self._base} counts {totals.current:,} current and {totals.obsolete:,} "
                f"obsolete classes of {ontology}, but {totals.all:,} in all: nothing can be whole "
                "then, nothing was published and downloaded pages are kept; run again later."
            )
        # Declared are all classes that the file names: more than are listed, in 104 recordings.
        # Twice as many is room enough, since the pages themselves prove what is whole.
        known = str(declared) if re.fullmatch(r"[0-9]{1,12}", str(declared)) else ""
        most = min(MAX_CLASSES, 2 * int(known) + 1000) if known.strip("0") else MAX_CLASSES
        if max(totals.all, totals.current + totals.obsolete) > most:
            raise IncompleteDownload(
                f"OLS at {self._base} counts {max(totals.all, totals.current):,} classes of "
                f"{ontology} in its lists, "
                + (
                    f"where its record names {int(known):,}"
                    if known
                    else "and its record names none"
                )
                + f": more than {most:,} are not believed, no page was asked for, nothing was "
                "published and downloaded pages are kept; run again later, and tell the OLS team "
                "if it stays."
            )
        return totals

    async def _total(self, response: Response) -> int:
        total = (await self._object(response)).get("totalElements")
        if not isinstance(total, int):
            raise PayloadError("the page has no totalElements")
        return total

    async def _object(self, response: Response) -> dict[str, Any]:
        """The JSON object that an answer holds."""

        def parsed() -> dict[str, Any]:
            body, encoding = response.body, response.content_encoding
            text = Inflater().inflate(body, encoding, self.body_cap_bytes)
            return parse(text, dict[str, Any])[0]

        return await asyncio.to_thread(parsed)

    def _unknown(self, ontology: str) -> UnknownOntology:
        return UnknownOntology(
            f"OLS at {self._base} does not hold the ontology {ontology!r}, or holds it empty: "
            "nothing was published; look at the id (EFO_ONTOLOGY, or the graph's own) and at the "
            "address (EFO_OLS_URL), or run again later, since ontologies vanish from OLS for days."
        )
