"""The Grafana dashboard as code: `python -m tools.dashboard > …/efo.json`.

Plain dictionaries and a few functions: Grafana's own SDK for Python is 2 MB of generated classes,
and with them this page would be no shorter. A panel is a line in `ROWS`; places and ids follow
from the order. A test holds the queries against the metrics that there are.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

Json = dict[str, Any]

UID = "efo-assets"
DATASOURCE: Json = {"type": "prometheus", "uid": "efo-prometheus"}
"""As provisioned by deploy/grafana/provisioning/datasources/prometheus.yml."""
SCHEMA_VERSION = 39
"""Of dashboards since Grafana 10.4; newer ones migrate it when they load it."""
WIDTH = 24
"""Grafana's grid, in columns."""
DAY_S = 86_400

GOOD, WARNING, BAD = "green", "orange", "red"
Steps = tuple[tuple[float | None, str], ...]
PLAIN: Steps = ((None, GOOD),)
NONE_IS_GOOD: Steps = ((None, GOOD), (1, BAD))
ONE_IS_GOOD: Steps = ((None, BAD), (1, GOOD))


@dataclass(frozen=True, slots=True)
class Query:
    """One expression of a panel, and how its series are called."""

    expression: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """What one panel asks and how it shows the answer."""

    title: str
    description: str
    kind: str
    unit: str
    queries: tuple[Query, ...]
    columns: int
    lines: int = 8
    steps: Steps = PLAIN
    mappings: tuple[Json, ...] = ()
    options: Json = field(default_factory=dict)


def stat(
    title: str, description: str, unit: str, *queries: Query, steps: Steps = PLAIN, **more: Any
) -> Panel:
    """A figure, coloured by its thresholds."""
    text_mode = more.pop("text_mode", "auto")
    options = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "background" if steps is not PLAIN else "value",
        "graphMode": "none",
        "textMode": text_mode,
    }
    columns = more.pop("columns", 4)
    lines = more.pop("lines", 4)
    return Panel(
        title, description, "stat", unit, queries, columns, lines, steps, options=options, **more
    )


def series(title: str, description: str, unit: str, *queries: Query, columns: int = 12) -> Panel:
    """Curves over time."""
    options = {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return Panel(title, description, "timeseries", unit, queries, columns, options=options)


def bars(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    columns: int = 12,
    steps: Steps = PLAIN,
) -> Panel:
    """One bar for each series, as it is now."""
    options = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "orientation": "horizontal",
        "displayMode": "basic",
    }
    return Panel(
        title, description, "bargauge", unit, queries, columns, steps=steps, options=options
    )


def states(title: str, description: str, *queries: Query, columns: int = 12) -> Panel:
    """1 and 0 over time, as bands of green and red."""
    yes_or_no: Json = {
        "type": "value",
        "options": {
            "1": {"text": "yes", "color": GOOD, "index": 0},
            "0": {"text": "no", "color": BAD, "index": 1},
        },
    }
    options = {"mergeValues": True, "showValue": "never", "rowHeight": 0.8}
    return Panel(
        title,
        description,
        "state-timeline",
        "bool_yes_no",
        queries,
        columns,
        steps=ONE_IS_GOOD,
        mappings=(yes_or_no,),
        options=options,
    )


OVERVIEW = (
    stat(
        "Published release",
        "Version of the release that people read now.",
        "none",
        Query("efo_release_info", "{{ontology}} {{version}}"),
        text_mode="name",
    ),
    stat(
        "Published",
        "How long ago that release was published. EFO comes out about monthly.",
        "dtdurations",
        Query("time() - efo_release_published_timestamp_seconds"),
        steps=((None, GOOD), (35 * DAY_S, WARNING), (45 * DAY_S, BAD)),
    ),
    stat(
        "Last load",
        "How long ago a load last succeeded, whether it brought a new release or not.",
        "dtdurations",
        Query('time() - efo_asset_last_success_timestamp_seconds{asset="efo_terms"}'),
        steps=((None, GOOD), (8 * DAY_S, WARNING), (9 * DAY_S, BAD)),
    ),
    stat(
        "Failed runs in a row",
        "Of the job that has most of them. Two raise EfoRunsFailing.",
        "none",
        Query("max(efo_runs_failed_in_a_row)"),
        steps=((None, GOOD), (1, WARNING), (2, BAD)),
    ),
    stat(
        "Blocking checks that refuse",
        "Checks that keep the last load from being published.",
        "none",
        Query('sum(1 - efo_check_passed{blocking="true"})'),
        steps=NONE_IS_GOOD,
    ),
    stat(
        "Alerts firing",
        "All of them have their paragraph in docs/operations/monitoring.md.",
        "none",
        Query('count(ALERTS{alertname=~"Efo.*", alertstate="firing"}) or vector(0)'),
        steps=NONE_IS_GOOD,
    ),
)

