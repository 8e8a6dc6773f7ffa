"""EFO 3.92's own list of obsolete classes, through our table of replacements."""

import csv
from pathlib import Path
from typing import Any

import pytest

from efo_assets.settings import DatabaseTarget
from efo_assets.warehouse.tables import TERMS
from efo_assets.warehouse.warehouse import Warehouse
from efo_assets_tests.warehouse.loads import Row, ask, publish, row

LISTED = Path(__file__).parents[3] / "shared" / "efo" / "obsoletes-3.92.tsv"
OBO = "http://purl.obolibrary.org/obo/"

pytestmark = pytest.mark.skipif(not LISTED.exists(), reason=f"EFO's list is not at {LISTED}")


def listed() -> dict[str, tuple[set[str], set[str]]]:
    """Class to the values of replaced_by and of consider: `<IRI>` or a literal in quotes."""
    found: dict[str, tuple[set[str], set[str]]] = {}
    with LISTED.open(newline="") as file:
        for row in csv.DictReader(file, dialect="excel-tab", quoting=csv.QUOTE_NONE):
            values = found.setdefault(row["?cls"].strip("<>"), (set(), set()))
            for value, column in zip(values, ("?replCls", "?consCls"), strict=True):
                value.update({row[column]} - {""})
    return found


def plain(values: set[str]) -> set[str]:
    """The values as OLS gives them."""
    return {value.strip('<>"') for value in values}


def a_term(
    iri: str, *, is_obsolete: bool = False, replaced_by: Any = (), consider: Any = ()
) -> Row:
    curie = iri.rsplit("/", 1)[-1].replace("_", ":", 1)
    columns = {"iri": iri, "curie": curie, "label": curie, "is_obsolete": is_obsolete}
    return row(TERMS, **columns, replaced_by=sorted(replaced_by), consider=sorted(consider))


def replacements(database: DatabaseTarget) -> list[Any]:
    """Class, kind, status, hops and path of every row that we make of the list."""
    obsolete = listed()
    named = {value for values in obsolete.values() for each in values for value in plain(each)}
    iris = {value if "://" in value else OBO + value.replace(":", "_") for value in named}
    terms = [
        a_term(iri, is_obsolete=True, replaced_by=plain(replaced_by), consider=plain(consider))
        for iri, (replaced_by, consider) in obsolete.items()
    ]
    # The list holds obsolete classes alone: what else it names is taken to be current.
    terms += [a_term(iri) for iri in iris - obsolete.keys()]
    with Warehouse(database) as warehouse:
        publish(warehouse, "3.92.0", terms=terms)
        return ask(
            warehouse,
            "select t.iri, r.kind, r.status, r.hops, r.path from efo_replacements as r"
            " join efo_terms as t on t.id = r.term_id",
        )


def test_the_list_is_the_one_that_was_counted() -> None:
    obsolete = listed()
    values = [value for replaced_by, _ in obsolete.values() for value in replaced_by]
    assert len(obsolete) == 9_932
    assert sum(bool(replaced_by) for replaced_by, _ in obsolete.values()) == 9_414
    several = [replaced_by for replaced_by, _ in obsolete.values() if len(replaced_by) > 1]
    assert len(several) == 21
    # OLS gives both forms as one text: fourteen state one class twice, as IRI and as literal.
    assert sum(len(plain(replaced_by)) > 1 for replaced_by in several) == 7
    assert sum("://" not in value for value in values) == 78


def test_the_table_says_what_was_counted(database: DatabaseTarget) -> None:
    found = replacements(database)
    obsolete = listed()
    replaced = {row[0] for row in found if row[1] == "replaced_by"}
    assert {row[0] for row in found} == obsolete.keys()
    assert len(replaced) == 9_414
    assert len(obsolete.keys() - replaced) == 518
    by_obsolete = {row[0] for row in found if row[1] == "replaced_by" and row[4][1] in obsolete}
    assert len(by_obsolete) == 430
    dead_ends = {row[0] for row in found if row[1:3] == ("replaced_by", "dead_end")}
    # One of them is two replacements away from the class that nothing replaces.
    assert len(dead_ends) == 208
    assert dead_ends <= by_obsolete
    assert {row[0]: row[3] for row in found if row[2] == "cycle"} == {
        "http://www.ebi.ac.uk/efo/EFO_0000099": 1,
        "http://www.ebi.ac.uk/efo/EFO_0022535": 1,
    }
    assert max(row[3] for row in found) == 3
    assert not [row for row in found if row[2] == "target_missing"]
