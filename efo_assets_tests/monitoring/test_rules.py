"""Alert rules and configurations: checked by their own tools, explained in the guide."""

import re
import subprocess
from typing import Any

import pytest
import yaml

from efo_assets.__main__ import METRICS_PORT
from efo_assets.monitoring.catalogue import GAUGES
from efo_assets.monitoring.sources import SCRAPE_TIMEOUT_S
from efo_assets_tests.commands import ROOT
from efo_assets_tests.monitoring.processes import program

PROMETHEUS = ROOT / "deploy" / "prometheus"
ALERTMANAGER = ROOT / "deploy" / "alertmanager" / "alertmanager.yml"
GUIDE = ROOT / "docs" / "operations" / "monitoring.md"
TIMEOUT_S = 300


def rules() -> list[dict[str, Any]]:
    text = yaml.safe_load((PROMETHEUS / "rules.yml").read_text())
    return [rule for group in text["groups"] for rule in group["rules"]]


def checked(*command: str) -> str:
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_prometheus_accepts_its_configuration_and_rules() -> None:
    promtool = program("promtool", package="prometheus")
    checked(promtool, "check", "config", str(PROMETHEUS / "prometheus.yml"))
    assert f"{len(rules())} rules found" in checked(
        promtool, "check", "rules", str(PROMETHEUS / "rules.yml")
    )


def test_every_alert_fires_when_it_should_and_is_over_when_it_should() -> None:
    promtool = program("promtool", package="prometheus")
    checked(promtool, "test", "rules", str(PROMETHEUS / "rules_test.yml"))


def test_every_alert_is_tested() -> None:
    tests = (PROMETHEUS / "rules_test.yml").read_text()
    assert [rule["alert"] for rule in rules() if rule["alert"] not in tests] == []


def test_alertmanager_accepts_its_configuration() -> None:
    checked(program("amtool", package="prometheus-alertmanager"), "check-config", str(ALERTMANAGER))


@pytest.mark.fault("S14")
def test_no_address_to_send_to_stands_in_the_files() -> None:
    text = ALERTMANAGER.read_text()
    assert "://" not in text
    (receiver,) = yaml.safe_load(text)["receivers"]
    (slack,) = receiver["slack_configs"]
    assert slack["api_url_file"].startswith("/run/secrets/")
    assert slack["send_resolved"] is True


def test_every_alert_says_what_to_do_and_where_more_stands() -> None:
    headings = re.findall(r"^### (Efo\w+)$", GUIDE.read_text(), re.MULTILINE)
    assert headings == [rule["alert"] for rule in rules()]
    for rule in rules():
        notes = rule["annotations"]
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert notes["summary"]
        assert len(notes["description"]) > 80
        assert notes["runbook"] == f"docs/operations/monitoring.md#{rule['alert'].lower()}"


def test_rules_name_no_metric_that_is_not_there() -> None:
    known = {gauge.name for gauge in GAUGES}
    for rule in rules():
        bare = re.sub(r'"[^"]*"', "", rule["expr"])
        assert set(re.findall(r"\befo_\w+", bare)) <= known, rule["alert"]


def test_the_guide_lists_every_metric_with_its_labels() -> None:
    listed = re.findall(r"^\| `(efo_\w+)` \| (.*?) \|", GUIDE.read_text(), re.MULTILINE)
    assert listed == [
        (gauge.name, ", ".join(f"`{label}`" for label in gauge.labels)) for gauge in GAUGES
    ]


def test_the_endpoint_is_scraped_at_its_default_port_and_in_time() -> None:
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    (job,) = config["scrape_configs"]
    assert job["job_name"] == "efo"
    assert job["static_configs"] == [{"targets": [f"exporter:{METRICS_PORT}"]}]
    assert config["global"]["scrape_timeout"] == "10s"
    assert SCRAPE_TIMEOUT_S < 10
