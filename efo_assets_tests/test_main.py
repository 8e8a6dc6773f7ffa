"""`python -m efo_assets`: what is published, from the command line."""

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from efo_assets.settings import DatabaseTarget


@pytest.fixture
def environment(database: DatabaseTarget, tmp_path: Path) -> dict[str, str]:
    url = psycopg.conninfo.make_conninfo(**database.parameters)
    return os.environ | {"EFO_DATABASE_URL": url, "EFO_DATA_DIR": str(tmp_path)}


def command(environment: dict[str, str], *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "efo_assets", *words],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_psql_takes_its_own_arguments(environment: dict[str, str]) -> None:
    done = command(environment, "psql", "-XAtqc", "select 6 * 7", "-c", "show search_path")
    assert (done.stdout, done.stderr) == ("42\npublic,efo_meta,public\n", "")


def test_psql_hands_its_exit_code_on(environment: dict[str, str]) -> None:
    assert command(environment, "psql", "-c", "select 1 / 0").returncode == 1


def test_status_before_anything_is_published_names_the_command(environment: dict[str, str]) -> None:
    done = command(environment, "status")
    assert (done.returncode, done.stdout) == (0, "Nothing is published yet: run `make run`.\n")


def test_a_wrong_word_is_refused(environment: dict[str, str]) -> None:
    assert "invalid choice: 'stauts'" in command(environment, "stauts").stderr


def test_a_wrong_setting_is_one_sentence(environment: dict[str, str]) -> None:
    done = command(environment | {"EFO_PAGE_SIZE": "many"}, "status")
    assert done.returncode == 1
    assert done.stderr.startswith("EFO_PAGE_SIZE")
    assert done.stderr.count("\n") == 1
