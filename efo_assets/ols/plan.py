"""Which pages make a whole: the lists of classes that OLS offers, cut into pages.

By default OLS leaves obsolete classes out of a list, and only lists with a condition on
obsolescence are served from an index. So a download reads two lists, and the one list of
everything only where the server doesn't honour the conditions.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple

import msgspec

from efo_assets.ols.release import Release

ListingName = Literal["current", "obsolete", "all"]
QUERY_OF_LISTING: dict[ListingName, dict[str, str]] = {
    "current": {},
    "obsolete": {"isObsolete": "true"},
    "all": {"includeObsoleteEntities": "true"},
}
"""The parameters of each list. OLS takes a parameter that it doesn't know for a filter."""


class PageKey(NamedTuple):
    """One page of one list, counted from 0."""

    listing: ListingName
    number: int


class Listing(msgspec.Struct, frozen=True):
    """One list of classes: all that OLS counts in it, and how many of its first rows count."""

    name: ListingName
    total: int
    wanted: int


class PageSpec(NamedTuple):
    """One page to ask for. Rows are counted from 0 within the list."""

    key: PageKey
    size: int
    total: int
    """Rows in the whole list."""

    @property
    def first_row(self) -> int:
        """Row that the page begins with."""
        return self.key.number * self.size

    @property
    def rows(self) -> int:
        """How many rows the page must have."""
        return max(0, min(self.size, self.total - self.first_row))

    @property
    def is_last(self) -> bool:
        """Whether the list ends with this page."""
        return self.first_row + self.size >= self.total

    def query(self) -> dict[str, str]:
        """Parameters of the request."""
        paging = {"page": str(self.key.number), "size": str(self.size)}
        return QUERY_OF_LISTING[self.key.listing] | paging

    def parts(self) -> list["PageSpec"]:
        """Cut the page into the fewest equal pages that stay aligned; none if it can't be cut."""
        divisor = next((d for d in range(2, self.size + 1) if self.size % d == 0), 0)
        if not divisor:
            return []
        size, listing = self.size // divisor, self.key.listing
        first = self.key.number * divisor
        pieces = [
            PageSpec(PageKey(listing, number), size, self.total)
            for number in range(first, first + divisor)
        ]
        return [piece for piece in pieces if piece.rows]


class Plan(msgspec.Struct, frozen=True):
    """All the pages of one download. `limit` says how many rows count; None means all."""

    release: Release
    page_size: int
    limit: int | None
    listings: tuple[Listing, ...]

    @property
    def rows(self) -> int:
        """How many classes the download must hold."""
        return sum(listing.wanted for listing in self.listings)

    def pages(self) -> Iterator[PageSpec]:
        """Every page in order."""
        for listing in self.listings:
            for number in range(-(-listing.wanted // self.page_size)):
                yield PageSpec(PageKey(listing.name, number), self.page_size, listing.total)

    def place(self, spec: PageSpec) -> int:
        """How many rows stand before the page, with all rows of the lists before its own."""
        names = [listing.name for listing in self.listings]
        before = self.listings[: names.index(spec.key.listing)]
        return sum(listing.total for listing in before) + spec.first_row

    def wanted_rows(self, spec: PageSpec) -> int:
        """How many rows of the page count: all but those beyond the limit."""
        wanted = next(each.wanted for each in self.listings if each.name == spec.key.listing)
        return min(spec.rows, wanted - spec.first_row)


def make_plan(release: Release, page_size: int, limit: int | None, *, one_list: bool) -> Plan:
    """Plan the pages of `release`, from two lists or from one."""
    totals = release.totals
    limit_rows = totals.all if limit is None else limit
    wanted = min(totals.current, limit_rows)
    listings: tuple[Listing, ...] = (
        Listing("current", totals.current, wanted),
        Listing("obsolete", totals.obsolete, min(totals.obsolete, limit_rows - wanted)),
    )
    if one_list:
        listings = (Listing("all", totals.all, min(totals.all, limit_rows)),)
    return Plan(release, min(page_size, limit or page_size), limit, listings)
