"""What we are made of and started by: versions, code that runs data, containers, CI, telemetry."""

import ast
import os
import re
import subprocess
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.telemetry import _get_instance_telemetry_enabled
from packaging.requirements import Requirement
from packaging.version import Version

from efo_assets_tests.commands import ROOT

# Earlier ones have known holes: docs/faults.md, S16.
FLOORS = {
    "aiohttp": "3.14.4",
    "dagster": "1.10.16",
    "dagster-webserver": "1.10.16",
    "dagster-postgres": "0.26.16",
}
RUNS_DATA = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "eval", "exec"}
LOADS_OBJECTS = {"load", "load_all", "unsafe_load", "full_load"}
SOURCES = sorted((ROOT / "efo_assets").rglob("*.py"))
SECRET_LIKE = re.compile(
    r"(postgres(?:ql)?|https?|smtps?)://[^\s:/@\"'{}]+:(?!\*|\$\{|password@|user:)[^\s@/\"'{}]+@"
)


@pytest.mark.fault("S16")
@pytest.mark.parametrize("name", FLOORS)
def test_no_version_below_the_floor_can_be_installed(name: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (asked,) = [found for found in map(Requirement, project["dependencies"]) if found.name == name]
    lowest = [Version(each.version) for each in asked.specifier if each.operator == ">="]
    pinned = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines())
    floor = Version(FLOORS[name])
    assert min(lowest) >= floor
    assert Version(pinned[name]) >= floor
    assert Version(version(name)) >= floor


@pytest.mark.fault("S16")
def test_everything_that_is_installed_with_us_is_pinned() -> None:
    """A dependency of a dependency, too: nothing drifts in between two installations."""
    pinned = {
        line.partition("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [Requirement(each).name.lower() for each in project["dependencies"]]
    assert [name for name in asked if name not in pinned] == []


def names_used(source: Path) -> Iterator[str]:
    """Modules that are imported and functions that are called, of those that run data."""
    for node in ast.walk(ast.parse(source.read_text())):
        match node:
            case ast.Import(names=names):
                yield from (each.name.partition(".")[0] for each in names)
            case ast.ImportFrom(module=str(module), names=names):
                yield module.partition(".")[0]
                yield from (each.name for each in names)
            case ast.Call(func=ast.Name(id=name)):
                yield name
            case ast.Call(func=ast.Attribute(value=ast.Name(id="yaml"), attr=name)):
                yield f"yaml.{name}"
            case ast.keyword(arg="shell", value=ast.Constant(value=True)):
                yield "shell=True"
            case _:
                pass


@pytest.mark.fault("S17")
@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_code_of_ours_runs_data(source: Path) -> None:
    forbidden = RUNS_DATA | {f"yaml.{name}" for name in LOADS_OBJECTS} | {"shell=True"}
    assert set(names_used(source)) & forbidden == set()


def test_the_search_for_code_that_runs_data_finds_it(tmp_path: Path) -> None:
    source = tmp_path / "bad.py"
    source.write_text(
        "import pickle.x\nfrom marshal import loads\nyaml.load(t)\neval('1')\nrun(x, shell=True)\n"
    )
    assert {"pickle", "marshal", "yaml.load", "eval", "shell=True"} <= set(names_used(source))


def compose(**environment: str) -> "subprocess.CompletedProcess[str]":
    """`docker-compose config`: what would be started."""
    kept = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
    return subprocess.run(
        ["docker-compose", "-f", "docker-compose.yml", "config"],
        cwd=ROOT,
        env=kept | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.fault("S13")
@pytest.mark.fault("S15")
def test_whatever_service_is_added_publishes_nothing_and_mounts_no_socket() -> None:
    services: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    for name, service in services.items():
        for port in service.get("ports", []):
            assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port), name
        assert "network_mode" not in service, name
        assert "privileged" not in service, name
        assert "cap_add" not in service, name
        assert not any(".sock" in str(volume) for volume in service.get("volumes", [])), name
    assert "DockerRunLauncher" not in (ROOT / "deploy" / "dagster.yaml").read_text()


@pytest.mark.fault("S14")
def test_without_a_password_nothing_starts() -> None:
    needed = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["x-environment"]
    assert needed["DAGSTER_POSTGRES_PASSWORD"].startswith("${EFO_PASSWORD:?")
    assert needed["PGPASSWORD"].startswith("${EFO_PASSWORD:?")
    passwords = {"EFO_PASSWORD": "K4NARY", "EFO_ADMIN_PASSWORD": "K4NARY"}
    try:
        refused, started = compose(), compose(**passwords)
    except FileNotFoundError:
        return  # without docker-compose, the rule above is what there is to see
    assert refused.returncode != 0
    assert "EFO_PASSWORD" in refused.stderr + refused.stdout
    assert started.returncode == 0, started.stderr


@pytest.mark.fault("S14")
def test_no_file_of_the_repository_holds_a_password() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    names = [name for name in listed.stdout.split("\0") if name and not name.endswith(".png")]
    kept = [name for name in names if not name.startswith("efo_assets_tests/")]
    assert len(kept) > 50
    found = {name: SECRET_LIKE.findall((ROOT / name).read_text()) for name in kept}
    assert {name: what for name, what in found.items() if what} == {}
    assert SECRET_LIKE.search("postgresql://efo:hunter2@db/efo")


@pytest.mark.fault("S22")
def test_ci_runs_our_commands_with_read_rights_and_pinned_actions() -> None:
    workflows = {path.name: path.read_text() for path in (ROOT / ".github").rglob("*.y*ml")}
    assert workflows
    for name, text in workflows.items():
        workflow = yaml.safe_load(text)
        assert workflow["permissions"] == {"contents": "read"}, name
        assert "secrets." not in text, name
        assert "pull_request_target" not in text, name
        for job in workflow["jobs"].values():
            assert "permissions" not in job, name
            assert job["timeout-minutes"] <= 30, name
            for step in job["steps"]:
                assert step.get("run", ".ci/run") == ".ci/run", name
                assert re.search(r"@[0-9a-f]{40}$", step.get("uses", "@" + "0" * 40)), name
    script = (ROOT / ".ci" / "run").read_text()
    commands = [
        line for line in script.splitlines() if line and not line.startswith(("#", "set ", "cd "))
    ]
    assert all(line.startswith("make ") for line in commands), "nothing is fetched and run"


def test_commits_are_checked_by_the_linters_of_our_own_environment() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [each["repo"] for each in hooks] == ["local"]
    assert all(hook["entry"].startswith(".venv/bin/") for hook in hooks[0]["hooks"])


@pytest.mark.fault("S23")
@pytest.mark.parametrize("name", ["dagster.yaml", "deploy/dagster.yaml"])
def test_dagster_reads_our_configuration_as_no_telemetry(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EFO_COMPUTE_LOGS", str(tmp_path))
    given = yaml.safe_load((ROOT / name).read_text())
    given.pop("storage", None)
    with dg.DagsterInstance.local_temp(str(tmp_path), overrides=given) as instance:
        assert _get_instance_telemetry_enabled(instance) is False
        assert instance.nux_enabled is False
    with dg.DagsterInstance.local_temp(str(tmp_path)) as unconfigured:
        assert _get_instance_telemetry_enabled(unconfigured) is True, "it is on by default"
