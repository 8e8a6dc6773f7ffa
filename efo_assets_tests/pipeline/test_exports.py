"""Files of the published release: whole, the same from any database, named once they are done."""

import csv
import importlib
import io
import json
import re
import shutil
import subprocess
import threading
from itertools import count, dropwhile
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote

import pyarrow as pa
import pytest
import yaml
from pyarrow import parquet

from efo_assets.errors import ExportFailed
from efo_assets.pipeline import exports
from efo_assets.pipeline.exports import (
    REPLACEMENTS_NAME,
    SSSOM_NAME,
    Exported,
    export,
    parquet_name,
)
from efo_assets.settings import DatabaseTarget
from efo_assets.warehouse.session import Connection
from efo_assets.warehouse.statements import compose
from efo_assets.warehouse.tables import CHANGES, REPLACEMENTS, SYNONYMS, TABLES, TERMS, XREFS
from efo_assets.warehouse.warehouse import Warehouse
from efo_assets_tests.warehouse.loads import Row, Rows, edge, iri, publish, row, synonym, term, xref

ALLOW_SHRINK = True
PATIENCE_S = 60.0


# pyarrow has no types.
read_table: Any = parquet.read_table
NAMES = [*map(parquet_name, TABLES), SSSOM_NAME, REPLACEMENTS_NAME]
RELEASE: Rows = {
    "terms": [
        term("b", 'quoted "label"\twith a tab'),
        term("a"),
        term("o", is_obsolete=True, replaced_by=["EX:a"]),
    ],
    "synonyms": [synonym("a", "first", "exact", "X:1")],
    "edges": [edge("b", "a")],
    "xrefs": [xref("a", "mesh", "D000001"), xref("o", "mesh", "C000002")],
}


def exported(warehouse: Warehouse, folder: Path) -> dict[str, Exported]:
    return {each.path.name: each for each in export(warehouse, folder, NAMES)}


