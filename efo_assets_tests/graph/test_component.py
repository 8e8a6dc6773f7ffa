"""The component in a project of `dg`, by the commands that people type."""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path

import dagster as dg
import psycopg
import pytest
from pydantic import ValidationError

from efo_assets import OlsOntologyComponent, Ontology
from efo_assets.errors import SettingsError
from efo_assets.sample.catalogue import Member
from efo_assets.sample.ontology import release
from efo_assets.sample.server import running_sample
from efo_assets.settings import DatabaseTarget
from efo_assets.warehouse.audit import CHECKS
from efo_assets_tests.commands import ROOT, TIMEOUT_S, Done, ended, started
from efo_assets_tests.databases import ask, ask_in
from efo_assets_tests.graph.materializing import published_ancestors, published_rows
from efo_assets_tests.oracle.derived import expected_ancestors
from efo_assets_tests.oracle.rows import expected_rows

CLASSES = 60
EFO_CLASSES, MONDO = 700, Member("mondo", 900)
PROJECT = """
[project]
name = "theirs"
version = "0.1"

[tool.dg]
directory_type = "project"

[tool.dg.project]
root_module = "theirs"
"""
DEFINITIONS = """
from pathlib import Path
import dagster as dg

@dg.definitions
def defs():
    return dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
"""
TYPE = "efo_assets.OlsOntologyComponent"
CATALOGUE = """\
type: efo_assets.OlsCatalogComponent

attributes:
  database: "{{ env.OLS_DATABASE_URL }}"
  include: ["*"]
  exclude: [ncbitaxon, "fb*"]
  max_classes: 200000
  by_function: [ncbitaxon]
  runs_per_tick: 20
"""
DAGSTERS = pytest.mark.filterwarnings("ignore:`parse_obj_as` is deprecated")
"""It reads YAML so."""

pytestmark = pytest.mark.skipif(
    not entry_points(group="dagster_dg_cli.registry_modules", name="efo_assets"),
    reason="installed before it had an entry point: pip install --no-deps --editable .",
)


def run_dg(project: Path, *words: str, **environment: str) -> Done:
    return subprocess.run(
        [str(Path(sys.executable).with_name("dg")), *words],
        cwd=project,
        env={**os.environ, "VIRTUAL_ENV": sys.prefix, "COLUMNS": "200", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
    )


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Somebody's, as `create-dagster project` makes it."""
    package = tmp_path / "src" / "theirs"
    (package / "defs").mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    (package / "__init__.py").touch()
    (package / "defs" / "__init__.py").touch()
    (package / "definitions.py").write_text(DEFINITIONS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "src"))
    return tmp_path


def test_an_ontology_is_listed_scaffolded_checked_and_loaded(
    project: Path, database: DatabaseTarget
) -> None:
    listed = run_dg(project, "list", "components", "--package", "efo_assets")
    assert TYPE in listed.stdout, listed.stdout + listed.stderr
    scaffold = ["scaffold", "defs", TYPE, "mondo", "--id", "mondo", "--database", "MONDO_DB"]
    made = run_dg(project, *scaffold)
    assert made.returncode == 0, made.stdout + made.stderr
    for what in ("yaml", "defs"):
        checked = run_dg(project, "check", what)
        assert checked.returncode == 0, checked.stdout + checked.stderr
    home = project / "home"
    home.mkdir()
    with running_sample(catalogue=(Member("mondo", CLASSES),)) as sample:
        loaded = run_dg(
            project,
            "launch",
            "--job",
            "refresh_mondo",
            DAGSTER_HOME=str(home),
            EFO_OLS_URL=sample.url,
            EFO_DATA_DIR=str(project / "data"),
            MONDO_DB=psycopg.conninfo.make_conninfo(**database.parameters),
        )
    assert loaded.returncode == 0, (loaded.stdout + loaded.stderr)[-3000:]
    assert ask(database, "select count(*) from mondo.terms") == [(CLASSES,)]


