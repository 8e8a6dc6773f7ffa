"""A real Prometheus over the real endpoint, a real Alertmanager behind it, a real daemon before it.

Every panel's query and every rule's expression is executed on what they collected.
"""

import json
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
import yaml

from efo_assets.monitoring.catalogue import GAUGES
from efo_assets.settings import DatabaseTarget
from efo_assets_tests.commands import ROOT, free_port
from efo_assets_tests.monitoring.conftest import House, a_house, endpoint_of
from efo_assets_tests.monitoring.many import add_earlier_releases
from efo_assets_tests.monitoring.processes import (
    Endpoint,
    Process,
    program,
    running_exporter,
    started,
    until,
)
from tools.dashboard import dashboard

DEPLOY = ROOT / "deploy"
LOCATION = "efo_assets_tests.monitoring.location"


class Receiver:
    """The webhook that Alertmanager posts Slack's JSON to."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:  # the base class's name
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.messages.append(json.loads(body))
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *_: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"

    @contextmanager
    def listening(self) -> Iterator["Receiver"]:
        thread = threading.Thread(target=self.server.serve_forever)
        thread.start()
        try:
            yield self
        finally:
            self.server.shutdown()
            thread.join()
            self.server.server_close()

    def told(self, *words: str) -> dict[str, Any] | None:
        """The first message with all of these words."""
        texts = ((message, json.dumps(message)) for message in self.messages)
        return next((each for each, text in texts if all(word in text for word in words)), None)


class Watch:
    """All of it, running."""

    def __init__(self, house: House, exporter: Endpoint, prometheus: Process, url: str) -> None:
        self.house = house
        self.exporter = exporter
        self.prometheus = prometheus
        self.url = url

    def ask(self, path: str, **parameters: str) -> Any:
        with urlopen(f"{self.url}/api/v1/{path}?{urlencode(parameters)}") as answer:
            said = json.load(answer)
        assert said["status"] == "success", said
        return said["data"]

    def query(self, expression: str) -> list[Any]:
        return list(self.ask("query", query=expression)["result"])

    def judged(self) -> list[Any]:
        """The rules, as soon as all of them were evaluated."""
        rules = [rule for group in self.ask("rules")["groups"] for rule in group["rules"]]
        return [] if any(rule["health"] == "unknown" for rule in rules) else rules

    def until(self, expression: str) -> list[Any]:
        """The answer as soon as it isn't empty."""
        return until(self.prometheus, partial(self.query, expression), expression)


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with Receiver().listening() as listening:
        yield listening


