"""The files that start things: what they publish, whom they run as, what they must not hold."""

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
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
    passwords = re.findall(r"PASSWORD: (.*)", text) + re.findall(r"efo:(.*)@postgres", text)
    assert len(passwords) >= 3
    assert all(value.startswith("${EFO_PASSWORD:?") for value in passwords)
    assert re.findall(
        r"^EFO_PASSWORD=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE
    ) == [""]


@pytest.mark.fault("S15")
def test_our_containers_run_without_rights() -> None:
    services = read("docker-compose.yml")["services"]
    for name in ("code", "webserver", "daemon"):
        service = services[name]
        assert service["user"].startswith("10001")
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert not any("docker.sock" in volume for volume in service.get("volumes", []))
    assert "USER 10001" in (ROOT / "Dockerfile").read_text()


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
