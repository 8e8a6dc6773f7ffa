"""Is a page what was asked for? If not, is it the page that is wrong, or the plan?

A page is accepted when its number, rows and totals are those of the plan and its classes are in
the list that they were asked from. No input or output lives here.

    PayloadError                  the page is wrong: ask again
    └── PlanMismatch              the plan doesn't fit what OLS serves: make another
        ├── SmallerPages          OLS serves fewer rows in a page
        ├── FilterIgnored         OLS doesn't honour the conditions on obsolescence
        └── AnotherRelease        what OLS serves has changed
"""

from collections import Counter

from efo_assets.ols import payload
from efo_assets.ols.payload import PayloadError, TooFewRows, UnexpectedContent
from efo_assets.ols.plan import PageSpec
from efo_assets.ols.records import ParsedPage, parse_page

ENVELOPE = ("page", "totalElements", "elements")
"""Keys of a page that stand once in it."""


class PlanMismatch(UnexpectedContent):
    """The plan doesn't fit what OLS serves: make another."""


class SmallerPages(PlanMismatch):
    """OLS serves pages of at most `size` rows, fewer than were asked for."""

    def __init__(self, spec: PageSpec, size: int) -> None:
        super().__init__(
            f"page {spec.key.number} of the {spec.key.listing} list has {size} rows where "
            f"{spec.rows} were asked for"
        )
        self.spec, self.size = spec, size


class FilterIgnored(PlanMismatch):
    """A class is in the wrong list: OLS doesn't honour the conditions on obsolescence."""


class AnotherRelease(PlanMismatch):
    """What OLS serves changed during the download."""


def accepted(spec: PageSpec, body: payload.Body) -> ParsedPage:
    """The page, if it is what was asked for.

    Raises:
        PlanMismatch: it is sound, and doesn't fit the plan.
        PayloadError: it is wrong.
    """
    parsed = parse_page(body)
    page = parsed.page
    payload.refuse_repeated_keys(body, ENVELOPE, rows="elements", of_row="iri")
    rows = len(page.elements)
    if page.page != spec.key.number:
        raise PayloadError(f"it is page {page.page} and {spec.key.number} was asked for")
    if not all(element.iri for element in page.elements):
        raise PayloadError("a class has no IRI")
    wants_obsolete = spec.key.listing == "obsolete"
    strays = [each.iri for each in page.elements if (each.is_obsolete is True) != wants_obsolete]
    if strays and spec.key.listing != "all":
        raise FilterIgnored(f"{strays[0]} is in the {spec.key.listing} list")
    # Generations before 2026 rewrite the total of the last page to what they served up to it.
    if page.total_elements != spec.total and not (spec.is_last and rows != spec.rows):
        raise AnotherRelease(
            f"the {spec.key.listing} list has {page.total_elements:,} rows, not {spec.total:,}"
        )
    if 0 < rows < spec.rows and not spec.is_last:
        raise SmallerPages(spec, rows)
    if rows < spec.rows:
        served = f" and serves {spec.first_row + rows:,}" if rows and spec.is_last else ""
        raise TooFewRows(
            f"{rows} rows where {spec.rows} must be: OLS counts {spec.total:,} in this list{served}"
        )
    if rows > spec.rows:
        raise PayloadError(f"{rows} rows where {spec.rows} must be")
    # Kept, a row in the place of another would spoil the count of all pages each time. A class on
    # two pages is another matter, since either page may be the one that is right.
    ((iri, times),) = Counter(element.iri for element in page.elements).most_common(1)
    if times > 1:
        raise PayloadError(f"{iri} stands in it twice")
    return parsed
