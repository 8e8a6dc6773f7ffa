"""dbt, the optional extra: green on a published release, red on a broken row, absent without it."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections import defaultdict
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
import yaml

from efo_assets.dbt import project as dbt_project
from efo_assets.definitions import build_defs
from efo_assets.errors import DbtError, SettingsError
from efo_assets.sample.ontology import release
from efo_assets.settings import DatabaseTarget, Settings
from efo_assets.warehouse.tables import TABLES
from efo_assets.warehouse.warehouse import Warehouse
from efo_assets.warehouse.writer import WriterLock
from efo_assets_tests.graph.materializing import Graph, failure
from efo_assets_tests.oracle.rows import expected_rows
from efo_assets_tests.oracle.tables import ExpectedRows
from efo_assets_tests.warehouse.loads import (
    ask,
    edge,
    expected,
    iri,
    publish,
    synonym,
    term,
    xref,
)

ROOT = Path(__file__).parents[2]
CLASSES = 1_500
SEED = 7
MODELS = ["efo_term_cards", "efo_trait_tree"]

with_the_extra = pytest.mark.skipif(
    dbt_project.obstacle() is not None, reason="the extra dbt isn't installed: make dbt-test"
)
without_the_extra = pytest.mark.skipif(
    dbt_project.obstacle() is None, reason="the extra dbt is installed"
)


def command(
    database: DatabaseTarget, data_dir: Path, *words: str, **variables: str
) -> "subprocess.CompletedProcess[str]":
    url = psycopg.conninfo.make_conninfo(**database.parameters)
    return subprocess.run(
        [sys.executable, "-m", "efo_assets", "dbt", *words],
        env=os.environ | {"EFO_DATABASE_URL": url, "EFO_DATA_DIR": str(data_dir)} | variables,
        capture_output=True,
        text=True,
        check=False,
    )


def relations(warehouse: Warehouse, schema: str) -> dict[str, str]:
    """Each relation of a schema and its kind."""
    found = ask(
        warehouse,
        "select relname::text, relkind::text from pg_class where relkind in ('r', 'v', 'm')"
        f" and relnamespace = '{schema}'::regnamespace",
    )
    return dict(found)


def expected_cards(rows: ExpectedRows) -> set[tuple[Any, ...]]:
    """One row per current term, from the generator's rows alone."""
    curies = {row.iri: row.curie for row in rows.terms}
    labels = {row.iri: row.label for row in rows.terms}
    synonyms: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in rows.synonyms:
        synonyms[row.iri, row.scope].append(row.synonym)
    parents: dict[str, list[str]] = defaultdict(list)
    for child, parent, predicate in rows.parent_edges:
        if predicate == "is_a":
            parents[child].append(parent)
    mesh: dict[str, list[str]] = defaultdict(list)
    xrefs: dict[str, list[str]] = defaultdict(list)
    for ref in rows.xrefs:
        xrefs[ref.iri].append(f"{ref.prefix}:{ref.accession}" if ref.prefix else ref.accession)
        if ref.prefix == "mesh":
            mesh[ref.iri].append(ref.accession)
    return {
        (
            of.iri,
            of.curie,
            of.label,
            of.definition,
            *(
                tuple(sorted(synonyms[of.iri, scope]))
                for scope in ("exact", "related", "narrow", "broad")
            ),
            tuple(sorted(parents[of.iri])),
            tuple(curies[parent] for parent in sorted(parents[of.iri])),
            tuple(labels[parent] for parent in sorted(parents[of.iri])),
            tuple(sorted(xrefs[of.iri])),
            tuple(sorted(mesh[of.iri])),
        )
        for of in rows.terms
        if not of.is_obsolete
    }


def expected_tree(rows: ExpectedRows) -> set[tuple[Any, ...]]:
    """Root, term, depth and path, by a breadth-first walk from each root."""
    current = {row.iri: row.label for row in rows.terms if not row.is_obsolete}
    children: dict[str, list[str]] = defaultdict(list)
    for child, parent, predicate in rows.parent_edges:
        if predicate == "is_a" and child in current and parent in current:
            children[parent].append(child)
    tree = set()
    for root in (row.iri for row in rows.terms if row.is_root):
        paths: dict[str, tuple[str, ...]] = {root: (current[root],)}
        level = [root]
        while level:
            tree |= {(root, each, len(paths[each]) - 1, paths[each]) for each in level}
            below: dict[str, tuple[str, ...]] = {}
            for parent in sorted(level):
                for child in children[parent]:
                    if child not in paths:
                        below.setdefault(child, (*paths[parent], current[child]))
            paths |= below
            level = list(below)
    return tree


