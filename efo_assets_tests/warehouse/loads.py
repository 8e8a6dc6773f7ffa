"""Small loads made row by row, for tests of staging, audit and publication."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypedDict
from zlib import crc32

from efo_assets.warehouse.copy_rows import CopyRows, RowEncoder
from efo_assets.warehouse.load import Load, Source
from efo_assets.warehouse.statements import compose
from efo_assets.warehouse.tables import (
    COPIED,
    PARENT_EDGES,
    SYNONYMS,
    TERMS,
    XREFS,
    Reference,
    Table,
)
from efo_assets.warehouse.warehouse import Warehouse
from efo_assets_tests.oracle.tables import ExpectedRows

Row = tuple[Any, ...]
COLUMNS = {table.staged_name: [column.name for column in table.copied_columns] for table in COPIED}
EMPTY: dict[str, Callable[[], Any]] = {
    "text": type(None),
    "text[]": list,
    "boolean": bool,
    "bigint": int,
}
"""Type of a column to what makes its empty value."""
PARAMETERS = {"terms": TERMS, "synonyms": SYNONYMS, "edges": PARENT_EDGES, "xrefs": XREFS}
"""Parameter of `stage` to the table that it fills."""


class Rows(TypedDict, total=False):
    """All rows of a release, by the arguments of `stage`."""

    terms: Sequence[Row]
    synonyms: Sequence[Row]
    edges: Sequence[Row]
    xrefs: Sequence[Row]


def iri(name: str) -> str:
    return f"http://example.org/{name}"


def key(of_iri: str) -> int:
    """A surrogate key for the term with this IRI, the same in every load."""
    return crc32(of_iri.encode())


def row(table: Table, **columns: Any) -> Row:
    """A staged row; columns that are not named are empty, false or null."""
    unknown = columns.keys() - set(COLUMNS[table.staged_name])
    assert not unknown, f"{table.staged_name} has no {unknown}"
    blank = {column.name: EMPTY[column.type]() for column in table.copied_columns}
    values = (blank | columns).values()
    return tuple(list(value) if isinstance(value, tuple) else value for value in values)


def term(name: str, label: str | None = "", **columns: Any) -> Row:
    """A current term with a definition, unless the columns say otherwise."""
    defaults = {
        "curie": f"EX:{name}",
        "label": f"label of {name}" if label == "" else label,
        "definition": f"Definition of {name}.",
        "is_defining": True,
    }
    values = {"iri": iri(name), **defaults, **columns}
    return row(TERMS, id=key(values["iri"]), **values)


def synonym(name: str, text: str, scope: str = "exact", *sources: str) -> Row:
    return row(SYNONYMS, term_id=iri(name), synonym=text, scope=scope, sources=sources)


def edge(child: str, parent: str, predicate: str = "is_a") -> Row:
    return (iri(child), iri(parent), predicate)


def xref(
    name: str, prefix: str, accession: str, relation: str = "xref", sources: Sequence[str] = ()
) -> Row:
    return row(
        XREFS,
        term_id=iri(name),
        prefix=prefix,
        accession=accession,
        relation=relation,
        sources=sources,
        found=[f"{prefix}:{accession}"],
    )


def expected(rows: ExpectedRows) -> dict[str, Any]:
    """The rows that the oracle expects, to be staged."""
    return {
        parameter: [
            row(table, **_named(table, each._asdict())) for each in getattr(rows, table.staged_name)
        ]
        for parameter, table in PARAMETERS.items()
    }


def _named(table: Table, columns: dict[str, Any]) -> dict[str, Any]:
    """A row of the oracle's by the names of copied columns; `encoded` turns its IRI into a key."""
    if table is TERMS:
        return {"id": key(columns["iri"]), **columns}
    refs = {iri_column(ref): ref.name for ref in table.references if not ref.copied}
    return {refs.get(name, name): value for name, value in columns.items()}


def iri_column(ref: Reference) -> str:
    """The oracle's name for the IRI of a term that a row refers to."""
    return ref.name.removesuffix("id").removeprefix("term_") + "iri"


def begun(
    warehouse: Warehouse,
    version: str | None = "1",
    *,
    version_iri: str | None = "",
    expected_terms: int = 0,
    limit: int | None = None,
    ontology: str = "efo",
    totals: dict[str, int] | None = None,
) -> Load:
    """An empty load."""
    warehouse.prepare()
    version_iri = f"http://v/{version}" if version_iri == "" else version_iri
    fingerprint = str(version)
    source = Source(
        ontology,
        version,
        version_iri,
        None,
        fingerprint,
        "http://ols",
        limit,
        totals,
        warehouse.ancestors,
    )
    return warehouse.begin(source, expected_terms=expected_terms)


def encoded(
    terms: Sequence[Row] = (),
    synonyms: Sequence[Row] = (),
    edges: Sequence[Row] = (),
    xrefs: Sequence[Row] = (),
    given: Mapping[str, int] = MappingProxyType({}),
) -> dict[str, CopyRows]:
    """Rows as COPY takes them, with the keys that were given to IRIs, or others."""
    encoder, taken = RowEncoder(COLUMNS), set(given.values())
    rows = {"terms": terms, "synonyms": synonyms, "parent_edges": edges, "xrefs": xrefs}
    for name, each in rows.items():
        for first, *values in each:
            of_iri = values[0] if name == "terms" else first
            new = key(of_iri)
            # Another's, once somebody has changed an IRI.
            new += new in taken
            encoder.sinks[name]((given.get(of_iri, new), *values))
    return encoder.taken()


def fill(warehouse: Warehouse, load: Load, rows: Mapping[str, CopyRows]) -> Load:
    """Copy rows into an empty load."""
    with warehouse.filling(load, COLUMNS) as filling:
        filling.write(rows)
        return filling.finish({}, expected_terms=load.expected_terms)


def copy(
    warehouse: Warehouse,
    version: str | None = "1",
    *,
    terms: Sequence[Row] = (),
    synonyms: Sequence[Row] = (),
    edges: Sequence[Row] = (),
    xrefs: Sequence[Row] = (),
    expected_terms: int | None = None,
    **options: Any,
) -> Load:
    """A load of these rows, copied and not sealed yet; options are those of `begun`."""
    expected = len(terms) if expected_terms is None else expected_terms
    load = begun(warehouse, version, expected_terms=expected, **options)
    given: dict[str, int] = {}
    with warehouse.connect() as connection:
        if connection.has_table(warehouse.schema.quoted("terms")):
            query = compose("select iri, id from {}", warehouse.schema.of("terms"))
            given = dict(connection.execute(query).fetchall())
    return fill(warehouse, load, encoded(terms, synonyms, edges, xrefs, given))


def stage(
    warehouse: Warehouse,
    version: str | None = "1",
    findings: Any = MappingProxyType({}),
    **rows: Any,
) -> Load:
    """A staged load of these rows; see `copy` for what they may be."""
    return warehouse.seal(copy(warehouse, version, **rows), findings)


def publish(warehouse: Warehouse, version: str | None = "1", **rows: Any) -> Any:
    """Stage, audit and publish these rows."""
    load = stage(warehouse, version, **rows)
    warehouse.audit(load)
    return warehouse.publish(load)


def ask(warehouse: Warehouse, query: str) -> list[Any]:
    """All rows of a query over the published tables in schema public."""
    with warehouse.connect() as connection, connection.transaction():
        connection.execute("set local search_path = public, efo_meta")
        return connection.execute(query).fetchall()
