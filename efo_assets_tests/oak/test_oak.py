"""The plugin for OAK, by OAK's own command: what it says where there is nothing to read.

Where oaklib is installed, which `make oak` does; its answers are compared by that campaign.
"""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from efo_assets.settings import DatabaseTarget
from efo_assets.warehouse.session import CONNECT_PATIENCE_S
from efo_assets.warehouse.warehouse import Warehouse
from efo_assets_tests.commands import free_port
from efo_assets_tests.warehouse.loads import publish, term

pytestmark = pytest.mark.skipif(find_spec("oaklib") is None, reason="`make oak` installs oaklib")


def said_of(selector: str, folder: Path) -> tuple[str, float]:
    """What OAK says that fails to read a selector, and the seconds without its import."""
    words = ["-m", "efo_assets_tests.oak.timed", "-i", selector, "labels", "EX:a"]
    own = {name: text for name, text in os.environ.items() if not name.startswith("EFO_")}
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", *words],
        env={**own, "EFO_DATA_DIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1, ran.stderr
    (sentence, seconds) = ran.stderr.splitlines()[-2:]
    assert "Traceback" not in ran.stderr
    return sentence, float(seconds)


def test_a_database_that_is_out_of_reach_is_told_at_once(tmp_path: Path) -> None:
    place = f"127.0.0.1:{free_port()}/efo"
    sentence, seconds = said_of(f"efo-assets:postgresql://reader@{place}", tmp_path)
    assert f"PostgreSQL at {place} cannot be reached" in sentence
    assert "correct the address after `efo-assets:`" in sentence
    assert "EFO_" not in sentence
    assert seconds < CONNECT_PATIENCE_S / 2


@pytest.mark.parametrize("selector", ["#x", "postgresql://reader@localhost:x/efo"])
def test_a_selector_that_can_not_be_read_is_named(selector: str, tmp_path: Path) -> None:
    sentence, _ = said_of(f"efo-assets:{selector}", tmp_path)
    assert "`efo-assets:` takes" in sentence
    assert "EFO_" not in sentence


def test_a_view_that_is_not_there_is_told(database: DatabaseTarget, tmp_path: Path) -> None:
    with Warehouse(database, semsql=True) as warehouse:
        publish(warehouse, terms=[term("a")])
        with warehouse.connect() as connection:
            connection.execute("alter view semsql.rdfs_label_statement rename to renamed")
        url = database.uri.replace("//", f"//{database.parameters['user']}@", 1)
        sentence, _ = said_of(f"efo-assets:{url}", tmp_path)
        assert "has no views of SemSQL that this role may read in full (relation " in sentence