RELEASE = (
    series(
        "Rows by table",
        "Rows of the published release, from the ledger. A step is a new release.",
        "short",
        Query("efo_table_rows", "{{table}}"),
        columns=10,
    ),
    bars(
        "What the published release changed",
        "Rows that it inserted, changed or removed against the release before.",
        "short",
        Query("efo_release_row_changes", "{{table}} {{change}}"),
        columns=10,
    ),
    stat(
        "Publications",
        "Number of the published release in the ledger; efo_terms refers to it.",
        "none",
        Query("efo_release_id"),
        lines=8,
    ),
)

LOADS = (
    series(
        "Runs by job and status",
        "Runs that Dagster's history holds. A failure that is not followed by a success matters.",
        "none",
        Query("efo_runs > 0", "{{dagster_job}} {{status}}"),
        columns=8,
    ),
    bars(
        "Duration of the last materialization",
        "By asset. Tables that are staged or published together share a step and its duration.",
        "s",
        Query("efo_asset_last_duration_seconds", "{{asset}}"),
        columns=8,
    ),
    bars(
        "Time since the last success",
        "By asset. They grow together; one that is far behind is loaded no more.",
        "dtdurations",
        Query("time() - efo_asset_last_success_timestamp_seconds", "{{asset}}"),
        columns=8,
        steps=((None, GOOD), (8 * DAY_S, WARNING), (9 * DAY_S, BAD)),
    ),
)

DOWNLOAD = (
    series(
        "Latency of OLS",
        "Quantiles over all requests of the last download; 1 is the slowest.",
        "s",
        Query("efo_ols_request_latency_seconds", "{{quantile}}"),
    ),
    stat(
        "Requests",
        "Of the last download. A release that is kept already takes four.",
        "none",
        Query("efo_ols_requests"),
        lines=8,
        columns=2,
    ),
    stat(
        "Retries",
        "Requests of the last download that had to be sent again: how well OLS was.",
        "none",
        Query("efo_ols_retries"),
        lines=8,
        columns=2,
        steps=((None, GOOD), (10, WARNING)),
    ),
    stat(
        "Received",
        "What OLS sent in the last download, compressed.",
        "decbytes",
        Query("efo_ols_received_bytes"),
        lines=8,
        columns=2,
    ),
    stat(
        "Time",
        "How long the last download took.",
        "s",
        Query("efo_ols_download_seconds"),
        lines=8,
        columns=2,
    ),
    stat(
        "Pages",
        "Of the last download: fetched from OLS, or kept from an earlier download.",
        "none",
        Query("efo_ols_pages", "{{origin}}"),
        lines=8,
        text_mode="value_and_name",
    ),
)

AUDIT = (
    states(
        "Blocking checks passed",
        "Red: the check refused the last load, and the release before stays published.",
        Query('efo_check_passed{blocking="true"}', "{{check}}"),
        columns=10,
    ),
    bars(
        "Offenders by check",
        "Rows that each check found wrong in the last load; those of warnings block nothing.",
        "short",
        Query("efo_check_offenders", "{{check}}"),
        columns=10,
        steps=((None, GOOD), (1, WARNING)),
    ),
    stat(
        "Last audit",
        "How long ago a load was audited; one that is published already keeps its verdicts.",
        "dtdurations",
        Query("time() - efo_audit_timestamp_seconds"),
        lines=8,
    ),
)

