"""What `make bench` measures is still there: the steps of the engine, and the plain script."""

import json
import os
import subprocess
import sys
from pathlib import Path

import psycopg

from benchmarks import plain
from benchmarks.engine import COPIED
from efo_assets.sample.ontology import release
from efo_assets.sample.server import running_sample
from efo_assets.settings import DatabaseTarget
from efo_assets_tests.databases import ask
from efo_assets_tests.oracle.rows import expected_rows

CLASSES = 600


def test_the_plain_script_loads_the_same_classes(database: DatabaseTarget) -> None:
    with running_sample(classes=CLASSES) as sample:
        rows = plain.load(sample.url, database)
    expected = expected_rows(release(CLASSES, 1))
    assert rows["terms"] == CLASSES
    assert {iri for (iri,) in ask(database, "select iri from terms")} == {
        term.iri for term in expected.terms
    }
    # A relation or a scope more or less, since it reads nothing between the lines.
    assert 0.9 < rows["synonyms"] / len(expected.synonyms) < 1.1
    assert 0.9 < rows["xrefs"] / len(expected.xrefs) < 1.1
    keys = "select count(*) from pg_constraint where contype in ('p', 'f') and connamespace = "
    assert ask(database, f"{keys}'public'::regnamespace") == [(7,)]


def test_the_engine_tells_how_long_each_step_took(database: DatabaseTarget, tmp_path: Path) -> None:
    url = psycopg.conninfo.make_conninfo(**database.parameters)
    with running_sample(classes=CLASSES) as sample:
        environment = os.environ | {
            "EFO_OLS_URL": sample.url,
            "EFO_DATABASE_URL": url,
            "EFO_DATA_DIR": str(tmp_path),
        }
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.engine"],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    seconds = json.loads(done.stdout)
    assert 0 < seconds[COPIED] < seconds["whole"]