@pytest.mark.campaign
def test_two_ontologies_are_loaded_at_once_into_an_empty_database(
    run: int, project: Path, database: DatabaseTarget
) -> None:
    """`make two`, in one project with one instance of Dagster; `run` counts from 1."""

    def well(*words: str, **environment: str) -> None:
        done = run_dg(project, *words, **environment)
        assert done.returncode == 0, f"run {run}: {(done.stdout + done.stderr)[-5000:]}"

    ontologies = {"efo": release(EFO_CLASSES, 1), "mondo": MONDO.release()}
    for name in ontologies:
        well("scaffold", "defs", TYPE, name, "--id", name, "--database", "ONTOLOGIES_DB")
    well("check", "yaml")
    well("check", "defs")
    home = str(project / "home")
    (project / "home").mkdir()
    # Dagster's SQLite can't be made by two processes at once: in 3 of 20 runs one of them failed.
    assert not ended(started("dagster", "instance", "info", DAGSTER_HOME=home)).returncode
    with (
        running_sample(classes=EFO_CLASSES, catalogue=(MONDO,)) as sample,
        ThreadPoolExecutor() as at_once,
    ):
        launch = partial(
            well,
            "launch",
            DAGSTER_HOME=home,
            EFO_OLS_URL=sample.url,
            EFO_DATA_DIR=str(project / "data"),
            ONTOLOGIES_DB=psycopg.conninfo.make_conninfo(**database.parameters),
        )
        launched = [at_once.submit(launch, "--job", f"refresh_{name}") for name in ontologies]
        for each in launched:
            each.result()
    for name, generated in ontologies.items():
        expected, shown = expected_rows(generated), partial(ask_in, database, name)
        published = published_rows(shown)
        assert {each: getattr(expected, each) for each in published} == published
        assert published_ancestors(shown) == expected_ancestors(expected.parent_edges)
    states = ask(database, "select ontology, state, row_count > 0 from efo_meta.ontologies")
    assert sorted(states) == [("efo", "published", True), ("mondo", "published", True)]
    (loads,) = ask(database, "select count(*), count(distinct load_id) from efo_meta.verdicts")
    assert loads == (2 * len(CHECKS), 2)
    of_all = "select ontology, count(*) from ols.terms group by 1 order by 1"
    assert ask(database, of_all) == [("efo", EFO_CLASSES), ("mondo", MONDO.classes)]


def test_a_catalogue_is_scaffolded_and_checked(project: Path) -> None:
    made = run_dg(project, "scaffold", "defs", "efo_assets.OlsCatalogComponent", "ols")
    assert made.returncode == 0, made.stdout + made.stderr
    written = project / "src" / "theirs" / "defs" / "ols" / "defs.yaml"
    assert "efo_assets.OlsCatalogComponent" in written.read_text()
    written.write_text(CATALOGUE)
    for what in ("yaml", "defs"):
        checked = run_dg(project, "check", what)
        assert checked.returncode == 0, checked.stdout + checked.stderr
    page = (ROOT / "docs" / "catalogue.md").read_text()
    assert CATALOGUE in page