def test_every_table_is_a_parquet_file_with_the_release_in_its_metadata(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    publish(warehouse, **RELEASE)
    made = exported(warehouse, tmp_path / "new")
    assert sorted(made) == sorted(NAMES)
    for table in TABLES:
        read = read_table(made[parquet_name(table)].path)
        assert read.column_names == [column.name for column in table.exported_columns]
        assert read.num_rows == made[parquet_name(table)].rows
        assert read.schema.metadata[b"version"] == b"1"
        assert read.schema.metadata[b"ontology"] == b"efo"
    terms = read_table(made[parquet_name(TERMS)].path)
    assert terms["iri"].to_pylist() == [iri("a"), iri("b"), iri("o")]
    assert terms["replaced_by"].to_pylist() == [[], [], ["EX:a"]]
    assert terms.schema.field("is_obsolete").type == pa.bool_()
    replacements = read_table(made[parquet_name(REPLACEMENTS)].path).to_pylist()
    assert [(row["term_iri"], row["target_iri"], row["status"]) for row in replacements] == [
        (iri("o"), iri("a"), "resolved")
    ]


def _reversed(rows: Rows) -> dict[str, Any]:
    return {name: list(reversed(cast("list[Row]", each))) for name, each in rows.items()}


def test_the_same_release_gives_the_same_bytes_from_another_database(
    warehouse: Warehouse, other_database: DatabaseTarget, tmp_path: Path
) -> None:
    publish(warehouse, **RELEASE)
    with Warehouse(other_database, allow_shrink=True) as other:
        # Other surrogate keys, other order of rows.
        publish(other, "0", terms=[term("z")])
        publish(other, **_reversed(RELEASE))
        theirs = exported(other, tmp_path / "theirs")
    ours = exported(warehouse, tmp_path / "ours")
    for name in set(NAMES) - {parquet_name(CHANGES)}:
        assert ours[name].path.read_bytes() == theirs[name].path.read_bytes(), name


ODD_TEXTS = (
    *("", "NULL", '"', '""', "a,b", "a\tb", "a\nb", "a\rb", "\r\n", "\\.", "\\N", "\\", " spaced "),
    *("{}", "[]", '["a"]', "null", "t", "1", "\u2028", "\ufeff", "\U0001f600", "Ü"),
)


def test_texts_lists_and_nulls_are_in_parquet_as_they_are_in_postgresql(
    warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So that rows fill some batches, and the last one in part.
    monkeypatch.setattr("efo_assets.pipeline.parquet.ROWS_AT_ONCE", 7)
    terms = [
        row(TERMS, iri=iri(f"odd{n:02}"), label=text or "x", definition=text, consider=texts)
        for n, text in enumerate(ODD_TEXTS)
        for texts in [list(ODD_TEXTS[:n])]
    ]
    terms.append(row(TERMS, iri=iri("z"), label="no definition", definition=None))
    synonyms = [synonym(f"odd{n:02}", text, "exact") for n, text in enumerate(ODD_TEXTS) if text]
    publish(warehouse, terms=terms, synonyms=synonyms)
    made = exported(warehouse, tmp_path)
    for table in (TERMS, SYNONYMS):
        names = [column.name for column in table.columns]
        read = read_table(made[parquet_name(table)].path).select(names).to_pylist()
        with warehouse.connect() as connection:
            stored = connection.execute(f"select {', '.join(names)} from public.{table.name}")
            expected = [dict(zip(names, each, strict=True)) for each in stored]
        assert sorted(read, key=repr) == sorted(expected, key=repr)


def test_all_files_are_of_one_release_though_another_is_published_meanwhile(
    warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(warehouse, **RELEASE)
    expected = {name: each.rows for name, each in exported(warehouse, tmp_path).items()}
    calls, write = count(), exports._write

    def publish_another() -> None:
        publish(warehouse, "2", terms=[term("a"), term("new")])

    both = threading.Barrier(2, action=publish_another)

    def write_late(*given: Any) -> Exported:
        # Both connections are at their first file.
        if next(calls) < both.parties:
            both.wait(PATIENCE_S)
        return write(*given)

    monkeypatch.setattr(exports, "_write", write_late)
    made = exported(warehouse, tmp_path)
    assert {name: each.rows for name, each in made.items()} == expected
    assert {each.release for each in made.values()} == {"efo 1"}


@pytest.mark.parametrize("is_first", [True, False], ids=["first", "second"])
def test_a_connection_that_is_lost_costs_no_file(
    warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_first: bool
) -> None:
    publish(warehouse, **RELEASE)
    before = exported(warehouse, tmp_path / "before")
    calls, write, both = count(), exports._write, threading.Barrier(2)

    def write_cut(connection: Connection, *given: Any) -> Exported:
        if next(calls) < both.parties:
            both.wait(PATIENCE_S)
            if is_first is (threading.current_thread() is threading.main_thread()):
                with warehouse.connect() as other:
                    process = connection.info.backend_pid
                    other.execute("select pg_terminate_backend(%s)", [process])
        return write(connection, *given)

    monkeypatch.setattr(exports, "_write", write_cut)
    made = exported(warehouse, tmp_path)
    assert next(calls) > both.parties
    for each in before:
        assert made[each].path.read_bytes() == before[each].path.read_bytes(), each


def test_one_connection_is_enough(
    warehouse: Warehouse, database: DatabaseTarget, tmp_path: Path
) -> None:
    publish(warehouse, **RELEASE)
    before = exported(warehouse, tmp_path / "two")
    name = str(database.parameters["dbname"])
    with warehouse.connect() as connection:
        # One more has the writer's lock.
        connection.execute_alone(compose("alter database {} connection limit 2", name))
    alone = exported(warehouse, tmp_path / "one")
    assert before.keys() == alone.keys()
    for each in before:
        assert alone[each].path.read_bytes() == before[each].path.read_bytes(), each


def test_changes_name_their_release(warehouse: Warehouse, tmp_path: Path) -> None:
    publish(warehouse, **RELEASE)
    publish(warehouse, "2", **RELEASE | {"synonyms": []})
    (made,) = export(warehouse, tmp_path, [parquet_name(CHANGES)])
    (row,) = read_table(made.path).to_pylist()
    assert (row["release"], row["term_iri"], row["kind"], row["before"]) == (
        "2",
        iri("a"),
        "synonym removed",
        "exact: first",
    )


def rows_of(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    with path.open(newline="") as file:
        lines = file.readlines()
    comments = [line.rstrip("\n") for line in lines if line.startswith("#")]
    return comments, list(csv.DictReader(lines[len(comments) :], dialect="excel-tab"))


def test_mesh_is_a_mapping_set(warehouse: Warehouse, tmp_path: Path) -> None:
    publish(warehouse, **RELEASE)
    comments, rows = rows_of(exported(warehouse, tmp_path)[SSSOM_NAME].path)
    assert '#  EX: "http://example.org/"' in comments
    assert '#mapping_set_version: "1"' in comments
    assert [
        (row["subject_id"], row["predicate_id"], row["object_id"], row["comment"]) for row in rows
    ] == [
        ("EX:a", "oboInOwl:hasDbXref", "mesh:C000002", f"by way of {iri('o')}"),
        ("EX:a", "oboInOwl:hasDbXref", "mesh:D000001", ""),
    ]
    assert {row["mapping_justification"] for row in rows} == {"semapv:UnspecifiedMatching"}


EQUIVALENT = "MONDO:equivalentTo"
OBO = "http://purl.obolibrary.org/obo/"
ODD_SUBJECTS = {
    # IRI to the CURIE that OLS gives
    f"{OBO}MONDO_1": "MONDO:1",
    f"{OBO}DOID_9": None,
    "http://example.org/hgnc?hgnc_id=5": "hgnc?hgnc_id=5",
    "http://example.org/with space|and pipe": "with space|and pipe",
    "http://example.org/Ü#ß": "Ü:ß",
    "http://example.org/ends/": "ends/",
    "http://other.org/b": "EX:b",
    "http://www.w3.org/2004/02/skos/core#Concept": "SKOS:Concept",
    "http://not.skos/Concept": "skos:Concept",
    "http://example.org/1:2": "EX:1:2",
    "urn:uuid:0f": "Person",
}
ODD_SOURCES = [
    *("DOID:225", EQUIVALENT, "MESH:D1", "MSH:D1", "i2s", "no such:thing", "X Y:1", "Nobody:1"),
    *("https://orcid.org/0000-0001-2345-6789", "http://example.org/a|b", "a|b", "PMID: 7 ", ":"),
    *(
        "UMLS:CUI:C1",
        "source:1",
        "NCIT:C1 (label)",
        "\U0001f600:1",
        "GARD:1#2",
        "KEGG_X:1",
        "semapv:x",
    ),
]


def valid_by_the_rules(comments: list[str], rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Assert what SSSOM asks of a set: CURIEs with declared prefixes, URIs, one value a cell."""
    facts = yaml.safe_load("".join(f"{line[1:]}\n" for line in comments))
    uri = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[A-Za-z0-9._~!$&'()*+,;=:@/?%-]*(#[^\s#|]*)?")
    assert uri.fullmatch(facts["mapping_set_id"])
    bases = facts["curie_map"]
    assert all(map(uri.fullmatch, bases.values()))
    assert len(set(bases.values())) == len(bases)
    for each in rows:
        for slot in ("subject_id", "object_id", "predicate_id", "mapping_source"):
            prefix, colon, local = each[slot].partition(":")
            assert (slot, not each[slot]) == ("mapping_source", True) or (colon and local), each
            assert not each[slot] or prefix in bases, each[slot]
            assert re.fullmatch(r"[^\s|<>\"]*", each[slot]), each[slot]
    assert len({tuple(each.values()) for each in rows}) == len(rows)
    return rows


def read_by_sssom(path: Path) -> int | None:
    """How many mappings sssom-py keeps of a file that it finds valid; None without sssom-py."""
    program = shutil.which("sssom")
    if program is None:
        return None
    subprocess.run([program, "validate", path], check=True, capture_output=True, timeout=300)
    parsed = path.with_suffix(".parsed")
    subprocess.run(
        [program, "parse", path, "-o", parsed], check=True, capture_output=True, timeout=300
    )
    return len(rows_of(parsed)[1])


@pytest.mark.fault("P34")
@pytest.mark.parametrize(
    ("version", "version_iri", "set_id"),
    [
        ("3.92.0", "http://www.ebi.ac.uk/efo/efo.owl", "http://www.ebi.ac.uk/efo/efo.owl#mesh"),
        ("3 a", None, "https://www.ebi.ac.uk/ols4/ontologies/efo#mesh/3%20a"),
        (None, "no uri", "https://www.ebi.ac.uk/ols4/ontologies/efo#mesh"),
        ('\x7f\u2028:"', "http://v/1#2 |", "http://v/1#2%20%7C/mesh"),
    ],
)
def test_every_mapping_with_each_of_its_sources_is_read_back(
    version: str, version_iri: str | None, set_id: str, warehouse: Warehouse, tmp_path: Path
) -> None:
    subjects = [row(TERMS, iri=iri, curie=curie, label="NA") for iri, curie in ODD_SUBJECTS.items()]
    publish(
        warehouse,
        version,
        version_iri=version_iri,
        terms=[term("a", "two sources"), term("none"), *subjects],
        xrefs=[
            xref("a", "mesh", "D013577", sources=["DOID:225", EQUIVALENT]),
            xref("none", "mesh", "D000001", sources=ODD_SOURCES),
            *(
                row(XREFS, term_id=iri, prefix="mesh", accession=f"C{n:06}", relation="exact")
                for n, iri in enumerate(ODD_SUBJECTS)
            ),
        ],
    )
    made = exported(warehouse, tmp_path)[SSSOM_NAME]
    comments, rows = rows_of(made.path)
    valid_by_the_rules(comments, rows)
    facts = yaml.safe_load("".join(f"{line[1:]}\n" for line in comments))
    assert facts["mapping_set_id"] == set_id
    assert facts["mapping_set_version"] == (version or "")
    assert [each["mapping_source"] for each in rows if each["subject_id"] == "EX:a"] == [
        "DOID:225",
        EQUIVALENT,
    ]
    assert facts["curie_map"]["MONDO"] == f"{OBO}MONDO_"
    assert facts["curie_map"]["DOID"] == "https://bioregistry.io/doid:"
    # MESH:D1 and MSH:D1 are one source.
    assert made.rows == len(rows) == 2 + len(ODD_SOURCES) - 1 + len(ODD_SUBJECTS)
    bases = facts["curie_map"]
    uris = {
        bases[prefix] + local for prefix, local in (r["subject_id"].split(":", 1) for r in rows)
    }
    assert {unquote(uri) for uri in uris} == {iri("a"), iri("none"), *ODD_SUBJECTS}
    read_back = read_by_sssom(made.path)
    if read_back is None:
        pytest.skip("sssom-py is not installed: the rules held, its validator was not asked")
    assert read_back == made.rows


def test_a_version_that_would_break_a_line_does_not(warehouse: Warehouse, tmp_path: Path) -> None:
    publish(warehouse, '1"\n#forged: yes', **RELEASE)
    for name in (SSSOM_NAME, REPLACEMENTS_NAME):
        comments, rows = rows_of(exported(warehouse, tmp_path)[name].path)
        assert rows
        assert not [line for line in comments if line.startswith("#forged")]


ODD_LABELS = (
    *("#1", "two # marks #", "NA", 'a "quoted"', '"', "a\ttab", "a\nbreak", "a\rreturn", "\r\n"),
    *("it's", " spaced ", "a\u2028line", "\\t", "", "1.0", "TRUE", "a,b;c|d"),
)


@pytest.mark.fault("P38")
def test_tsv_files_are_read_as_they_are(warehouse: Warehouse, tmp_path: Path) -> None:
    labels = {f"{OBO}#{n}": label for n, label in enumerate(ODD_LABELS)}
    publish(
        warehouse,
        terms=[
            term("a", "target # of all"),
            *(
                row(TERMS, iri=iri, label=label, is_obsolete=True, replaced_by=["EX:a"])
                for iri, label in labels.items()
            ),
        ],
        xrefs=[xref("a", "mesh", "D000001"), xref("a", "mesh", "D000002", sources=["X:1"])],
    )
    made = exported(warehouse, tmp_path)
    plain = read_as_documented(made[REPLACEMENTS_NAME].path)
    assert len(plain) == made[REPLACEMENTS_NAME].rows == len(labels)
    assert {each["iri"]: each["label"] for each in plain} == labels
    assert {each["target_label"] for each in plain} == {"target # of all"}
    mappings = read_as_documented(made[SSSOM_NAME].path)
    assert len(mappings) == made[SSSOM_NAME].rows == 2
    assert {each["subject_label"] for each in mappings} == {"target # of all"}


def read_as_documented(path: Path) -> list[dict[str, str]]:
    """The rows as the line for pandas in docs/tables.md reads them."""
    with path.open(encoding="utf-8", newline="") as file:
        rest = "".join(dropwhile(lambda line: line.startswith("#"), file))
    try:
        pandas = importlib.import_module("pandas")
    except ModuleNotFoundError:
        return list(csv.DictReader(io.StringIO(rest, newline=""), dialect="excel-tab"))
    frame = pandas.read_csv(io.StringIO(rest), sep="\t", dtype=str, keep_default_na=False)
    return cast("list[dict[str, str]]", frame.to_dict("records"))


def test_replacements_are_a_table(warehouse: Warehouse, tmp_path: Path) -> None:
    publish(warehouse, **RELEASE)
    made = exported(warehouse, tmp_path)[REPLACEMENTS_NAME]
    comments, rows = rows_of(made.path)
    assert comments == []
    beside = json.loads((tmp_path / f"{REPLACEMENTS_NAME}-metadata.json").read_text())
    assert beside["url"] == REPLACEMENTS_NAME
    assert beside["notes"][0]["version"] == "1"
    (row,) = rows
    assert (row["iri"], row["target"], row["target_curie"], row["status"], row["hops"]) == (
        iri("o"),
        iri("a"),
        "EX:a",
        "resolved",
        "1",
    )


def test_with_nothing_published_the_error_names_the_command(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    with pytest.raises(ExportFailed, match=r"run `efo-assets load` or"):
        export(warehouse, tmp_path, NAMES)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_leaves_the_one_before(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    publish(warehouse, **RELEASE)
    made = exported(warehouse, tmp_path)
    before = made[SSSOM_NAME].path.read_bytes()
    (tmp_path / f".{SSSOM_NAME}.part").mkdir()
    publish(warehouse, "2", **RELEASE | {"xrefs": []})
    with pytest.raises(ExportFailed, match="those that stood there stay"):
        export(warehouse, tmp_path, [SSSOM_NAME])
    assert made[SSSOM_NAME].path.read_bytes() == before


def test_a_link_in_the_way_is_not_followed(warehouse: Warehouse, tmp_path: Path) -> None:
    publish(warehouse, **RELEASE)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("mine")
    folder = tmp_path / "exports"
    folder.mkdir()
    (folder / f".{REPLACEMENTS_NAME}.part").symlink_to(elsewhere)
    (folder / REPLACEMENTS_NAME).symlink_to(elsewhere)
    export(warehouse, folder, [REPLACEMENTS_NAME])
    assert elsewhere.read_text() == "mine"
    assert not (folder / REPLACEMENTS_NAME).is_symlink()


@pytest.mark.fault("X22")
def test_schemas_ontologies_and_releases_keep_their_own_files(
    database: DatabaseTarget, tmp_path: Path
) -> None:
    folders = {}
    for schema, ontology in [("public", "efo"), ("other", "efo"), ("third", "mondo")]:
        with Warehouse(database, schema=schema) as each:
            publish(each, ontology=ontology, terms=[term(ontology + schema)])
            (file,) = export(each, tmp_path, [parquet_name(TERMS)], is_shared=True)
            folders[schema, ontology] = str(file.path.parent.relative_to(tmp_path))
    assert list(folders.values()) == [".", "other/1", "third/1"]
    for (schema, ontology), folder in folders.items():
        written = read_table(tmp_path / folder / parquet_name(TERMS))
        assert written["iri"].to_pylist() == [iri(ontology + schema)]
    assert (tmp_path / "third" / "latest").readlink() == Path("1")
    with Warehouse(database, schema="third") as third:
        publish(third, "2", ontology="mondo", terms=[term("mondothird"), term("new")])
        export(third, tmp_path, [parquet_name(TERMS)], is_shared=True)
    assert read_table(tmp_path / "third" / "1" / parquet_name(TERMS)).num_rows == 1
    assert read_table(tmp_path / "third" / "latest" / parquet_name(TERMS)).num_rows == 2


@pytest.mark.parametrize(
    ("version", "folder"),
    [
        ("../../x", "_.._x"),
        ("latest", "release-1"),
        (None, "release-1"),
        ("http://example.org/v/1", "http___example.org_v_1"),
    ],
)
def test_no_version_leads_out_of_the_folder(
    warehouse: Warehouse, tmp_path: Path, version: str | None, folder: str
) -> None:
    publish(warehouse, ontology="mondo", terms=[term("a")])
    with warehouse.connect() as connection:
        connection.execute("update efo_meta.releases set version = %s", [version])
    (file,) = export(warehouse, tmp_path, [parquet_name(TERMS)], is_shared=True)
    assert file.path.parent == tmp_path / "public" / folder
    assert (tmp_path / "public" / "latest").readlink() == Path(folder)
