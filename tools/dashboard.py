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


def _thresholds(steps: Steps) -> Json:
    return {
        "mode": "absolute",
        "steps": [{"value": value, "color": color} for value, color in steps],
    }


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
    transformations: tuple[Json, ...] = ()
    overrides: tuple[Json, ...] = ()


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
    lines: int = 8,
    steps: Steps = PLAIN,
) -> Panel:
    """One bar for each series, as it is now."""
    options = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "orientation": "horizontal",
        "displayMode": "basic",
    }
    return Panel(
        title, description, "bargauge", unit, queries, columns, lines, steps, options=options
    )


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: a label, or the figures of a query."""

    title: str
    unit: str = "none"
    steps: Steps = PLAIN


def table(
    title: str,
    description: str,
    shown: dict[str, Column],
    *queries: Query,
    sort_by: str,
    **more: Any,
) -> Panel:
    """A line for each set of labels, which all queries share, as it is now; sortable.

    `shown` names what Grafana calls the columns: a label, or `Value #A` of the first query.
    """
    transformations: tuple[Json, ...] = (
        {"id": "merge", "options": {}},
        {
            "id": "organize",
            "options": {
                "excludeByName": {"Time": True},
                "indexByName": {name: place for place, name in enumerate(shown)},
                "renameByName": {name: column.title for name, column in shown.items()},
            },
        },
    )
    overrides: tuple[Json, ...] = tuple(
        {
            "matcher": {"id": "byName", "options": column.title},
            "properties": [
                {"id": "unit", "value": column.unit},
                {"id": "thresholds", "value": _thresholds(column.steps)},
                {"id": "custom.cellOptions", "value": {"type": "color-text"}},
            ],
        }
        for column in shown.values()
        if column.steps is not PLAIN or column.unit != "none"
    )
    options = {"showHeader": True, "sortBy": [{"displayName": sort_by, "desc": True}]}
    return Panel(
        title,
        description,
        "table",
        "none",
        queries,
        options=options,
        transformations=transformations,
        overrides=overrides,
        **more,
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
        "Ontologies published",
        "Schemas in which a release stands.",
        "none",
        Query("count(efo_release_id)"),
    ),
    stat(
        "Longest without a release",
        "How long ago the release was published of which that is longest. EFO comes out monthly.",
        "dtdurations",
        Query("max(time() - efo_release_published_timestamp_seconds)"),
    ),
    stat(
        "Last success",
        "How long ago any run last succeeded, whether it brought a new release or not.",
        "dtdurations",
        Query('time() - max(efo_run_last_end_timestamp_seconds{status="SUCCESS"})'),
        steps=((None, GOOD), (8 * DAY_S, WARNING), (9 * DAY_S, BAD)),
    ),
    stat(
        "Failing",
        "Jobs, and ontologies of a catalogue, whose last run failed. Two in a row raise "
        "EfoRunsFailing.",
        "none",
        Query("count(efo_runs_failed_in_a_row >= 1) or vector(0)"),
        steps=((None, GOOD), (1, WARNING)),
    ),
    stat(
        "Refused",
        "Ontologies whose last load is kept from being published by its audit.",
        "none",
        Query('count(efo_checks{outcome="refused"} > 0) or vector(0)'),
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

ALL = (
    table(
        "All ontologies",
        "A line for each schema; refused ones come first, and each column sorts. Choose ontologies "
        "at the top to see more of them below.",
        {
            "ontology": Column("Ontology"),
            "schema": Column("Schema"),
            "version": Column("Release"),
            "Value #A": Column("Published", "dtdurations"),
            "Value #B": Column("Terms", "short"),
            "Value #C": Column("Refusing checks", steps=NONE_IS_GOOD),
        },
        Query(
            "max by (ontology, schema, version) ((time() - efo_release_published_timestamp_seconds)"
            " * on (ontology, schema) group_left (version) efo_release_info)"
        ),
        Query('max by (ontology, schema) (efo_table_rows{table="efo_terms"})'),
        Query('max by (ontology, schema) (efo_checks{outcome="refused"})'),
        sort_by="Refusing checks",
        columns=16,
        lines=16,
    ),
    bars(
        "Most failed runs in a row",
        "Since the last success, of a job or of an ontology of a catalogue. Two raise "
        "EfoRunsFailing.",
        "none",
        Query("topk(15, efo_runs_failed_in_a_row)", "{{ontology}} {{dagster_job}}"),
        columns=8,
        lines=16,
        steps=((None, GOOD), (1, WARNING), (2, BAD)),
    ),
)

_CHOSEN = 'ontology=~"$ontology"'
ONTOLOGY = (
    stat(
        "Published release",
        "Version of the release that people read now.",
        "none",
        Query(f"efo_release_info{{{_CHOSEN}}}", "{{schema}} {{version}}"),
        text_mode="name",
    ),
    stat(
        "Published",
        "How long ago that release was published.",
        "dtdurations",
        Query(f"time() - efo_release_published_timestamp_seconds{{{_CHOSEN}}}", "{{schema}}"),
    ),
    stat(
        "Longest between releases",
        "Of the last six; of an ontology that has news far more often than now, EfoReleaseStale "
        "is raised.",
        "dtdurations",
        Query(f"efo_release_interval_seconds{{{_CHOSEN}}}", "{{schema}}"),
    ),
    stat(
        "Publications",
        "Number of the published release in the ledger; the terms refer to it.",
        "none",
        Query(f"efo_release_id{{{_CHOSEN}}}", "{{schema}}"),
    ),
    stat(
        "Last load",
        "How long ago a load last succeeded, whether it brought a new release or not.",
        "dtdurations",
        Query(
            "time() - max by (dagster_job)"
            f' (efo_run_last_end_timestamp_seconds{{{_CHOSEN}, status="SUCCESS"}})',
            "{{dagster_job}}",
        ),
    ),
    stat(
        "Failed runs in a row",
        "Since the last success.",
        "none",
        Query(f"efo_runs_failed_in_a_row{{{_CHOSEN}}}", "{{dagster_job}}"),
        steps=((None, GOOD), (1, WARNING), (2, BAD)),
    ),
    series(
        "Rows by table",
        "Rows of the published release, from the ledger. A step is a new release.",
        "short",
        Query(f"efo_table_rows{{{_CHOSEN}}}", "{{schema}} {{table}}"),
        columns=8,
    ),
    bars(
        "What the published release changed",
        "Rows that it inserted, changed or removed against the release before.",
        "short",
        Query(f"efo_release_row_changes{{{_CHOSEN}}}", "{{schema}} {{table}} {{change}}"),
        columns=8,
    ),
    bars(
        "Offenders by check",
        "Rows that each check found wrong in the last load; those of warnings block nothing.",
        "short",
        Query(f"efo_check_offenders{{{_CHOSEN}}} > 0", "{{schema}} {{check}}"),
        columns=8,
        steps=((None, GOOD), (1, WARNING)),
    ),
    states(
        "Blocking checks passed",
        "Red: the check refused the last load, and the release before stays published. Of other "
        "schemas than EFO_SCHEMA only those that found something.",
        Query(f'efo_check_passed{{{_CHOSEN}, blocking="true"}}', "{{schema}} {{check}}"),
        columns=8,
    ),
    bars(
        "Checks of the last audit",
        "By outcome; a warning keeps nothing from being published.",
        "none",
        Query(f"efo_checks{{{_CHOSEN}}}", "{{schema}} {{outcome}}"),
        columns=4,
    ),
    stat(
        "Last audit",
        "How long ago a load was audited; one that is published already keeps its verdicts.",
        "dtdurations",
        Query(f"time() - efo_audit_timestamp_seconds{{{_CHOSEN}}}", "{{schema}}"),
        lines=8,
    ),
    series(
        "Latency of OLS",
        "Quantiles over all requests of the last download; 1 is the slowest.",
        "s",
        Query(f"efo_ols_request_latency_seconds{{{_CHOSEN}}}", "{{quantile}}"),
        columns=8,
    ),
    stat(
        "Requests",
        "Of the last download. A release that is kept already takes four.",
        "none",
        Query(f"efo_ols_requests{{{_CHOSEN}}}"),
        lines=8,
        columns=3,
    ),
    stat(
        "Retries",
        "Requests of the last download that had to be sent again: how well OLS was.",
        "none",
        Query(f"efo_ols_retries{{{_CHOSEN}}}"),
        lines=8,
        columns=3,
        steps=((None, GOOD), (10, WARNING)),
    ),
    stat(
        "Received",
        "What OLS sent in the last download, compressed.",
        "decbytes",
        Query(f"efo_ols_received_bytes{{{_CHOSEN}}}"),
        lines=8,
        columns=3,
    ),
    stat(
        "Time",
        "How long the last download took.",
        "s",
        Query(f"efo_ols_download_seconds{{{_CHOSEN}}}"),
        lines=8,
        columns=3,
    ),
    stat(
        "Pages",
        "Of the last download: fetched from OLS, or kept from an earlier download.",
        "none",
        Query(f"efo_ols_pages{{{_CHOSEN}}}", "{{origin}}"),
        lines=8,
        text_mode="value_and_name",
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
        "By asset. Those of a graph grow together; one that is far behind is loaded no more.",
        "dtdurations",
        Query("time() - efo_asset_last_success_timestamp_seconds", "{{asset}}"),
        columns=8,
        steps=((None, GOOD), (8 * DAY_S, WARNING), (9 * DAY_S, BAD)),
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

VARIABLE: Json = {
    "name": "ontology",
    "label": "Ontology",
    "description": "Each that is chosen has a row of its own; with 270, all of them would be none.",
    "type": "query",
    "datasource": DATASOURCE,
    "query": {
        "query": 'label_values({__name__=~"efo_release_id|efo_audit_timestamp_seconds|'
        'efo_runs_failed_in_a_row"}, ontology)',
        "refId": "ontology",
    },
    "current": {"text": ["efo"], "value": ["efo"]},
    "multi": True,
    "includeAll": False,
    "refresh": 2,
    "sort": 1,
}
"""Ontologies, asked for anew whenever the time range changes, in alphabetical order."""

ROWS: tuple[tuple[str, tuple[Panel, ...]], ...] = (
    ("Overview", OVERVIEW),
    ("All ontologies", ALL),
    ("Ontology $ontology: release, last audit, last download from OLS", ONTOLOGY),
    ("Loads", LOADS),
    ("Daemons, sensors, schedules", DAGSTER),
    ("Metrics endpoint", ENDPOINT),
)


def dashboard() -> Json:
    """The dashboard in Grafana's JSON model."""
    return {
        "uid": UID,
        "title": "EFO in PostgreSQL",
        "description": "Releases, loads, audits and health of efo_assets. Made by code.",
        "tags": ["efo"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "timezone": "browser",
        "refresh": "1m",
        "time": {"from": "now-7d", "to": "now"},
        "templating": {"list": [VARIABLE]},
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
            **({"repeat": VARIABLE["name"]} if f"${VARIABLE['name']}" in title else {}),
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
    is_now = panel.kind in ("stat", "bargauge", "table")
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
                "instant": is_now,
                "range": not is_now,
                "format": "table" if panel.kind == "table" else "time_series",
            }
            for number, query in enumerate(panel.queries)
        ],
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit,
                "color": {"mode": "thresholds" if panel.steps is not PLAIN else "palette-classic"},
                "thresholds": _thresholds(panel.steps),
                "mappings": list(panel.mappings),
            },
            "overrides": list(panel.overrides),
        },
        "transformations": list(panel.transformations),
        "options": panel.options,
    }


def as_text() -> str:
    """The dashboard as it stands in the repository."""
    return msgspec.json.format(msgspec.json.encode(dashboard()), indent=2).decode() + "\n"


if __name__ == "__main__":
    sys.stdout.write(as_text())
