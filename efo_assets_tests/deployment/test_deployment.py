"""The files that start things: what they publish, whom they run as, what they must not hold."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
HOSTS = re.compile(r"\b(pypi|pythonhosted|npmjs|debian)\.(org|net|com)\b")


def read(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text())


def test_pyproject_and_workspace_name_the_same_code_location() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["dg"]["project"]
    (location,) = read("workspace.yaml")["load_from"]
    assert location["python_module"]["module_name"] == project["code_location_target_module"]
    assert location["python_module"]["location_name"] == project["root_module"]


@pytest.mark.fault("S23")
@pytest.mark.parametrize("name", ["dagster.yaml", "deploy/dagster.yaml"])
def test_nothing_is_reported_home(name: str) -> None:
    assert read(name)["telemetry"] == {"enabled": False}
    assert read(name)["nux"] == {"enabled": False}


@pytest.mark.parametrize("name", ["dagster.yaml", "deploy/dagster.yaml"])
def test_a_run_whose_process_is_gone_ends(name: str) -> None:
    assert read(name)["run_monitoring"]["max_runtime_seconds"] > 0


@pytest.mark.fault("S13")
def test_every_published_port_is_on_the_loopback() -> None:
    services = read("docker-compose.yml")["services"]
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert "ports" not in services["postgres"]
    assert "ports" not in services["code"]


@pytest.mark.fault("S14")
def test_no_password_stands_in_the_files() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    passwords = re.findall(r"PASSWORD: (.*)", text)
    assert len(passwords) >= 4
    assert all(re.match(r"\$\{EFO_(ADMIN_)?PASSWORD:\?", value) for value in passwords)
    assert re.findall(r"://[^/@\s]*:[^/@\s]*@", text) == []
    example = (ROOT / ".env.example").read_text()
    assert re.findall(r"^[A-Z_]*PASSWORD=(.*)$", example, re.MULTILINE) == ["", ""]


@pytest.mark.fault("S15")
@pytest.mark.parametrize("name", read("docker-compose.yml")["services"])
def test_every_container_runs_without_rights(name: str) -> None:
    service = read("docker-compose.yml")["services"][name]
    uid = int(service["user"].partition(":")[0])
    assert uid == 10001 if service["image"].startswith("efo_assets") else uid > 0
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert "privileged" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not any("docker.sock" in volume for volume in service.get("volumes", []))


def test_every_service_that_stays_has_a_health_check_and_waits_for_healthy_ones() -> None:
    services = read("docker-compose.yml")["services"]
    for name, service in services.items():
        assert "healthcheck" in service or service["restart"] == "no", name
        for needed, condition in service.get("depends_on", {}).items():
            assert condition == {"condition": "service_healthy"}, name
            assert "healthcheck" in services[needed]


def test_every_documented_setting_can_be_given_in_env() -> None:
    page = (ROOT / "docs" / "settings.md").read_text()
    settings = set(re.findall(r"^\| `(EFO_[A-Z_]+)` \|", page, re.MULTILINE))
    text = (ROOT / "docker-compose.yml").read_text()
    given = {name for name in settings if f"{name}: ${{{name}:-" in text}
    # The compose file's own business, and that of an extra that the image doesn't have.
    assert settings - given == {"EFO_DATABASE_URL", "EFO_DATA_DIR", "EFO_DBT_SCHEMA"}


def test_images_have_versions() -> None:
    for service in read("docker-compose.yml")["services"].values():
        assert re.fullmatch(r"[a-z0-9_./-]+:v?[0-9][0-9.]*", service["image"])
    stages = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert len(stages) == 2
    assert all(re.search(r":[0-9]+\.[0-9]+\.[0-9]+-", stage) for stage in stages)


def test_the_image_is_no_roots_and_holds_its_bytecode() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert re.findall(r"^USER (.*)$", text, re.MULTILINE) == ["10001:10001"]
    stages = text.split("\nFROM ")[1:]
    assert all("python -m compileall" in stage for stage in stages)


def test_both_composes_read_the_file() -> None:
    if shutil.which("docker-compose") is None:
        pytest.skip("docker-compose is not installed")
    passwords = {"EFO_PASSWORD": "x", "EFO_ADMIN_PASSWORD": "y"}
    # In place of .env, which a checkout that is deployed has.
    command = ["docker-compose", "--env-file", ".env.example"]
    command += ["--profile", "monitoring", "--profile", "sample", "config", "-q"]
    for given, code in ((passwords, 0), ({}, 1)):
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, **given},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stderr
    assert "see .env.example" in done.stderr


def test_no_tracked_file_names_a_registrys_host() -> None:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    texts = [ROOT / name for name in listed.stdout.splitlines() if not name.endswith(".png")]
    here = Path(__file__)
    assert [str(path) for path in texts if path != here and HOSTS.search(path.read_text())] == []


def test_versions_are_pinned_without_a_source() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert lines
    assert [
        line for line in lines if not re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9_.+-]+", line)
    ] == []
