"""The same release as a SQLite file of semantic-sql, made by its own DDL from the oracle's rows."""

import sqlite3
from importlib.resources import files
from pathlib import Path

from efo_assets.sample.ontology import GeneratedRelease
from efo_assets_tests.oracle import semsql as oracle
from efo_assets_tests.oracle.rows import expected_rows

PREFIXES = {
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
    "owl": "http://www.w3.org/2002/07/owl#",
    "oio": "http://www.geneontology.org/formats/oboInOwl#",
    "skos": "http://www.w3.org/2004/02/skos/core#",
    "obo": "http://purl.obolibrary.org/obo/",
    "EFO": "http://www.ebi.ac.uk/efo/EFO_",
}


def write(path: Path, release: GeneratedRelease) -> None:
    """Write a release as `semsql make` would, its closure worked out by the oracle."""
    rows = expected_rows(release)
    edges = oracle.edges(rows)
    builder = files("semsql.builder")
    with sqlite3.connect(path) as connection:
        connection.executescript((builder / "sql_schema" / "semsql.sql").read_text("utf-8"))
        connection.executemany("insert into prefix values (?, ?)", PREFIXES.items())
        stated = oracle.statements(rows, "efo", release.version, release.version_iri)
        connection.executemany(
            "insert into statements (stanza, subject, predicate, object, value, datatype)"
            " values (?1, ?1, ?2, ?3, ?4, ?5)",
            sorted((*stated, *oracle.restrictions(edges)), key=str),
        )
        closure = oracle.entailed(set(oracle.nodes(rows).values()), edges)
        connection.executemany("insert into entailed_edge values (?, ?, ?)", sorted(closure))
        connection.executescript((builder / "indexes" / "all-indexes.sql").read_text("utf-8"))
        connection.execute("alter table statements add column graph text")
        connection.execute("analyze")