def cards(warehouse: Warehouse) -> set[tuple[Any, ...]]:
    found = ask(
        warehouse,
        "select iri, curie, label, definition, exact_synonyms, related_synonyms, narrow_synonyms,"
        " broad_synonyms, parent_iris, parent_curies, parent_labels, xrefs, mesh_ids"
        " from efo_dbt.efo_term_cards",
    )
    return as_set(found)


def tree(warehouse: Warehouse) -> set[tuple[Any, ...]]:
    found = ask(
        warehouse,
        "select r.iri, t.iri, t.depth, t.path from efo_dbt.efo_trait_tree as t"
        " join efo_terms as r on r.id = t.root_id",
    )
    return as_set(found)


def as_set(rows: list[Any]) -> set[tuple[Any, ...]]:
    made = [tuple(tuple(v) if isinstance(v, list) else v for v in row) for row in rows]
    assert len(set(made)) == len(made), "a row stands twice"
    return set(made)


def publish_sample(warehouse: Warehouse, number: int = 1) -> ExpectedRows:
    """Publish a generated release, from the generator's own expectation."""
    made = release(CLASSES, SEED, number)
    rows = expected_rows(made)
    publish(warehouse, made.version, **expected(rows))
    return rows


@with_the_extra
def test_dbt_build_is_green_and_the_models_are_what_the_generator_expects(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    rows = publish_sample(warehouse)
    published = relations(warehouse, "public")
    done = command(warehouse.target, tmp_path, "build")
    assert done.returncode == 0, done.stdout
    assert " WARN=0 ERROR=0 SKIP=0 " in done.stdout
    assert cards(warehouse) == expected_cards(rows)
    assert tree(warehouse) == expected_tree(rows)
    assert relations(warehouse, "public") == published
    assert relations(warehouse, "efo_dbt") == dict.fromkeys(MODELS, "r")
    for model in MODELS:
        made_from = ask(warehouse, f"select distinct release_id, release from efo_dbt.{model}")
        assert made_from == [(1, "efo 3.901.0")]


def listed(
    name: str, *, curie: str | None = "", is_root: bool = False, is_obsolete: bool = False
) -> tuple[Any, ...]:
    curie = f"EX:{name}" if curie == "" else curie
    return term(name, name, curie=curie, is_root=is_root, is_obsolete=is_obsolete)


@with_the_extra
def test_the_tree_takes_the_shortest_way_through_current_is_a_edges_and_ends_in_cycles(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    publish(
        warehouse,
        terms=[
            listed("r", is_root=True),
            listed("s", is_root=True, curie=None),
            *(listed(name) for name in ("a", "b", "c", "d", "gone", "part", "under", "u", "v")),
            listed("old", is_obsolete=True),
        ],
        synonyms=[synonym("a", "B"), synonym("a", "A"), synonym("old", "A")],
        edges=[
            *(edge(child, "r") for child in ("a", "b", "old", "gone")),
            *(edge("d", parent) for parent in ("c", "b", "a", "s")),
            edge("c", "a"),
            edge("part", "r", "part_of"),
            edge("under", "old"),
            edge("v", "u"),
        ],
        xrefs=[
            xref("a", "mesh", "D2"),
            xref("a", "mesh", "D1"),
            xref("a", "umls", "C1"),
            xref("a", "", "no prefix"),
        ],
    )
    for child, parent in (("a", "c"), ("u", "v"), ("a", "a")):
        ask(
            warehouse,
            "insert into efo_parent_edges select c.id, p.id, 'is_a' from efo_terms as c, efo_terms"
            f" as p where c.iri = '{iri(child)}' and p.iri = '{iri(parent)}' returning 1",
        )
    ask(warehouse, f"update efo_terms set removed_in = 1 where iri = '{iri('gone')}' returning 1")
    done = command(warehouse.target, tmp_path, "build")
    assert done.returncode == 0, done.stdout
    assert tree(warehouse) == {
        (iri("r"), iri("r"), 0, ("r",)),
        (iri("r"), iri("a"), 1, ("r", "a")),
        (iri("r"), iri("b"), 1, ("r", "b")),
        (iri("r"), iri("c"), 2, ("r", "a", "c")),
        (iri("r"), iri("d"), 2, ("r", "a", "d")),
        (iri("s"), iri("s"), 0, ("s",)),
        (iri("s"), iri("d"), 1, ("s", "d")),
    }
    made = {row[2]: row[4:] for row in cards(warehouse)}
    assert set(made) == {"r", "s", "a", "b", "c", "d", "part", "under", "u", "v"}
    parents = tuple(iri(name) for name in ("a", "b", "c", "s"))
    curies = ("EX:a", "EX:b", "EX:c", None)
    assert made["d"] == ((), (), (), (), parents, curies, ("a", "b", "c", "s"), (), ())
    assert made["a"][0] == ("A", "B")
    assert made["a"][7:] == (("mesh:D1", "mesh:D2", "no prefix", "umls:C1"), ("D1", "D2"))


def checks_of(result: dg.ExecuteInProcessResult) -> dict[tuple[str, str], bool]:
    """Asset and name of every dbt test that was evaluated, and whether it passed."""
    return {
        (each.asset_key.to_user_string(), each.check_name): each.passed
        for each in result.get_asset_check_evaluations()
        if "unique_id" in each.metadata
    }


@with_the_extra
def test_a_broken_row_turns_its_check_red_until_the_release_is_published_again(
    graph: Graph, warehouse: Warehouse, tmp_path: Path
) -> None:
    first = graph.materialize()
    assert first.success
    assert set(checks_of(first)) == dbt_checks()
    assert all(checks_of(first).values())
    before = cards(warehouse)
    assert before == expected_cards(expected_rows(release(CLASSES, SEED, 1)))

    ask(
        warehouse,
        "insert into efo_synonyms (term_id, synonym, scope)"
        " select min(id), 'put in by hand', 'sideways' from efo_terms returning 1",
    )
    broken = ("test", "--select", "efo_synonyms_scope_is_known")
    assert command(warehouse.target, tmp_path, *broken).returncode == 1
    second = graph.materialize(*MODELS)
    said = failure(second)
    assert "steps failed (efo_synonyms_scope_is_known: Got 1 result" in said
    assert "The published release is kept" in said
    red = {key for key, passed in checks_of(second).items() if not passed}
    assert red == {("efo_synonyms", "efo_synonyms_scope_is_known")}
    assert cards(warehouse) == before

    assert graph.materialize().success
    assert command(warehouse.target, tmp_path, *broken).returncode == 0


@with_the_extra
def test_one_model_alone_says_where_it_is_and_how_many_rows_it_has(
    graph: Graph, warehouse: Warehouse
) -> None:
    rows = publish_sample(warehouse)
    graph.configure(EFO_DBT_SCHEMA="elsewhere")
    result = graph.materialize("efo_term_cards")
    assert result.success
    assert all(checks_of(result).values())
    of_the_other = {key for key in dbt_checks() if key[0] == "efo_trait_tree"}
    assert set(checks_of(result)) == dbt_checks() - of_the_other
    (event,) = result.get_asset_materialization_events()
    metadata = event.materialization.metadata
    assert metadata["dagster/table_name"].value == "elsewhere.efo_term_cards"
    assert metadata["dagster/row_count"].value == len(expected_cards(rows))
    assert relations(warehouse, "elsewhere") == {"efo_term_cards": "r"}


def dbt_checks() -> set[tuple[str, str]]:
    (models,) = (
        each
        for each in build_defs().assets or ()
        if isinstance(each, dg.AssetsDefinition) and each.op.name == "dbt_models"
    )
    return {(key.asset_key.to_user_string(), key.name) for key in models.check_keys}


@with_the_extra
def test_every_dbt_test_is_a_check_of_a_published_asset_or_a_model() -> None:
    tests = [
        node for node in dbt_project.manifest()["nodes"].values() if node["resource_type"] == "test"
    ]
    assert len(tests) > 70
    assert {name for _, name in dbt_checks()} == {test["name"] for test in tests}
    assert {asset for asset, _ in dbt_checks()} == {*MODELS, *(table.name for table in TABLES)}
    assert ("efo_synonyms", "efo_synonyms_have_terms") in dbt_checks()
    assert ("efo_trait_tree", "efo_trait_tree_is_the_shortest") in dbt_checks()


@with_the_extra
def test_the_lineage_goes_on_from_the_published_assets_into_the_models() -> None:
    graph = build_defs().resolve_asset_graph()
    above = {
        model: {key.to_user_string() for key in graph.get(dg.AssetKey(model)).parent_keys}
        for model in MODELS
    }
    assert above == {
        "efo_term_cards": {table.name for table in TABLES},
        "efo_trait_tree": {"efo_terms", "efo_parent_edges"},
    }
    assert len(graph.get_all_asset_keys()) == 4 + 3 * len(TABLES) + 2 + len(MODELS)
    for model in MODELS:
        node = graph.get(dg.AssetKey(model))
        assert (node.group_name, node.owners) == ("dbt", ["team:efo"])
        assert node.kinds >= {"dbt", "postgres"}
        assert "dagster/table_name" not in node.metadata
        columns = node.metadata["dagster/column_schema"].columns
        assert all(column.description and column.type != "?" for column in columns)


@with_the_extra
def test_refresh_efo_builds_the_models_too() -> None:
    job = build_defs().resolve_job_def("refresh_efo")
    keys = {key.to_user_string() for key in job.asset_layer.executable_asset_keys}
    assert keys >= {*MODELS, "efo_terms", "raw_ols_pages"}


@with_the_extra
def test_models_are_refused_in_the_published_schema(warehouse: Warehouse, tmp_path: Path) -> None:
    publish(warehouse, terms=[listed("r", is_root=True)])
    done = command(warehouse.target, tmp_path, "build", EFO_DBT_SCHEMA="public")
    assert done.returncode == 1
    assert done.stderr.startswith("EFO_DBT_SCHEMA takes a schema for dbt's models alone")
    assert done.stderr.count("\n") == 1


@with_the_extra
def test_a_second_dbt_is_kept_out(warehouse: Warehouse, tmp_path: Path) -> None:
    publish(warehouse, terms=[listed("r", is_root=True)])
    lock = WriterLock(warehouse.connect, "efo_dbt")
    lock.acquire()
    done = command(warehouse.target, tmp_path, "build")
    lock.release()
    assert done.returncode == 1
    assert done.stderr.startswith("Another load into schema efo_dbt is under way")
    assert done.stderr.count("\n") == 1


@with_the_extra
def test_before_anything_is_published_there_is_nothing_to_build(
    graph: Graph, warehouse: Warehouse, tmp_path: Path
) -> None:
    done = command(warehouse.target, tmp_path, "build")
    assert done.returncode == 1
    assert done.stderr.startswith("Nothing is published in schema public of ")
    assert done.stderr.count("\n") == 1
    assert failure(graph.materialize(*MODELS)) == done.stderr.strip()


@with_the_extra
@pytest.mark.fault("S01")
def test_a_refused_connection_shows_no_password(tmp_path: Path) -> None:
    away = DatabaseTarget(
        {"host": "127.0.0.1", "port": "1", "user": "me", "password": "CANARY", "dbname": "efo"}
    )
    done = command(away, tmp_path, "--debug", "debug")
    assert done.returncode == 1
    assert "Connection refused" in done.stdout
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert written
    assert [text for text in written if b"CANARY" in text] == []
    assert "CANARY" not in done.stdout + done.stderr


@pytest.mark.fault("S01")
def test_the_password_goes_by_the_variable_that_dbt_blots_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGSSLROOTCERT", "system")
    target = DatabaseTarget(
        {"host": "/run/socket", "user": "me", "password": "it's CANARY", "sslmode": "require"}
    )
    told = dbt_project.environment(target, Settings(), tmp_path)
    assert [name for name, value in told.items() if "CANARY" in value] == [
        "DBT_ENV_SECRET_EFO_PASSWORD"
    ]
    assert (told["PGHOST"], told["PGDATABASE"]) == ("/run/socket", "me")
    assert (told["PGSSLMODE"], told["PGSSLROOTCERT"]) == ("require", "system")
    assert "PGPASSWORD" not in told


@pytest.mark.fault("S01")
def test_a_password_that_libpq_knows_from_the_environment_goes_the_same_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", "CANARY")
    told = dbt_project.environment(DatabaseTarget({"host": "h"}), Settings(), tmp_path)
    assert [name for name, value in told.items() if "CANARY" in value] == [
        "DBT_ENV_SECRET_EFO_PASSWORD"
    ]


def test_models_in_the_published_schema_are_one_sentence(tmp_path: Path) -> None:
    target = DatabaseTarget({"host": "h"})
    with pytest.raises(SettingsError, match="EFO_DBT_SCHEMA takes"):
        dbt_project.environment(target, Settings(schema="same", dbt_schema="same"), tmp_path)
    assert dbt_project.environment(target, Settings(), tmp_path)["EFO_DBT_SCHEMA"] == "efo_dbt"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the dbt project, put in its place."""
    copy = tmp_path / "dbt"
    shutil.copytree(dbt_project.PROJECT_DIR, copy, ignore=shutil.ignore_patterns("target", "logs"))
    monkeypatch.setattr(dbt_project, "PROJECT_DIR", copy)
    return copy


@with_the_extra
def test_the_project_is_read_once_per_state_of_its_files(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = dbt_project.manifest()
    monkeypatch.setattr(dbt_project, "COMMAND", (sys.executable, "-c", "raise SystemExit(3)"))
    assert dbt_project.manifest() == made
    changed = project / "models" / "efo_term_cards.yml"
    changed.write_text(changed.read_text().replace("The label", "A label"))
    with pytest.raises(DbtError):
        dbt_project.manifest()


@with_the_extra
def test_a_project_that_dbt_cannot_read_is_one_sentence(project: Path) -> None:
    (project / "models" / "more.sql").write_text("select * from {{ ref('nowhere') }}")
    with pytest.raises(DbtError) as caught:
        dbt_project.manifest()
    assert "nowhere" in str(caught.value)
    assert "\n" not in str(caught.value)


@with_the_extra
def test_without_the_project_folder_there_are_no_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dbt_project, "PROJECT_DIR", tmp_path)
    keys = build_defs().resolve_asset_graph().get_all_asset_keys()
    assert len(keys) == 4 + 2 * len(TABLES) + len(TABLES) + 2


LOADED = """
import sys
from efo_assets.definitions import defs
graph = defs.resolve_asset_graph()
print(sorted({graph.get(key).group_name for key in graph.get_all_asset_keys()}))
print([name for name in sys.modules if name.partition(".")[0] in ("dbt", "dagster_dbt", "pyarrow")])
"""


@without_the_extra
def test_without_the_extra_there_is_no_dbt_asset_and_nothing_of_dbt_is_imported() -> None:
    # From the repository's root, where a folder named dbt could be taken for the package.
    done = subprocess.run(
        [sys.executable, "-c", LOADED], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "['efo', 'exports', 'raw', 'staged']\n[]\n"


@without_the_extra
def test_without_the_extra_the_command_names_what_is_missing(
    database: DatabaseTarget, tmp_path: Path
) -> None:
    done = command(database, tmp_path, "build")
    assert done.returncode == 1
    assert done.stderr.startswith("dbt is an optional extra and isn't installed (dagster-dbt")
    assert done.stderr.count("\n") == 1


def yaml_file(place: str) -> Any:
    return yaml.safe_load((ROOT / "dbt" / place).read_text())


def test_the_sources_are_the_published_tables_with_columns_that_they_have() -> None:
    sources = {each["name"]: each for each in yaml_file("models/sources.yml")["sources"]}
    described = {table["name"]: table for table in sources["efo"]["tables"]}
    assert set(described) == {*(table.name for table in TABLES), "efo_mesh_xrefs"}
    for table in TABLES:
        columns = {column.name for column in table.published_columns}
        assert {each["name"] for each in described[table.name]["columns"]} <= columns


def test_the_profile_holds_nothing_but_variables() -> None:
    profile = yaml_file("profiles.yml")["efo"]["outputs"]["published"]
    fixed = {name for name, value in profile.items() if not str(value).startswith("{{ env_var(")}
    assert fixed == {"type", "threads", "application_name"}


def pins(file: str) -> dict[str, str]:
    lines = (ROOT / file).read_text().splitlines()
    assert lines == sorted(lines, key=str.lower)
    return dict(line.split("==") for line in lines)


def test_the_extras_pins_are_those_of_the_project_but_for_pathspec() -> None:
    ordinary, extra = pins("constraints.txt"), pins("constraints-dbt.txt")
    differ = {name for name in ordinary.keys() & extra.keys() if ordinary[name] != extra[name]}
    assert differ == {"pathspec"}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dbt"]]
    names = {re.split(r"[\[<>=!]", each)[0] for each in wanted}
    assert names - {name.lower() for name in extra} == set()


@pytest.mark.parametrize("value", ["efo_meta", "pg_temp", "Models", 'x"; drop schema public'])
@pytest.mark.fault("S04")
def test_a_schema_that_models_cannot_have_is_one_sentence(value: str) -> None:
    with pytest.raises(SettingsError, match=r"^EFO_DBT_SCHEMA takes a schema name"):
        Settings.from_environment({"EFO_DBT_SCHEMA": value})