@pytest.fixture(scope="module")
def watch(
    server: DatabaseTarget, tmp_path_factory: pytest.TempPathFactory, receiver: Receiver
) -> Iterator[Watch]:
    """A load, a daemon that ticks, the exporter, Alertmanager and Prometheus, in this order."""
    prometheus = program("prometheus", package="prometheus")
    alertmanager = program(
        "alertmanager", "prometheus-alertmanager", package="prometheus-alertmanager"
    )
    folder = tmp_path_factory.mktemp("watch")
    with ExitStack() as running:
        house = running.enter_context(a_house(server, folder))
        assert house.load()
        add_earlier_releases(house)
        running.enter_context(ticking_daemon(house))
        exporter = running.enter_context(running_exporter(folder, house.environment))
        told = running.enter_context(running_alertmanager(alertmanager, folder, receiver))
        port = free_port()
        command = [prometheus, f"--config.file={prometheus_config(folder, exporter, told)}"]
        command += [
            f"--storage.tsdb.path={folder / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        process = running.enter_context(quiet(command, folder / "prometheus.log"))
        made = Watch(house, exporter, process, f"http://127.0.0.1:{port}")
        made.until('efo_source_up{source="dagster"} == 1 and on () efo_release_id')
        yield made


@contextmanager
def quiet(command: list[str], log: Path) -> Iterator[Process]:
    with log.open("w") as output, started(command, stdout=output, stderr=output) as process:
        yield process


@contextmanager
def ticking_daemon(house: House) -> Iterator[None]:
    """Dagster's own daemon, over a code location with the names that the rules know."""
    dagster = Path(sys.executable).with_name("dagster-daemon")
    log = house.folder / "daemon.log"
    command = [str(dagster), "run", "-m", LOCATION]
    with (
        log.open("w") as output,
        started(command, house.environment, cwd=ROOT, stdout=output, stderr=output) as process,
        endpoint_of(house) as endpoint,
    ):
        until(process, partial(everything_there, endpoint), f"ticks; see {log}")
        yield


def everything_there(endpoint: Endpoint) -> bool:
    """Every daemon has beaten, every metric has a sample."""
    scrape = endpoint.scrape()
    beats = scrape.samples("efo_daemon_heartbeat_timestamp_seconds")
    ticks = scrape.samples("efo_instigator_last_tick_status")
    return bool(
        beats
        and all(beats.values())
        and ticks.get(("failing_sensor", "sensor", "FAILURE"))
        and ticks.get(("efo_release_sensor", "sensor", "SKIPPED"))
        and ("efo_weekly_schedule", "schedule") in scrape.samples("efo_instigator_running")
    )


@contextmanager
def running_alertmanager(command: str, folder: Path, receiver: Receiver) -> Iterator[str]:
    """The project's configuration with the mounted file here, and no waiting for more alerts."""
    (folder / "webhook_url").write_text(receiver.url)
    config = yaml.safe_load((DEPLOY / "alertmanager" / "alertmanager.yml").read_text())
    config["receivers"][0]["slack_configs"][0]["api_url_file"] = str(folder / "webhook_url")
    config["route"] |= {"group_wait": "0s", "group_interval": "1s"}
    path = folder / "alertmanager.yml"
    path.write_text(yaml.safe_dump(config))
    port = free_port()
    words = [command, f"--config.file={path}", f"--storage.path={folder / 'alertmanager'}"]
    words += [f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="]
    with quiet(words, folder / "alertmanager.log") as process:
        url = f"http://127.0.0.1:{port}/-/ready"
        until(process, lambda: urlopen(url).close() is None, "Alertmanager")
        yield f"127.0.0.1:{port}"


def prometheus_config(folder: Path, exporter: Endpoint, alertmanager: str) -> Path:
    """The project's configuration, with the addresses of here, and faster."""
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    config["global"] |= {
        "scrape_interval": "1s",
        "scrape_timeout": "1s",
        "evaluation_interval": "1s",
    }
    config["rule_files"] = [str(DEPLOY / "prometheus" / name) for name in config["rule_files"]]
    config["scrape_configs"][0]["static_configs"] = [{"targets": [exporter.address]}]
    config["alerting"]["alertmanagers"][0]["static_configs"] = [{"targets": [alertmanager]}]
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(config))
    return path


def test_every_metric_is_collected(watch: Watch) -> None:
    for gauge in GAUGES:
        watch.until(gauge.name)


def test_no_panel_is_empty(watch: Watch) -> None:
    panels = [panel for panel in dashboard()["panels"] if panel["type"] != "row"]
    for panel in panels:
        for target in panel["targets"]:
            found = watch.until(target["expr"].replace("$ontology", "efo"))
            assert all(float(each["value"][1]) >= 0 for each in found), panel["title"]


def test_the_variable_of_the_dashboard_lists_the_ontologies(watch: Watch) -> None:
    (variable,) = dashboard()["templating"]["list"]
    asked = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"])
    assert asked is not None
    watch.until("efo_release_id")
    assert watch.ask(f"label/{asked[2]}/values", **{"match[]": asked[1]}) == ["efo"]


def test_no_rule_errs(watch: Watch) -> None:
    expressions = [
        rule["expr"]
        for group in yaml.safe_load((DEPLOY / "prometheus" / "rules.yml").read_text())["groups"]
        for rule in group["rules"]
    ]
    for expression in expressions:
        watch.query(expression)
    judged = until(watch.prometheus, watch.judged, "the first judgement")
    assert len(judged) == len(expressions)
    assert {rule["health"] for rule in judged} == {"ok"}


def test_a_well_house_raises_no_alert(watch: Watch) -> None:
    until(watch.prometheus, watch.judged, "the first judgement")
    # A sensor that fails for minutes is one of the others' tests.
    assert watch.query('ALERTS{alertstate="firing", alertname!="EfoSensorDown"}') == []


def test_a_refused_audit_is_told_to_the_webhook_and_so_is_its_end(
    watch: Watch, receiver: Receiver
) -> None:
    watch.house.refuse_the_next_release()
    (firing,) = watch.until('ALERTS{alertname="EfoOntologyShrunk", alertstate="firing"}')
    assert firing["metric"]["ontology"] == "efo"
    fired = until(
        watch.prometheus, partial(receiver.told, "FIRING: EfoOntologyShrunk efo"), "message"
    )
    (attachment,) = fired["attachments"]
    assert "docs/operations/monitoring.md#efoontologyshrunk" in attachment["text"]
    assert watch.house.load(EFO_ALLOW_SHRINK="1")
    until(watch.prometheus, partial(receiver.told, "RESOLVED: EfoOntologyShrunk"), "the end of it")
