"""Files of the published release: whole, the same from any database, named once they are done."""

import csv
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pytest
from pyarrow import parquet

from efo_assets.errors import ExportFailed
from efo_assets.pipeline.exports import (
    REPLACEMENTS_NAME,
    SSSOM_NAME,
    Exported,
    export,
    parquet_name,
)
from efo_assets.settings import DatabaseTarget
from efo_assets.warehouse.tables import CHANGES, REPLACEMENTS, TABLES, TERMS
from efo_assets.warehouse.warehouse import Warehouse
from efo_assets_tests.warehouse.loads import Row, Rows, edge, iri, publish, synonym, term, xref

ALLOW_SHRINK = True


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


def test_a_version_that_would_break_a_line_does_not(warehouse: Warehouse, tmp_path: Path) -> None:
    publish(warehouse, '1"\n#forged: yes', **RELEASE)
    for name in (SSSOM_NAME, REPLACEMENTS_NAME):
        comments, rows = rows_of(exported(warehouse, tmp_path)[name].path)
        assert rows
        assert not [line for line in comments if line.startswith("#forged")]


def test_replacements_are_a_table(warehouse: Warehouse, tmp_path: Path) -> None:
    publish(warehouse, **RELEASE)
    comments, rows = rows_of(exported(warehouse, tmp_path)[REPLACEMENTS_NAME].path)
    assert "#version: 1" in comments
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
    with pytest.raises(ExportFailed, match=r"--select '\*efo_terms'"):
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
def test_two_schemas_and_two_ontologies_keep_their_own_files(
    warehouse: Warehouse, database: DatabaseTarget, tmp_path: Path
) -> None:
    folders = {}
    for schema, ontology in [("public", "efo"), ("other", "efo"), ("third", "mondo")]:
        with Warehouse(database, schema=schema) as each:
            publish(each, ontology=ontology, terms=[term(ontology + schema)])
            (file,) = export(each, tmp_path, [parquet_name(TERMS)], is_shared=True)
            folders[schema, ontology] = str(file.path.parent.relative_to(tmp_path))
    assert list(folders.values()) == [".", "other/efo", "third/mondo"]
    for (schema, ontology), folder in folders.items():
        written = read_table(tmp_path / folder / parquet_name(TERMS))
        assert written["iri"].to_pylist() == [iri(ontology + schema)]
    # An ontology whose name the settings would refuse can't lead out of the folder.
    with warehouse.connect() as connection:
        connection.execute("update efo_meta.releases set ontology = '../../x'")
    (file,) = export(warehouse, tmp_path, [parquet_name(TERMS)], is_shared=True)
    assert file.path.parent == tmp_path / "public" / "______x"
