"""What `make bench` measures is still there: the steps of the engine, and the plain script."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg

from benchmarks import plain
from benchmarks.engine import COPIED, WORDS
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


def test_the_engine_and_the_questions_tell_how_long_each_took(
    database: DatabaseTarget, tmp_path: Path
) -> None:
    url = psycopg.conninfo.make_conninfo(**database.parameters)
    with running_sample(classes=CLASSES, shape="taxonomy") as sample:
        environment = os.environ | {
            "EFO_OLS_URL": sample.url,
            "EFO_DATABASE_URL": url,
            "EFO_DATA_DIR": str(tmp_path),
        }
        seconds = printed(environment, "engine")
    assert 0 < seconds[COPIED] < seconds["whole"]
    assert 0 <= seconds[WORDS] <= seconds["publish"]
    answers = printed(environment, "questions", "--hierarchy")
    above, the_same, narrow, broad, root = (rows for rows, _ in answers.values())
    assert above == the_same > 0
    assert 0 < narrow <= broad <= root


def printed(environment: dict[str, str], module: str, *options: str) -> Any:
    """What a module of benchmarks prints."""
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{module}", *options],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)
