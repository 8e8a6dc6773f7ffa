"""Is a page what was asked for? If not, is it the page that is wrong, or the plan?

A page is accepted when its number, rows and totals are those of the plan and its classes are in
the list that they were asked from. No input or output lives here.
"""

from array import array

import msgspec

from efo_assets.ols.http import PageNotAsAsked
from efo_assets.ols.payload import Body, PayloadError, parse, refuse_repeated_keys
from efo_assets.ols.plan import PageSpec


class Element(msgspec.Struct, gc=False):
    """What of a class tells whether its page is the one that was asked for."""

    iri: str
    isObsolete: bool | None = None  # noqa: N815  # OLS's name


class ClassPage(msgspec.Struct, gc=False):
    """The envelope of a page, and its classes."""

    page: int
    totalElements: int  # noqa: N815  # OLS's name
    elements: list[Element]


class Restart(Exception):
    """The plan doesn't fit what OLS serves: make another."""


class SmallerPages(Restart):
    """OLS serves smaller pages than were asked for."""

    def __init__(self, size: int) -> None:
        super().__init__(f"OLS serves {size} rows in a page at most")
        self.size = size


class PageTooLarge(SmallerPages):
    """A page as large as was asked for is beyond the cap."""

    def __init__(self, size: int, cause: Exception) -> None:
        super().__init__(size)
        self.args = (f"With pages of more than {size} rows {cause}",)


class OneList(Restart):
    """The server doesn't honour the conditions on obsolescence."""


class AnotherRelease(Restart):
    """What OLS serves changed under way."""


class PageMismatch(PageNotAsAsked):
    """A sound page of another plan."""

    def __init__(self, reason: str, restart: Restart) -> None:
        super().__init__(reason)
        self.restart = restart


def accepted(spec: PageSpec, body: Body) -> ClassPage:
    """The page, if it is what was asked for.

    Raises:
        PayloadError: it isn't; `PageMismatch` where the plan rather than the page is wrong.
    """
    page, _ = parse(body, ClassPage)
    refuse_repeated_keys(body, ClassPage.__struct_fields__, rows="elements", of_row="iri")
    rows = len(page.elements)
    if page.page != spec.key.number:
        raise PayloadError(f"it is page {page.page} and {spec.key.number} was asked for")
    if not all(element.iri for element in page.elements):
        raise PayloadError("a class has no IRI")
    _check_list(spec, page)
    # Generations before 2026 rewrite the total of the last page to what they served up to it.
    if page.totalElements != spec.total and not (spec.is_last and rows != spec.rows):
        reason = f"the {spec.key.listing} list has {page.totalElements:,} rows, not {spec.total:,}"
        raise PageMismatch(reason, AnotherRelease(reason))
    if 0 < rows < spec.rows and not spec.is_last:
        raise PageMismatch(f"{rows} rows where {spec.rows} were asked for", SmallerPages(rows))
    if rows != spec.rows:
        raise PayloadError(f"{rows} rows where {spec.rows} must be")
    _refuse_repeated_classes(page)
    return page


def _refuse_repeated_classes(page: ClassPage) -> None:
    """A row in the place of another: kept, the page would spoil the count of all pages each time.

    A class on two pages is another matter, since either page may be the one that is right.
    """
    seen: set[str] = set()
    for element in page.elements:
        if element.iri in seen:
            raise PayloadError(f"{element.iri} stands in it twice")
        seen.add(element.iri)


def _check_list(spec: PageSpec, page: ClassPage) -> None:
    if spec.key.listing == "all":
        return
    wanted = spec.key.listing == "obsolete"
    stray = next((e.iri for e in page.elements if (e.isObsolete is True) != wanted), None)
    if stray is not None:
        raise PageMismatch(f"{stray} is in the {spec.key.listing} list", OneList())


def iri_hashes(page: ClassPage) -> "array[int]":
    """A hash of each IRI, to count distinct ones of all pages in this process."""
    # 8 bytes each: the IRIs themselves would not be flat memory.
    return array("q", (hash(element.iri) for element in page.elements))
