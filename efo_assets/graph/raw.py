"""The raw asset: every page of the ontology as OLS sent it, in the page store."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import dagster as dg

from efo_assets.files import size_bytes
from efo_assets.graph import exported, staged
from efo_assets.graph.descriptions import bars
from efo_assets.graph.due import key_of
from efo_assets.graph.failures import guarded
from efo_assets.graph.ontology import Ontology
from efo_assets.graph.resources import Loader
from efo_assets.ols.download import Download
from efo_assets.ols.release import Release
from efo_assets.ols.stored_pages import FORMAT
from efo_assets.pipeline.exports import FOLDER, refuse_unwritable
from efo_assets.privacy.printable import escaped

LATENCY_QUANTILES = (0.5, 0.9, 0.99, 1.0)
CHART_ROWS = 8
CLASSES_IN_THAT_TIME = 500_000
"""Of which a run takes no longer than the instance allows: an hour, as our files have it."""
MAX_RUNTIME_TAG = "dagster/max_runtime"
MAX_RUNTIME_TAGS = {MAX_RUNTIME_TAG, "dagster/max_runtime_seconds"}
"""Seconds, for the daemon's run monitoring; it reads them again at each look."""


def raw_asset(ontology: Ontology) -> dg.AssetsDefinition:
    """Make the raw asset of one graph."""
    names = ontology.names

    @dg.asset(
        key=names.raw,
        deps=[names.ols],
        code_version=str(FORMAT),
        group_name=names.group("raw"),
        kinds={"python", "json", "file"},
        owners=ontology.owners,
        partitions_def=ontology.partitions,
        pool=ontology.pool or names.loader,
        required_resource_keys={names.loader},
    )
    def raw_ols_pages(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        """All classes of the ontology, obsolete ones included, page by page as OLS sent them.

        Source: `GET /api/v2/ontologies/{id}/classes` of OLS4. Pages of the release that OLS serves
        now and that are kept already are not asked for again. Whole or not there: every page is
        validated, IRIs are counted against independent totals, and the release must be the same
        before and after. In a run that stages tables, the rows of pages are copied while others
        come, and no page is asked for where PostgreSQL holds the rows already.
        """
        loader: Loader = getattr(context.resources, names.loader)
        with guarded(context.log), loader.attempt(context.run.run_id) as warehouse:
            settings = loader.settings
            steps = _steps_of_run(context)
            if steps & {names.step(exported.STEP), names.report.to_python_identifier()}:
                folder = settings.data_dir / FOLDER
                refuse_unwritable(folder, warehouse.schema, settings.ontology)
            download = loader.fetch(
                fills=names.step(staged.STEP) in steps,
                run_id=context.run.run_id,
                on_release=partial(_allow_time, context),
                log=context.log.info,
            )
            for note in download.notes:
                context.log.warning("%s", note)
            context.log.info(
                "%s: %d pages, %d fetched, %d kept from before, %d requests",
                download.page_set.plan.release.name,
                download.pages,
                download.fetched,
                download.reused,
                download.traffic.requests,
            )
            return dg.MaterializeResult(
                metadata=_metadata(download, settings.ols_url),
                data_version=dg.DataVersion(_data_version(download)),
            )

    return raw_ols_pages


def _steps_of_run(context: dg.AssetExecutionContext) -> set[str]:
    """What runs besides, by the names that steps keep whatever happens to keys."""
    layer = context.job_def.asset_layer
    return {
        layer.asset_graph.get(key).assets_def.node_def.name for key in layer.executable_asset_keys
    }


def _data_version(download: Download) -> str:
    """The release, though OLS loads it anew every 48 hours, with other counters in its pages."""
    plan = download.page_set.plan
    return key_of(plan.release) + ("" if plan.limit is None else f"-first{plan.limit}")


def _allow_time(context: dg.AssetExecutionContext, release: Release) -> None:
    """Let the run of a very large ontology take longer than Dagster's instance lets runs take.

    However the run was started, how large it is was not known then. A tag of its own stays.
    """
    instance, run = context.instance, context.run
    allowed_s = int(instance.run_monitoring_max_runtime_seconds)
    needed_s = allowed_s * (1 + release.totals.all // CLASSES_IN_THAT_TIME)
    if needed_s > allowed_s and not MAX_RUNTIME_TAGS.intersection(run.tags):
        instance.add_run_tags(run.run_id, {MAX_RUNTIME_TAG: str(needed_s)})


def _metadata(download: Download, source: str) -> dict[str, Any]:
    release = download.page_set.plan.release
    return {
        "release": dg.MetadataValue.text(release.name),
        "source": dg.MetadataValue.url(source),
        "fingerprint": dg.MetadataValue.text(release.fingerprint),
        "version_iri": dg.MetadataValue.text(escaped(release.version_iri or "none given")),
        "folder": dg.MetadataValue.path(str(download.page_set.folder)),
        "dagster/uri": download.page_set.folder.absolute().as_uri(),
        "pages": download.pages,
        "fetched": download.fetched,
        "reused": download.reused,
        "rows": download.rows,
        "bytes_kept": size_bytes(download.page_set.folder.parent),
        "bytes_received": download.traffic.bytes_received,
        "bytes_decoded": download.bytes_decoded,
        "requests": download.traffic.requests,
        "retries": download.traffic.retries,
        "seconds": round(download.seconds, 2),
        "most_in_flight": download.max_in_flight_seen,
        "notes": dg.MetadataValue.json(list(download.notes)),
        **latency_quantiles(download.traffic.latencies_s),
        "page_latencies": dg.MetadataValue.md(latency_chart(download.latencies_s)),
    }


def latency_quantiles(latencies_s: Sequence[float]) -> dict[str, float]:
    """`request_latency_p50_s` and so on: the smallest latency within which so many requests stayed.

    Empty without requests. Dagster's UI plots them over loads, and the metrics endpoint reads them.
    """
    ordered = sorted(latencies_s)
    return {
        latency_key(quantile): round(ordered[math.ceil(quantile * len(ordered)) - 1], 4)
        for quantile in LATENCY_QUANTILES
        if ordered
    }


def latency_key(quantile: float) -> str:
    """The metadata key of a quantile, such as `request_latency_p99_s`; seconds."""
    return f"request_latency_p{quantile * 100:.0f}_s"


def latency_chart(latencies_s: Sequence[float]) -> str:
    """A histogram of page latencies, as a Markdown code block."""
    if not latencies_s:
        return "No page was fetched."
    low, high = min(latencies_s), max(latencies_s)
    step = (high - low) / CHART_ROWS or 1.0
    counts = [0] * CHART_ROWS
    for latency_s in latencies_s:
        counts[min(int((latency_s - low) / step), CHART_ROWS - 1)] += 1
    rows = CHART_ROWS if high > low else 1
    return bars({f"{low + step * row:7.3f} s": counts[row] for row in range(rows)})
