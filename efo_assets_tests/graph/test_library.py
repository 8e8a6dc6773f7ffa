"""The ten lines of docs/library.md, in a project of somebody else's."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from efo_assets.sample.catalogue import Member
from efo_assets.sample.server import Sample, running_sample
from efo_assets.settings import DatabaseTarget
from efo_assets.warehouse.audit import CHECKS
from efo_assets_tests.commands import ROOT
from efo_assets_tests.databases import ask

CLASSES = {"mondo": 90, "hp": 60}
PAGE = (ROOT / "docs" / "library.md").read_text()
INSTALL_TIMEOUT_S = 900
RUN_TIMEOUT_S = 300
GUEST = """
import logging, sys, warnings

import dagster as dg
import stamina.instrumentation

lines = []
class Mine(logging.Handler):
    def emit(self, record):
        lines.append(record.getMessage())

class Record(logging.LogRecord):
    pass

hook = lambda details: None
stamina.instrumentation.set_on_retry_hooks([hook])
logging.setLogRecordFactory(Record)
log = logging.getLogger("theirs")
log.addHandler(Mine())
filters, excepthook = list(warnings.filters), sys.excepthook

import theirs

@dg.asset
def mine():
    log.warning("password=mine is\\nmy own business")

own = dg.Definitions(assets=[mine], executor=dg.in_process_executor)
defs = dg.Definitions.merge(dg.Definitions(assets=theirs.defs.assets,
    asset_checks=theirs.defs.asset_checks, resources=theirs.defs.resources), own)
with dg.DagsterInstance.ephemeral() as instance:
    selected = dg.AssetSelection.assets("report").upstream() | dg.AssetSelection.assets("mine")
    job = dg.define_asset_job("all_of_it", selection=selected)
    defs = dg.Definitions.merge(defs, dg.Definitions(jobs=[job]))
    result = defs.resolve_job_def("all_of_it").execute_in_process(instance=instance)
assert result.success
assert lines == ["password=mine is\\nmy own business"]
assert logging.getLogRecordFactory() is Record
assert stamina.instrumentation.get_on_retry_hooks() == (hook,)
assert sys.excepthook is excepthook
assert filters == warnings.filters
print("a guest:", sorted({each.asset_key.path[0] for each in result.get_asset_check_evaluations()}))
"""


@pytest.fixture(scope="module")
def catalogue() -> Iterator[Sample]:
    members = tuple(Member(name, classes) for name, classes in CLASSES.items())
    with running_sample(classes=50, catalogue=members) as running:
        yield running


def assert_the_lines_load_both(
    python: Path, folder: Path, catalogue: Sample, database: DatabaseTarget
) -> None:
    code = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert code is not None
    (folder / "theirs.py").write_text(code[1])
    (folder / "guest.py").write_text(GUEST)
    (folder / "home").mkdir()
    environment = {
        "PATH": os.environ["PATH"],
        "DAGSTER_HOME": str(folder / "home"),
        "EFO_OLS_URL": catalogue.url,
        "EFO_DATA_DIR": str(folder / "data"),
        "ONTOLOGIES_DB": psycopg.conninfo.make_conninfo(**database.parameters),
    }

    def run(*words: str) -> str:
        done = subprocess.run(
            [str(python), *words],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=RUN_TIMEOUT_S,
        )
        assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
        return done.stdout + done.stderr

    select = ["asset", "materialize", "-m", "theirs", "--select", "*report"]
    assert "Multiprocess executor" in run("-m", "dagster", *select)
    counts = "select (select count(*) from mondo.terms), (select count(*) from hp.terms)"
    assert ask(database, counts) == [(CLASSES["mondo"], CLASSES["hp"])]
    loads = ask(database, "select count(*) from efo_meta.loads")
    assert loads == [(2,)], "each load was filled in one process and used in others"
    audited = ask(database, "select count(*) from efo_meta.verdicts")
    assert audited == [(2 * len(CHECKS),)]
    assert "a guest: ['hp', 'mondo']" in run("guest.py")


def test_the_lines_load_two_ontologies_beside_other_peoples_assets(
    catalogue: Sample, database: DatabaseTarget, tmp_path: Path
) -> None:
    assert_the_lines_load_both(Path(sys.executable), tmp_path, catalogue, database)


@pytest.mark.campaign
def test_the_wheel_does_so_in_an_empty_environment(
    catalogue: Sample, database: DatabaseTarget, tmp_path: Path
) -> None:
    def install(*words: str) -> None:
        done = subprocess.run(
            words, capture_output=True, text=True, check=False, timeout=INSTALL_TIMEOUT_S
        )
        if re.search(r"connection|No matching distribution", done.stderr, re.IGNORECASE):
            pytest.skip(f"the registry can't be reached: {done.stderr.splitlines()[-1]}")
        assert done.returncode == 0, done.stderr[-3000:]

    wheels = str(tmp_path / "wheels")
    install(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", wheels, str(ROOT))
    (wheel,) = Path(wheels).glob("*.whl")
    install(sys.executable, "-m", "venv", str(tmp_path / "venv"))
    python = tmp_path / "venv" / "bin" / "python"
    constraints = ["-c", str(ROOT / "constraints.txt")]
    install(str(python), "-m", "pip", "install", "-q", *constraints, str(wheel), "stamina")
    folder = tmp_path / "project"
    folder.mkdir()
    assert_the_lines_load_both(python, folder, catalogue, database)