def test_a_wrong_value_is_named_by_the_check_of_the_file(project: Path) -> None:
    folder = project / "src" / "theirs" / "defs" / "mondo"
    folder.mkdir()
    (folder / "defs.yaml").write_text(f"type: {TYPE}\nattributes:\n  id: mondo\n  pagesize: 10\n")
    checked = run_dg(project, "check", "yaml")
    assert checked.returncode != 0
    assert "pagesize" in checked.stdout + checked.stderr
    (folder / "defs.yaml").write_text(
        f"type: {TYPE}\nattributes:\n  id: mondo\n  page_size: 5000\n"
    )
    checked = run_dg(project, "check", "defs")
    assert checked.returncode != 0
    said = " ".join((checked.stdout + checked.stderr).split())
    assert "page_size takes a whole number from 1 to 1000; it holds '5000'." in said


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("schema: '{{ env.NOT_SET }}'", "schema"),
        ("database: 'postgresql://me:{{ env.NOT_SET }}@h/d'", "{{ env.NAME }} alone"),
    ],
)
def test_a_variable_that_is_not_set_is_no_default(project: Path, line: str, said: str) -> None:
    folder = project / "src" / "theirs" / "defs" / "mondo"
    folder.mkdir()
    (folder / "defs.yaml").write_text(f"type: {TYPE}\nattributes:\n  id: mondo\n  {line}\n")
    checked = run_dg(project, "check", "defs")
    assert checked.returncode != 0
    assert said in " ".join((checked.stdout + checked.stderr).split())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--id", "Bad Id!"], "id takes an OLS ontology id"),
        (
            ["--id", "mondo", "--database", "postgresql://reader@h/d"],
            "it takes the name of an environment variable",
        ),
    ],
)
def test_what_can_not_be_scaffolded_leaves_nothing(
    project: Path, words: list[str], said: str
) -> None:
    made = run_dg(project, "scaffold", "defs", TYPE, "mondo", *words)
    assert made.returncode != 0
    assert said in " ".join((made.stdout + made.stderr).split())
    assert not (project / "src" / "theirs" / "defs" / "mondo").exists()


def test_what_is_scaffolded_in_this_repository_is_loaded_by_it(tmp_path: Path) -> None:
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "efo_assets", tmp_path / "efo_assets")
    scaffold = ["scaffold", "defs", TYPE, "mondo", "--id", "mondo"]
    made = run_dg(tmp_path, *scaffold, PYTHONPATH=str(tmp_path))
    assert made.returncode == 0, made.stdout + made.stderr
    listed = run_dg(tmp_path, "list", "defs", "--json", PYTHONPATH=str(tmp_path))
    assert '"mondo/terms"' in listed.stdout, listed.stdout + listed.stderr
    assert '"efo_terms"' in listed.stdout
    # As in the image: installed, without a project around it.
    (tmp_path / "pyproject.toml").unlink()
    code = "from efo_assets.definitions import defs; defs.resolve_job_def('refresh_mondo')"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)


@DAGSTERS
def test_yaml_and_python_make_the_same_ontology() -> None:
    fields = {"id": "hp", "schema": "pheno", "key_prefix": ["a", "b"], "limit": 5}
    text = "id: hp\nschema: pheno\nkey_prefix: [a, b]\nlimit: 5\n"
    assert Ontology.resolve_from_yaml(text) == Ontology(**fields)  # type: ignore[arg-type]
    assert OlsOntologyComponent.resolve_from_yaml(text).names.raw == dg.AssetKey(
        ["a", "b", "raw_ols_pages"]
    )


@DAGSTERS
def test_a_variable_of_the_database_is_read_when_a_run_begins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EFO_DATABASE_URL", "postgresql://me@elsewhere/efo")
    ontology = Ontology.resolve_from_yaml('id: hp\ndatabase: "{{ env.HP_DB }}"')
    with pytest.raises(SettingsError, match=r"^The database of hp is to be in HP_DB, [^\n]*\.$"):
        ontology.settings()
    monkeypatch.setenv("HP_DB", "postgresql://me@there/hp")
    database = ontology.settings().database
    assert database is not None
    assert database.place == "there:5432/hp"


def test_no_wrong_value_shows_a_password() -> None:
    with pytest.raises(ValidationError) as caught:
        Ontology(id="hp", database="postgresql://me:CANARY@/a@b")
    assert "CANARY" not in str(caught.value)
    assert "CANARY" not in repr(Ontology(id="hp", database="postgresql://me:CANARY@b/c"))


def test_importing_the_package_imports_no_dagster() -> None:
    code = "import sys, efo_assets; print('dagster' in sys.modules, len(dir(efo_assets)) > 3)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False True\n"
