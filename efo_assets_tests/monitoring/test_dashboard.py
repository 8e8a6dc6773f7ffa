"""The dashboard as code and as file, and the files that bring it into Grafana."""

import json
import re
from itertools import pairwise
from typing import Any

import pytest
import yaml

from efo_assets.monitoring.catalogue import GAUGES, RELEASE_INFO
from efo_assets_tests.commands import ROOT
from tools.dashboard import WIDTH, as_text, dashboard

GRAFANA = ROOT / "deploy" / "grafana"
# Names of Grafana's units that the panels use.
UNITS = {"none", "short", "s", "dtdurations", "decbytes", "bool_yes_no"}
KINDS = {"stat", "timeseries", "bargauge", "state-timeline", "table"}


def panels() -> list[dict[str, Any]]:
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def provisioned(name: str) -> Any:
    return yaml.safe_load((GRAFANA / "provisioning" / name).read_text())


def test_the_file_is_what_the_code_makes() -> None:
    committed = (GRAFANA / "dashboards" / "efo.json").read_text()
    assert committed == as_text(), (
        "run: python -m tools.dashboard > deploy/grafana/dashboards/efo.json"
    )
    assert json.loads(committed) == dashboard()


def test_every_panel_says_what_it_shows() -> None:
    assert len(panels()) >= 20
    titles = [panel["title"] for panel in panels()]
    assert len(set(titles)) == len(titles)
    for panel in panels():
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert panel["type"] in KINDS
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
        assert panel["targets"]


def test_ids_are_unique_and_no_panel_covers_another() -> None:
    everything = dashboard()["panels"]
    assert [panel["id"] for panel in everything] == list(range(1, len(everything) + 1))
    taken: set[tuple[int, int]] = set()
    for panel in everything:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert all(x < WIDTH for x, _ in cells), panel["title"]
        assert not cells & taken, panel["title"]
        taken |= cells


def test_thresholds_rise_from_nothing() -> None:
    for panel in panels():
        first, *others = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
        assert first["value"] is None
        assert all(low["value"] < high["value"] for low, high in pairwise(others))


def test_the_datasource_is_the_provisioned_one() -> None:
    (source,) = provisioned("datasources/prometheus.yml")["datasources"]
    for panel in panels():
        for asked in (panel["datasource"], *(target["datasource"] for target in panel["targets"])):
            assert asked == {"type": source["type"], "uid": source["uid"]}


def test_dashboards_are_provisioned_from_files() -> None:
    (provider,) = provisioned("dashboards/efo.yml")["providers"]
    assert provider["type"] == "file"
    assert provider["options"]["path"] == "/var/lib/grafana/dashboards"


def test_a_row_is_repeated_for_each_chosen_ontology_and_asks_for_it_alone() -> None:
    everything = dashboard()["panels"]
    (variable,) = dashboard()["templating"]["list"]
    rows = [place for place, panel in enumerate(everything) if panel["type"] == "row"]
    (repeated,) = [place for place in rows if "repeat" in everything[place]]
    assert everything[repeated]["repeat"] == variable["name"] == "ontology"
    end = min(place for place in rows if place > repeated)
    for panel in everything:
        asks = ["$ontology" in target["expr"] for target in panel.get("targets", ())]
        assert set(asks) <= {panel in everything[repeated + 1 : end]}, panel["title"]
    assert variable["includeAll"] is False, "270 rows are nobody's overview"


def test_every_column_of_a_table_is_of_a_query() -> None:
    (panel,) = [panel for panel in panels() if panel["type"] == "table"]
    _, organized = panel["transformations"]
    shown = organized["options"]["renameByName"]
    figures = [f"Value #{target['refId']}" for target in panel["targets"]]
    assert [name for name in shown if name.startswith("Value")] == figures
    labels = {name for name in shown if not name.startswith("Value")}
    assert labels == {"ontology", "schema", "version"} < set(RELEASE_INFO.labels)
    assert {each["matcher"]["options"] for each in panel["fieldConfig"]["overrides"]} <= set(
        shown.values()
    )
    assert panel["options"]["sortBy"][0]["displayName"] in shown.values()


def test_every_query_names_metrics_that_there_are() -> None:
    expressions = [target["expr"] for panel in panels() for target in panel["targets"]]
    unquoted = [re.sub(r'"[^"]*"', "", expression) for expression in expressions]
    metrics = {name for each in unquoted for name in re.findall(r"\befo_\w+", each)}
    assert metrics <= {gauge.name for gauge in GAUGES}


@pytest.mark.parametrize("gauge", GAUGES, ids=lambda gauge: gauge.name)
def test_every_metric_is_of_use(gauge: Any) -> None:
    """On a panel or in a rule."""
    rules = (ROOT / "deploy" / "prometheus" / "rules.yml").read_text()
    asked = " ".join(target["expr"] for panel in panels() for target in panel["targets"])
    assert gauge.name in f"{rules} {asked}"
