"""COPY files: what is written is what PostgreSQL holds, byte for byte."""

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from efo_assets.errors import PageStoreError
from efo_assets.settings import DatabaseTarget
from efo_assets.warehouse import copy_files
from efo_assets.warehouse.copy_files import CopyFiles
from efo_assets.warehouse.statements import copy_staged, create_staged
from efo_assets.warehouse.tables import SYNONYMS, TERMS
from efo_assets_tests.databases import connected
from efo_assets_tests.warehouse.loads import COLUMNS, row

# PostgreSQL refuses NUL and lone surrogates in text; the decoder replaces them before.
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
synonyms = st.tuples(
    texts, texts, st.sampled_from(["exact", "broad"]), st.none() | texts, *[st.lists(texts)] * 2
)


@pytest.fixture(scope="module")
def connection(server: DatabaseTarget) -> Iterator[psycopg.Connection[Any]]:
    with connected(server, autocommit=True) as made:
        made.execute("create schema copy_files_test")
        for table in (SYNONYMS, TERMS):
            made.execute(create_staged("copy_files_test", table))
        yield made
        made.execute("drop schema copy_files_test cascade")


@pytest.mark.fault("P19")
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(synonyms), more=st.lists(synonyms))
def test_every_text_comes_back_byte_for_byte(
    connection: psycopg.Connection[Any],
    tmp_path: Path,
    rows: list[tuple[Any, ...]],
    more: list[tuple[Any, ...]],
) -> None:
    files = CopyFiles(tmp_path, COLUMNS, parts=2)
    for part, some in enumerate((rows, more)):
        with files.writing(part) as write:
            for row in some:
                write["synonyms"](row)
    connection.execute("truncate copy_files_test.synonyms")
    with connection.cursor().copy(
        copy_staged("copy_files_test", SYNONYMS, COLUMNS["synonyms"])
    ) as copy:
        for chunk in files.file(SYNONYMS).chunks(7):
            copy.write(chunk)
    files.close()
    found = connection.execute("select * from copy_files_test.synonyms").fetchall()
    assert found == rows + more


def test_booleans_and_nulls_come_back(connection: psycopg.Connection[Any], tmp_path: Path) -> None:
    values = row(TERMS, iri="iri", other_labels=["a", ""], is_root=True, obsoleted_in="3.1")
    files = CopyFiles(tmp_path, COLUMNS)
    with files.writing() as write:
        write["terms"](values)
    with connection.cursor().copy(copy_staged("copy_files_test", TERMS, COLUMNS["terms"])) as copy:
        for chunk in files.file(TERMS).chunks(1 << 16):
            copy.write(chunk)
    files.close()
    found = connection.execute("select * from copy_files_test.terms").fetchall()
    assert found == [(*values, 1)], "and a number"


def test_columns_that_the_specification_does_not_have_are_refused_by_name(tmp_path: Path) -> None:
    columns = {**COLUMNS, "terms": [*COLUMNS["terms"][1:], "editor"]}
    with pytest.raises(ValueError, match=r"^Rows of terms and .* differ in editor, iri:"):
        CopyFiles(tmp_path, columns)


@contextmanager
def largest_file(size_bytes: int) -> Iterator[None]:
    """No file of this process grows beyond so many bytes; PostgreSQL's own are not ours."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.fault("X11")
def test_a_disk_that_takes_no_more_is_one_sentence(tmp_path: Path) -> None:
    files = CopyFiles(tmp_path, COLUMNS)

    def write_much() -> None:
        with files.writing() as write:
            for _ in range(10_000):
                write["synonyms"](("iri", "text" * 10, "exact", None, [], []))

    refused = pytest.raises(PageStoreError, match=r"COPY files cannot be written .*File too large")
    with largest_file(100_000), refused:
        write_much()


@pytest.mark.fault("X19")
def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PageStoreError, match=r"COPY files cannot be written in .*Not a directory"):
        CopyFiles(tmp_path / "file" / "copy", COLUMNS)


@pytest.mark.fault("X11")
def test_files_that_were_opened_before_one_could_not_be_are_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[IO[bytes]] = []

    def some(folder: Path) -> IO[bytes]:
        if len(opened) == 2:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        opened.append(TemporaryFile(dir=folder))  # noqa: SIM115  # that is the point
        return opened[-1]

    monkeypatch.setattr(copy_files, "_nameless", some)
    with pytest.raises(PageStoreError, match=r"COPY files cannot be written .*Too many open files"):
        CopyFiles(tmp_path, COLUMNS)
    assert [file.closed for file in opened] == [True, True]
