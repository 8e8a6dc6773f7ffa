"""Small loads made row by row, for tests of staging, audit and publication."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import gettempdir
from typing import Any, TypedDict

from efo_assets.warehouse.copy_files import CopyFiles
from efo_assets.warehouse.load import Load, Source
from efo_assets.warehouse.tables import COPIED
from efo_assets.warehouse.warehouse import Warehouse

Row = tuple[Any, ...]


class Rows(TypedDict, total=False):
    """All rows of a release, by the arguments of `stage`."""

    terms: Sequence[Row]
    synonyms: Sequence[Row]
    edges: Sequence[Row]
    xrefs: Sequence[Row]


def iri(name: str) -> str:
    return f"http://example.org/{name}"


def term(
    name: str,
    label: str | None = None,
    *,
    is_obsolete: bool = False,
    replaced_by: Sequence[str] = (),
    consider: Sequence[str] = (),
) -> Row:
    return (
        iri(name),
        f"EX:{name}",
        label or f"label of {name}",
        [],
        f"Definition of {name}.",
        [],
        is_obsolete,
        False,
        True,
        list(replaced_by),
        list(consider),
        [],
        False,
        None,
        None,
    )


def synonym(name: str, text: str, scope: str = "exact", *sources: str) -> Row:
    return (iri(name), text, scope, None, [], list(sources))


def edge(child: str, parent: str, predicate: str = "is_a") -> Row:
    return (iri(child), iri(parent), predicate)


def xref(name: str, prefix: str, accession: str) -> Row:
    return (iri(name), prefix, accession, "xref", [], None, [f"{prefix}:{accession}"])


def stage(
    warehouse: Warehouse,
    version: str = "1",
    *,
    terms: Sequence[Row] = (),
    synonyms: Sequence[Row] = (),
    edges: Sequence[Row] = (),
    xrefs: Sequence[Row] = (),
    expected_terms: int | None = None,
    limit: int | None = None,
    ontology: str = "efo",
    totals: dict[str, int] | None = None,
) -> Load:
    """A staged load of these rows."""
    warehouse.prepare()
    source = Source(
        ontology, version, f"http://v/{version}", None, version, "http://ols", limit, totals
    )
    load = warehouse.begin(
        source, expected_terms=len(terms) if expected_terms is None else expected_terms
    )
    rows = {"terms": terms, "synonyms": synonyms, "parent_edges": edges, "xrefs": xrefs}
    files = CopyFiles(Path(gettempdir()))
    with files.writing() as write:
        for name, each in rows.items():
            for row in each:
                write[name](row)
    for table in COPIED:
        warehouse.copy_into(load, table, files.file(table))
    files.close()
    return warehouse.seal(load, {})


def publish(warehouse: Warehouse, version: str = "1", **rows: Any) -> Any:
    """Stage, audit and publish these rows."""
    load = stage(warehouse, version, **rows)
    warehouse.audit(load)
    return warehouse.publish(load)


def ask(warehouse: Warehouse, query: str) -> list[Any]:
    """All rows of a query over the published tables in schema public."""
    with warehouse.connect() as connection, connection.transaction():
        connection.execute("set local search_path = public, efo_meta")
        return connection.execute(query).fetchall()