DAGSTER = (
    series(
        "Age of daemons' heartbeats",
        "A daemon beats every 30 seconds; 5 minutes without raise EfoDaemonDown.",
        "s",
        Query("time() - efo_daemon_heartbeat_timestamp_seconds", "{{daemon}}"),
    ),
    series(
        "Age of the last tick",
        "By sensor and schedule. It grows to the interval and falls back.",
        "s",
        Query("time() - efo_instigator_last_tick_timestamp_seconds", "{{instigator}}"),
    ),
    bars(
        "Errors of daemons",
        "That the last heartbeat reports; the daemon's log has their text.",
        "none",
        Query("efo_daemon_errors", "{{daemon}}"),
        columns=6,
        steps=((None, GOOD), (1, WARNING)),
    ),
    states(
        "Switched on",
        "Sensors and schedules; somebody may have stopped one in the UI.",
        Query("efo_instigator_running", "{{instigator}}"),
        columns=6,
    ),
    bars(
        "Failed ticks in a row",
        "By sensor and schedule. Three raise EfoSensorDown.",
        "none",
        Query("efo_instigator_ticks_failed_in_a_row", "{{instigator}}"),
        columns=6,
        steps=((None, GOOD), (1, WARNING), (3, BAD)),
    ),
    stat(
        "Outcome of the last tick",
        "SKIPPED is the rule: there was nothing new, and the tick says why in Dagster's UI.",
        "none",
        Query("efo_instigator_last_tick_status == 1", "{{instigator}}: {{status}}"),
        text_mode="name",
        columns=6,
        lines=8,
    ),
)

ENDPOINT = (
    states(
        "Sources up",
        "Whether the metrics endpoint could read Dagster's history and the database.",
        Query("efo_source_up", "{{source}}"),
    ),
    series(
        "Time to read the sources",
        "Of each scrape; after 8 seconds the source counts as down.",
        "s",
        Query("efo_source_read_seconds", "{{source}}"),
        Query('scrape_duration_seconds{job="efo"}', "whole scrape"),
    ),
)

ROWS: tuple[tuple[str, tuple[Panel, ...]], ...] = (
    ("Overview", OVERVIEW),
    ("Release", RELEASE),
    ("Loads", LOADS),
    ("Last download from OLS", DOWNLOAD),
    ("Last audit", AUDIT),
    ("Daemons, sensors, schedules", DAGSTER),
    ("Metrics endpoint", ENDPOINT),
)


def dashboard() -> Json:
    """The dashboard in Grafana's JSON model."""
    return {
        "uid": UID,
        "title": "EFO in PostgreSQL",
        "description": "Release, loads, audit and health of efo_assets. Made by code.",
        "tags": ["efo"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "timezone": "browser",
        "refresh": "1m",
        "time": {"from": "now-7d", "to": "now"},
        "templating": {"list": []},
        "annotations": {"list": []},
        "links": [],
        "panels": [{"id": number, **panel} for number, panel in enumerate(_placed(ROWS), start=1)],
    }


def _placed(rows: Sequence[tuple[str, tuple[Panel, ...]]]) -> Iterator[Json]:
    """Rows and panels from the top down; panels from left to right, as many as fit in a line."""
    top = 0
    for title, panels in rows:
        yield {
            "type": "row",
            "title": title,
            "collapsed": False,
            "panels": [],
            "gridPos": {"x": 0, "y": top, "w": WIDTH, "h": 1},
        }
        top += 1
        left = height = 0
        for panel in panels:
            if left + panel.columns > WIDTH:
                top, left, height = top + height, 0, 0
            place = {"x": left, "y": top, "w": panel.columns, "h": panel.lines}
            yield {"gridPos": place, **_model(panel)}
            left, height = left + panel.columns, max(height, panel.lines)
        top += height


def _model(panel: Panel) -> Json:
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": DATASOURCE,
        "targets": [
            {
                "refId": chr(ord("A") + number),
                "datasource": DATASOURCE,
                "expr": query.expression,
                "legendFormat": query.legend or "__auto",
                "instant": panel.kind in ("stat", "bargauge"),
                "range": panel.kind not in ("stat", "bargauge"),
            }
            for number, query in enumerate(panel.queries)
        ],
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit,
                "color": {"mode": "thresholds" if panel.steps is not PLAIN else "palette-classic"},
                "thresholds": {
                    "mode": "absolute",
                    "steps": [{"value": value, "color": color} for value, color in panel.steps],
                },
                "mappings": list(panel.mappings),
            },
            "overrides": [],
        },
        "options": panel.options,
    }


def as_text() -> str:
    """The dashboard as it stands in the repository."""
    return msgspec.json.format(msgspec.json.encode(dashboard()), indent=2).decode() + "\n"


if __name__ == "__main__":
    sys.stdout.write(as_text())
