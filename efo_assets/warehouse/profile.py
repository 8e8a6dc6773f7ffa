"""The profile of a table: how many rows hold what; and what a release lost against the last one.

A release may be whole and still be nonsense, such as labels that became IRIs because a field of the
server's changed. What it looks like is counted in one pass and compared with the published release.
The bounds lie beyond what a release of EFO ever did, and below what the loss of a field does; each
has a floor in rows, below which a single editor's work is as large.
"""

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

from efo_assets.warehouse.session import Connection
from efo_assets.warehouse.statements import measured, profiled
from efo_assets.warehouse.tables import Table

LOST_HALF = 0.5
"""Of a column's values, of the rows of a kind or of a derived table. Editors work class by class: a
release that touched 13.6 % of all classes, EFO's largest, can't halve what spreads over them. A
field that is dropped or renamed takes all of it."""
LOST_SOME = 0.1
"""Worth a warning."""
FEW_ROWS = 10
"""So many may vanish by an edit, of however few."""
OF_ALL_ROWS = 0.01
"""A column with values left that lost fewer rows of its table than this is a warning: it was rare,
and one list of an editor's fills or empties it."""

TOUCHED = 0.2
"""Of the classes that stood: half as much again as EFO's largest release, which touched 13.6 %.
A server that spells labels, IRIs or references otherwise touches all."""
TOUCHED_MANY = 0.1
"""Worth a warning."""
FEW_CLASSES = 50
"""So many may be touched, of however few: a small ontology is renamed in an afternoon."""

Profile: TypeAlias = Mapping[str, int]
"""Rows by figure: `rows` of all, a column's name of those with a value, `scope exact` of a kind."""
ROWS = "rows"


class Loss(NamedTuple):
    """A figure that fell."""

    figure: str
    published: int
    staged: int
    blocks: bool


def profile(
    connection: Connection, place: tuple[str, str], table: Table, *, is_published: bool
) -> Profile:
    """Count the rows of a staged or published table."""
    columns, kinds = measured(table), table.kinds
    figures: Counter[str] = Counter()
    for row in connection.execute(profiled(place, table, is_published=is_published)):
        (count, *filled), words = row[len(kinds) :], row[: len(kinds)]
        figures[ROWS] += count
        figures.update(dict(zip(columns, filled, strict=True)))
        for kind, word in zip(kinds, words, strict=True):
            figures[f"{kind.column} {word or '(none)'}"] += count
    return figures


def losses(table: Table, published: Profile, staged: Profile) -> list[Loss]:
    """The figures that lost too much: those that block first, the largest losses first."""
    shares = {f"{kind.column} ": kind.least_share for kind in table.kinds}
    found = []
    for figure, before in published.items():
        now = staged.get(figure, 0)
        if figure == ROWS and not table.is_derived:
            continue  # what a copied table may lose has a check of its own
        lost, all_rows = before - now, published[ROWS]
        if lost < FEW_ROWS or lost <= before * LOST_SOME:
            continue
        of_kind = [share for column, share in shares.items() if figure.startswith(column)]
        column_share = OF_ALL_ROWS if now and figure != ROWS else 0.0
        least = all_rows * (of_kind[0] if of_kind else column_share)
        found.append(Loss(figure, before, now, lost > before * LOST_HALF and lost >= least))
    return sorted(found, key=lambda loss: (not loss.blocks, loss.staged - loss.published))


def shown(figures: Profile) -> dict[str, int]:
    """The figures that are worth a plot, by what they count; not each of hundreds of prefixes."""
    few = figures.get(ROWS, 0) * OF_ALL_ROWS
    return {
        f"profile: {figure}": count
        for figure, count in figures.items()
        if figure != ROWS and (count >= few or " " not in figure)
    }
