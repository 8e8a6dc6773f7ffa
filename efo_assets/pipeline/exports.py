"""The published release as files: Parquet of every table, MeSH as SSSOM, replacements as TSV.

All files come from one snapshot, rows in a stated order and terms by IRI, so that the same release
gives the same bytes from any database. A file gets its name once it is whole; the release is in its
metadata, for a TSV in a file beside it, as https://www.w3.org/TR/tabular-metadata/ describes.
"""

import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from itertools import chain, count
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, NamedTuple, TypeAlias
from urllib.parse import quote

import psycopg
from psycopg import sql

from efo_assets.errors import ExportFailed, WarehouseError
from efo_assets.files import make_folder, point, whole, write_whole
from efo_assets.pipeline.collector import collector_paused
from efo_assets.prefixes import registered
from efo_assets.settings import Settings
from efo_assets.warehouse.ledger import PublishedRelease, current_release
from efo_assets.warehouse.schema import Schema
from efo_assets.warehouse.session import Connection, connect
from efo_assets.warehouse.statements import compose, statement
from efo_assets.warehouse.tables import TABLES, Table
from efo_assets.warehouse.warehouse import Warehouse

FOLDER = "exports"
"""In the data directory, shared by all schemas and ontologies."""
_DEFAULT = (Settings().schema, Settings().ontology)
LATEST = "latest"
"""Beside the folders of versions: a link to the one that was exported last."""
MOST_CHARACTERS = 100
"""Of a version, in the name of a folder."""
SSSOM_NAME = "efo_mesh_terms.sssom.tsv"
REPLACEMENTS_NAME = "efo_replacements.tsv"
BESIDE = "-metadata.json"
"""At the end of the name of the file that tells the release of a TSV without comment lines."""
_SSSOM_PREFIXES = {
    "mesh": "http://id.nlm.nih.gov/mesh/",
    "oboInOwl": "http://www.geneontology.org/formats/oboInOwl#",
    "owl": "http://www.w3.org/2002/07/owl#",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
    "semapv": "https://w3id.org/semapv/vocab/",
    "skos": "http://www.w3.org/2004/02/skos/core#",
    "sssom": "https://w3id.org/sssom/",
}
"""What our mappings need, and those that SSSOM gives a fixed meaning."""
_PREFIX = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
_KEPT_IN_LOCAL = "~!$&'()*+,;=:@/"
"""What may stand in the local part of a CURIE, besides letters, digits and `._-`."""
_LOCAL = re.compile(rf"(?:[A-Za-z0-9._{_KEPT_IN_LOCAL}-]|%[0-9A-Fa-f]{{2}})+")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:.+")
_NOT_IN_URI = re.compile(rf"[^A-Za-z0-9._{_KEPT_IN_LOCAL}?#%-]|%(?![0-9A-Fa-f]{{2}})")
_NOT_IN_CELL = re.compile(r"[\t\"\r\n]")
_NOT_IN_YAML = re.compile(r"[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
Row: TypeAlias = Sequence[Any]


class Exported(NamedTuple):
    """A file that was written, and the release that it holds."""

    path: Path
    rows: int
    bytes: int
    release: str


def parquet_name(table: Table) -> str:
    """The name of a table's file."""
    return f"{table.name}.parquet"


class _Snapshot(NamedTuple):
    """The published release, as the transactions of both connections see it."""

    id: str
    schema: Schema
    release: PublishedRelease
    iris: Any
    """Of all terms, as `exported` numbers them; None where no file needs them."""

    @property
    def facts(self) -> dict[str, str]:
        """What every file says of its release."""
        return {
            "ontology": self.release.ontology,
            "version": self.release.version or "",
            "version_iri": self.release.version_iri or "",
            "is_partial": "true" if self.release.is_partial else "false",
        }


def export(
    warehouse: Warehouse, folder: Path, names: Iterable[str], *, is_shared: bool = False
) -> list[Exported]:
    """Write these of the `EXPORT_NAMES` into `folder`, from the published release.

    Two at a time, where PostgreSQL has a second connection at once. In a shared folder, all but EFO
    in the schema `public` go to `<schema>/<version>`, and `<schema>/latest` leads there.

    Raises:
        ExportFailed: nothing is published, or the folder can't be written; earlier files stay.
    """
    wanted = set(names) & set(EXPORT_NAMES)

    def write(connection: Connection) -> list[Exported]:
        left = list(wanted)
        with _second(warehouse, left) as second, ThreadPoolExecutor(max_workers=1) as thread:
            try:
                with _snapshot(warehouse, connection, left) as snapshot:
                    release = snapshot.release
                    home = _home(folder, warehouse.schema, release.ontology, is_shared=is_shared)
                    place = _made(folder, home, release)
                    # The largest first, so that both end at about the same time.
                    left.sort(key=lambda name: -release.rows.get(name.partition(".")[0], 0))
                    each = iter(left)

                    def work(connection: Connection) -> list[Exported]:
                        return [_write(connection, snapshot, place / name) for name in each]

                    others = thread.submit(_assist, second, snapshot, work)
                    files = work(connection)
                files += others.result()
            except BaseException:
                left.clear()
                if second is not None:
                    second.cancel()
                raise
            if place != home:
                point(home / LATEST, place.name)
            return files

    with _explained(folder), collector_paused():
        files = warehouse.run("exporting", write)
    return sorted(files, key=lambda file: EXPORT_NAMES.index(file.path.name))


@contextmanager
def _snapshot(
    warehouse: Warehouse, connection: Connection, names: Iterable[str]
) -> Iterator[_Snapshot]:
    with _reading(connection):
        release = current_release(connection, warehouse.schema)
        if release is None:
            raise ExportFailed(warehouse.nothing_published)
        iris = None
        if any(table.references for table in TABLES if parquet_name(table) in names):
            from efo_assets.pipeline.parquet import iris_by_place  # noqa: PLC0415  # see there

            iris = iris_by_place(connection, warehouse.schema)
        (snapshot_id,) = connection.row("select pg_export_snapshot()")
        yield _Snapshot(snapshot_id, warehouse.schema, release, iris)


@contextmanager
def _second(warehouse: Warehouse, names: Sequence[str]) -> Iterator[Connection | None]:
    """Another connection, if there is work for it and PostgreSQL has one at once."""
    with ExitStack() as opened:
        second = None
        if len(names) > 1:
            with suppress(WarehouseError):
                second = opened.enter_context(connect(warehouse.target, patience_s=0))
        yield second


@contextmanager
def _reading(connection: Connection, snapshot_id: str | None = None) -> Iterator[None]:
    with connection.transaction():
        connection.execute("set transaction isolation level repeatable read read only")
        if snapshot_id is not None:
            connection.execute(compose("set transaction snapshot {}", sql.Literal(snapshot_id)))
        connection.execute(statement("bulk_session"))
        yield


def _assist(
    second: Connection | None, snapshot: _Snapshot, work: Callable[[Connection], list[Exported]]
) -> list[Exported]:
    with ExitStack() as reading:
        try:
            if second is None:
                return []
            reading.enter_context(_reading(second, snapshot.id))
        except psycopg.Error:
            # A pooler has no second session for it before the first connection is done.
            return []
        return work(second)


def refuse_unwritable(folder: Path, schema: str, ontology: str) -> None:
    """Refuse now what `export` to a shared folder would fail at in the end.

    Raises:
        ExportFailed: the folder of these can't be written.
    """
    with _explained(folder):
        home = _home(folder, schema, ontology, is_shared=True)
        make_folder(home)
        TemporaryFile(dir=home).close()


@contextmanager
def release_folder(folder: Path, schema: str, release: PublishedRelease) -> Iterator[Path]:
    """Where the files of a release are in a shared folder; `latest` leads there afterwards.

    Raises:
        ExportFailed: the folder can't be written.
    """
    with _explained(folder):
        home = _home(folder, schema, release.ontology, is_shared=True)
        place = _made(folder, home, release)
        yield place
        if place != home:
            point(home / LATEST, place.name)


def _made(folder: Path, home: Path, release: PublishedRelease) -> Path:
    place = home if home == folder else home / _version(release)
    make_folder(place)
    return place


def _home(folder: Path, schema: str, ontology: str, *, is_shared: bool) -> Path:
    if not is_shared or (schema, ontology) == _DEFAULT:
        return folder
    return folder / schema


def _version(release: PublishedRelease) -> str:
    """The name of a release's folder."""
    # What the ledger holds could lead elsewhere.
    version = re.sub(r"[^A-Za-z0-9_.-]", "_", release.version or "").lstrip(".")
    if version in ("", LATEST):
        version = f"release-{release.release_id}"
    version = version[:MOST_CHARACTERS]
    return f"{version}-partial" if release.is_partial else version


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ExportFailed(
            f"Files can't be written in {folder} ({error.strerror}): those that stood there stay, "
            "and so does the published release; free space or set EFO_DATA_DIR, and run again."
        ) from error


def _write(connection: Connection, snapshot: _Snapshot, path: Path) -> Exported:
    with whole(path) as file:
        rows = _WRITERS[path.name](connection, snapshot, file)
    if path.name == REPLACEMENTS_NAME:
        write_whole(path.with_name(path.name + BESIDE), _beside(snapshot, path.name))
    return Exported(path, rows, path.stat().st_size, snapshot.release.name)


def _parquet(table: Table, connection: Connection, snapshot: _Snapshot, file: IO[bytes]) -> int:
    from efo_assets.pipeline.parquet import write_table  # noqa: PLC0415  # see there

    return write_table(
        connection, table, file, schema=snapshot.schema, iris=snapshot.iris, facts=snapshot.facts
    )


def _tsv(
    columns: Sequence[str], rows: Iterable[Row], file: IO[bytes], comments: Iterable[str] = ()
) -> int:
    """Write comment lines, a line of column names and the rows; return the number of rows."""
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    text.writelines(f"#{line}\n" for line in comments)
    written = -1
    for row in chain([columns], rows):
        text.write("\t".join(map(_cell, row)) + "\n")
        written += 1
    text.detach()
    return written


def _cell(value: object) -> str:
    """A value in quotes where it needs them."""
    text = "" if value is None else str(value)
    # Python's csv before 3.13 leaves a carriage return as it is, where pandas and R end the row.
    return '"{}"'.format(text.replace('"', '""')) if _NOT_IN_CELL.search(text) else text


def _replacements(connection: Connection, snapshot: _Snapshot, file: IO[bytes]) -> int:
    rows = connection.execute(statement("export_replacements", **snapshot.schema.parts))
    return _tsv(_columns(rows), rows, file)


def _beside(snapshot: _Snapshot, name: str) -> bytes:
    """What a TSV can't say of itself: how it is written, and of which release it is."""
    facts = {
        "@context": "http://www.w3.org/ns/csvw",
        "url": name,
        "dialect": {"delimiter": "\t", "encoding": "utf-8", "lineTerminators": ["\n"]},
        "notes": [snapshot.facts],
    }
    return json.dumps(facts, indent=2).encode() + b"\n"


def _sssom(connection: Connection, snapshot: _Snapshot, file: IO[bytes]) -> int:
    """Write a mapping set as https://mapping-commons.github.io/sssom/ describes, with metadata.

    A mapping has one source there, so that one of several sources is as many rows.
    """
    cursor = connection.execute(statement("export_sssom", **snapshot.schema.parts))
    release, curies = snapshot.release, _Curies(_set_id(snapshot.release))
    # Subjects first: their prefixes have a meaning already.
    mappings = [(curies.of_iri(iri, curie), *others) for iri, curie, *others in cursor]
    rows = [
        (*mapping, source, comment)
        for *mapping, sources, comment in mappings
        for source in sorted(set(map(curies.of_source, sources))) or [""]
    ]
    comments = [
        "curie_map:",
        *(f"  {prefix}: {_quoted(base)}" for prefix, base in sorted(curies.bases.items())),
        "license: https://www.apache.org/licenses/LICENSE-2.0",
        f"mapping_set_id: {_quoted(curies.set_id)}",
        f"mapping_set_title: {_quoted(f'MeSH cross references of {release.name}')}",
        f"mapping_set_version: {_quoted(release.version or '')}",
        f"subject_source_version: {_quoted(release.version or '')}",
    ]
    return _tsv(["subject_id", *_columns(cursor)[2:]], rows, file, comments)


def _set_id(release: PublishedRelease) -> str:
    """A URI for the mappings of a release: after its version IRI if that is one."""
    iri = _uri(release.version_iri or "")
    if _URI.fullmatch(iri):
        return f"{iri}{'/' if '#' in iri else '#'}mesh"
    version = f"/{quote(release.version, safe='')}" if release.version else ""
    return f"https://www.ebi.ac.uk/ols4/ontologies/{release.ontology}#mesh{version}"


def _uri(iri: str) -> str:
    """The IRI with percent escapes for what may not stand in a URI."""
    return _NOT_IN_URI.sub(lambda match: quote(match[0], safe=""), iri)


def _quoted(text: str) -> str:
    """Text as YAML in one line: a string of JSON, with escapes for what YAML refuses besides."""
    quoted = json.dumps(text, ensure_ascii=False)
    return _NOT_IN_YAML.sub(lambda match: f"\\u{ord(match[0]):04x}", quoted)


class _Curies:
    """CURIEs of a mapping set, and for each prefix the beginning of the URIs that it stands for."""

    def __init__(self, set_id: str) -> None:
        self.set_id = set_id
        self.bases = dict(_SSSOM_PREFIXES)
        self._prefixes = {base: prefix for prefix, base in self.bases.items()}

    def of_iri(self, iri: str, curie: str | None) -> str:
        """A CURIE that stands for the IRI: this one where it can."""
        uri = _uri(iri)
        prefix, _, local = (curie or "").partition(":")
        if not (_PREFIX.fullmatch(prefix) and _LOCAL.fullmatch(local) and uri.endswith(local)):
            cuts = [cut.end() for cut in re.finditer("[/#:]", uri.rstrip("/#:"))]
            prefix, local = "ns", uri[max(cuts, default=0) :]
        base = uri.removesuffix(local) or f"{self.set_id}/"
        return f"{self._declared(prefix, base)}:{local}"

    def of_source(self, source: str) -> str:
        """A CURIE for who states a mapping, whatever text that is."""
        entry = registered().split(source)
        if entry is not None and source.startswith(("http://", "https://")):
            return self.of_iri(source, ":".join(entry))
        prefix, _, local = map(str.strip, source.partition(":"))
        if entry is None or not _PREFIX.fullmatch(prefix):
            prefix, local, base = "source", source, f"{self.set_id}/source/"
        elif entry[0] in registered().by_spelling:
            base = f"https://bioregistry.io/{entry[0]}:"
        else:
            base = f"{self.set_id}/{prefix}/"
        names = (each for each in (prefix, *(entry or ())[:1]) if each in self.bases)
        prefix = next(names, "") or self._declared(prefix, base)
        return f"{prefix}:{quote(local, safe=_KEPT_IN_LOCAL)}"

    def _declared(self, prefix: str, base: str) -> str:
        """The prefix of a base; a new one is numbered where this one means another base."""
        if base not in self._prefixes:
            names = chain([prefix], (f"{prefix}{number}" for number in count(2)))
            name = next(name for name in names if name not in self.bases)
            self.bases[name], self._prefixes[base] = base, name
        return self._prefixes[base]


def _columns(cursor: psycopg.Cursor[Any]) -> list[str]:
    return [column.name for column in cursor.description or ()]


_WRITERS: Mapping[str, Callable[[Connection, _Snapshot, IO[bytes]], int]] = {
    **{parquet_name(table): partial(_parquet, table) for table in TABLES},
    SSSOM_NAME: _sssom,
    REPLACEMENTS_NAME: _replacements,
}
EXPORT_NAMES = tuple(_WRITERS)
"""All files that can be written."""
