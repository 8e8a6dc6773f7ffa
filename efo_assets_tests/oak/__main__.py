"""The campaign: `make oak`, or `python -m efo_assets_tests.oak` where oaklib is installed.

Loads two releases of the generated ontology into the embedded PostgreSQL with EFO_SEMSQL=1, writes
them as SQLite files of semantic-sql, too, and asks both by OAK's own commands. Each must give the
same answer; prints how long each took, oaklib's import left out.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from efo_assets.pipeline.load import load
from efo_assets.sample.ontology import release
from efo_assets.sample.server import running_sample
from efo_assets.settings import Settings
from efo_assets.warehouse.embedded import remove
from efo_assets_tests.oak import sqlite
from efo_assets_tests.oracle import semsql as oracle
from efo_assets_tests.oracle.rows import expected_rows
from efo_assets_tests.oracle.tables import ExpectedRows

SEED = 7
NEXT = "later"
"""The schema of the second release."""
_RANDOM = re.compile("uuid:[0-9a-f-]+")
"""What KGCL calls a change, by chance."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare; an assertion fails where an answer differs."""
    parser = argparse.ArgumentParser(prog="python -m efo_assets_tests.oak")
    parser.add_argument("--classes", type=int, default=2_000)
    parser.add_argument("--data-dir", type=Path, help="kept, and used again")
    parser.add_argument("--only", nargs="*", help="commands, such as roots")
    parser.add_argument("--patience-s", type=float, default=1200.0, help="for each answer")
    options = parser.parse_args(arguments)
    folder = options.data_dir or Path(tempfile.mkdtemp(prefix="efo-o-"))
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)
    try:
        _prepare(folder, options.classes)
        return _compare(folder, options.classes, options.only, options.patience_s)
    finally:
        if options.data_dir is None:
            remove(folder)


def _prepare(folder: Path, classes: int) -> None:
    with running_sample(classes=classes, seed=SEED) as sample:
        for number, schema in ((1, "public"), (2, NEXT)):
            sample.state.release = number
            variables = {
                "EFO_OLS_URL": sample.url,
                "EFO_DATA_DIR": str(folder),
                "EFO_SCHEMA": schema,
                "EFO_SEMSQL": "1",
            }
            load(Settings.from_environment(variables))
            path = folder / f"{schema}.db"
            if not path.exists():
                sqlite.write(path, release(classes, SEED, number))


def _compare(folder: Path, classes: int, only: Sequence[str] | None, patience_s: float) -> int:
    rows = expected_rows(release(classes, SEED))
    print(f"{'command':44} {'answers':>8} {'SQLite s':>9} {'PostgreSQL s':>13}")
    differing = 0
    for words in _commands(rows):
        if only and words[0] not in only:
            continue
        first = _asked(folder, "sqlite:{folder}/{schema}.db", words, patience_s)
        second = _asked(folder, "efo-assets:{schema}", words, patience_s)
        is_same = first is None or second is None or first.records == second.records
        differing += not is_same
        records = max((each.records for each in (first, second) if each), key=len, default=[])
        seconds = [
            f"{each.seconds:.2f}" if each else f"> {patience_s:.0f}" for each in (first, second)
        ]
        told = " ".join(words)[:44]
        print(
            f"{told:44} {len(records):8,} {seconds[0]:>9} {seconds[1]:>13}",
            "" if is_same else "DIFFERENT",
            flush=True,
        )
        if first and second and not is_same:
            alone = set(first.records) ^ set(second.records)
            print("  in one alone:", sorted(alone)[:5])
    return differing


class _Answer(NamedTuple):
    records: list[str]
    """In the order of their text."""
    seconds: float


def _asked(folder: Path, selector: str, words: Sequence[str], patience_s: float) -> _Answer | None:
    """The answer to a command; None where it takes longer."""
    where = {"folder": folder, "schema": "public"}
    other = selector.format(**where | {"schema": NEXT})
    command = ["-i", selector.format(**where), *(word.format(other=other) for word in words)]
    try:
        ran = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "efo_assets_tests.oak.timed", *command],
            env={**os.environ, "EFO_DATA_DIR": str(folder)},
            capture_output=True,
            text=True,
            check=False,
            timeout=patience_s,
        )
    except subprocess.TimeoutExpired:
        return None
    assert not ran.returncode, ran.stderr[-3000:]
    answer = _RANDOM.sub("", ran.stdout)
    separator = "---" if "\n---" in answer or ": " in answer.partition("\n")[0] else "\n"
    # Neither form has an order that its database wouldn't choose.
    records = {_in_order(each.strip()) for each in answer.split(separator)} - {""}
    return _Answer(sorted(records), float(ran.stderr.split()[-1]))


def _in_order(record: str) -> str:
    """A record with the lines or values of each of its fields in order."""
    fields = sorted(record.splitlines()) if "\n" in record else record.split("\t")
    return "\t".join("|".join(sorted(each.split("|"))) for each in fields)


def _commands(rows: ExpectedRows) -> Iterator[list[str]]:
    """OAK's commands, asked of classes that have something to tell."""
    ids = oracle.nodes(rows)
    edges = oracle.edges(rows)
    part = min(child for child, relation, _ in edges if relation == "BFO:0000050")
    parents = sorted(parent for _, relation, parent in edges if relation == oracle.IS_A)
    high = max(set(parents[::7]), key=parents.count)
    whole = min(parent for _, relation, parent in edges if relation == "BFO:0000050")
    synonym = min(
        each for each in rows.synonyms if each.scope == "exact" and each.synonym.isascii()
    )
    named = ids[synonym.iri]
    matched = ids[min(each.iri for each in rows.xrefs if each.relation == "exact")]
    obsolete = ids[min(each.iri for each in rows.terms if each.is_obsolete and each.replaced_by)]
    label = min(each.label for each in rows.terms if not each.is_obsolete and each.label.isascii())
    yield ["labels", part]
    yield ["info", named]
    yield ["definitions", named, part]
    yield ["aliases", named]
    yield ["search", label]
    yield ["search", f"l~{label[:9].upper()}"]
    yield ["search", f"t~{synonym.synonym[:12]}"]
    yield ["ancestors", "-p", "i", part]
    yield ["ancestors", "-p", "i,p", part]
    yield ["descendants", "-p", "i", high]
    yield ["descendants", "-p", "p", whole]
    yield ["descendants", "-p", "i,p,RO:0002202", high]
    yield ["relationships", part]
    yield ["relationships", "--direction", "down", high]
    yield ["obsoletes"]
    yield ["obsoletes", "--show-migration-relationships", obsolete]
    yield ["mappings", "-O", "csv", matched]
    yield ["mappings", "-O", "csv", "--maps-to-source", "MESH"]
    yield ["term-subsets", part]
    yield ["roots", "-p", "i"]
    yield ["roots"]
    yield ["leafs", "-p", "i"]
    yield ["annotate", "-W", label]
    yield ["annotate", f"a case of {label} seen"]
    yield ["diff", "-X", "{other}"]


if __name__ == "__main__":
    sys.exit(main())
