"""The published assets: the release that stands, and the tables that people read.

They change together, in one transaction, whichever of them is selected.
"""

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import dagster as dg

from efo_assets.graph.checks import PASSED_AUDIT, audit_metadata, check_spec, passed_audit
from efo_assets.graph.descriptions import (
    bars,
    column_schema,
    place_metadata,
    places,
    report_unselected,
    short,
    table_metadata,
)
from efo_assets.graph.failures import guarded
from efo_assets.graph.io_manager import StagedTable
from efo_assets.graph.ontology import Ontology
from efo_assets.graph.resources import Loader
from efo_assets.privacy.disclosure import one_line
from efo_assets.privacy.printable import escaped
from efo_assets.warehouse.digest import Digest, Kind, Rows
from efo_assets.warehouse.ledger import Publication
from efo_assets.warehouse.load import Content, Load
from efo_assets.warehouse.profile import shown
from efo_assets.warehouse.tables import CHANGES, FORMAT_VERSION, TABLES, TERMS, Table
from efo_assets.warehouse.warehouse import Warehouse

FIGURE_CHARACTERS = 100
FRESHNESS = dg.FreshnessPolicy.time_window(
    warn_window=timedelta(days=35), fail_window=timedelta(days=45)
)
"""EFO comes out monthly, and the weekly schedule materializes what is unchanged, too."""
RELEASE = "release"
DIGEST, IS_NEW, WARNINGS = "digest", "is new", "warnings"
"""Metadata of the release that the alerts read, too."""
MOST_COLUMNS, NARROW_CHARACTERS = 5, 48
"""The UI cuts off a table that is wider."""


def published_assets(ontology: Ontology) -> dg.AssetsDefinition:
    """Make the published assets of one graph."""
    names = ontology.names
    keys = {table.name: names.published(table) for table in TABLES}

    def spec(
        key: dg.AssetKey, deps: Sequence[dg.AssetKey], description: str, **metadata: Any
    ) -> dg.AssetSpec:
        return dg.AssetSpec(
            key,
            deps=deps,
            group_name=names.group(),
            description=description,
            kinds={"postgres", "sql"},
            owners=ontology.owners,
            freshness_policy=FRESHNESS,
            code_version=str(FORMAT_VERSION),
            metadata=metadata,
        )

    def table_spec(table: Table) -> dg.AssetSpec:
        return spec(
            keys[table.name],
            [names.staged(table), names.release],
            f"{table.comment} Published with the whole release in one transaction.",
            **{"dagster/column_schema": column_schema(table.published_columns)},
        )

    release_spec = spec(
        names.release,
        [names.staged(table) for table in TABLES],
        "The release that stands: what it changed, what the audit found, and its row of the "
        "ledger, written in the transaction that publishes all tables.",
    )

    @dg.multi_asset(
        name=names.step("published_tables"),
        specs=[release_spec, *map(table_spec, TABLES)],
        check_specs=[
            check_spec(
                ontology,
                PASSED_AUDIT,
                keys[table.name],
                description="What the audit found in these rows before they were published.",
            )
            for table in TABLES
        ],
        ins={"staged": dg.AssetIn(names.staged(TERMS), input_manager_key=names.io_manager)},
        can_subset=True,
        partitions_def=ontology.partitions,
        pool=ontology.pool or names.loader,
        required_resource_keys={names.loader},
    )
    def published_tables(
        context: dg.AssetExecutionContext, staged: StagedTable
    ) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
        """Publish the staged release as a whole, if its audit has passed."""
        loader: Loader = getattr(context.resources, names.loader)
        with guarded(context.log), loader.attempt(context.run.run_id) as warehouse:
            load = staged.load
            placed = places(context, {**keys, RELEASE: names.release})
            began_s = time.monotonic()
            publication = warehouse.publish(load, run_id=context.run.run_id)
            seconds = round(time.monotonic() - began_s, 2)
            _log_publication(context, placed, publication)
            digest = warehouse.digest(load.load_id)
            metadata = _of_release(publication, digest, load, warehouse)
            metadata["report"] = dg.MetadataValue.asset(names.report)
            yield from _told(
                context, placed[RELEASE], {**metadata, "seconds": seconds}, _version_of(digest)
            )
            # The ledger's: of history, a load that was staged again knows nothing.
            content = Content.of_digest(digest.release.content_hash)
            for table in TABLES:
                key, name = placed[table.name], table.staged_name
                yield from _told(
                    context,
                    key,
                    _of_table(publication, digest, table, load, warehouse),
                    f"{content.rows[name]}:{content.hashes[name]}",
                    passed_audit(digest.verdicts, table, key),
                )

    return published_tables


def _told(
    context: dg.AssetExecutionContext,
    key: dg.AssetKey,
    metadata: Mapping[str, Any],
    data_version: str,
    *found: dg.AssetCheckResult,
) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
    """Report what is published; what isn't selected, by an event of its own."""
    if key in context.selected_asset_keys:
        version = dg.DataVersion(data_version)
        yield dg.MaterializeResult(asset_key=key, metadata=metadata, data_version=version)
    else:
        report_unselected(context, key, metadata, data_version)
    if key in {check.asset_key for check in context.selected_asset_check_keys}:
        yield from found


def _log_publication(
    context: dg.AssetExecutionContext,
    placed: Mapping[str, dg.AssetKey],
    publication: Publication,
) -> None:
    selected = context.selected_asset_keys
    unselected = [name for name, key in placed.items() if key not in selected and name != RELEASE]
    if unselected:
        context.log.info(
            "the release is published as a whole, so %s are published with what was selected",
            ", ".join(unselected),
        )
    outcome = "published already: nothing changed, 0 rows written"
    if publication.written:
        number, rows = publication.release_id, publication.written
        outcome = f"published as release {number}: {rows:,} rows written"
    context.log.info("%s is %s", publication.release, outcome)
    for note in publication.notes:
        context.log.warning("%s", note)


def _version_of(digest: Digest) -> str:
    """What is the same for as long as nothing new is published, and in any database."""
    release = digest.release
    facts = (release.ontology, release.version, release.version_iri, release.content_hash)
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


def _of_release(
    publication: Publication, digest: Digest, load: Load, warehouse: Warehouse
) -> dict[str, Any]:
    release, changes = digest.release, publication.changes.values()
    return {
        "release": dg.MetadataValue.text(publication.release),
        "release_id": publication.release_id,
        IS_NEW: publication.is_new,
        "published_at": dg.MetadataValue.timestamp(release.published_at_s),
        "version_iri": dg.MetadataValue.text(escaped(release.version_iri or "none given")),
        "source": dg.MetadataValue.url(load.source.url),
        **{f"{which} classes announced": n for which, n in (release.totals or {}).items()},
        "rows": sum(publication.rows.values()),
        "written": publication.written,
        "inserted": sum(change.inserted for change in changes),
        "changed": sum(change.changed for change in changes),
        "removed": sum(change.removed for change in changes),
        **_changes(digest),
        WARNINGS: sum(not verdict.passed for verdict in digest.verdicts),
        **audit_metadata(digest.verdicts),
        "notes": dg.MetadataValue.json(list(publication.notes)),
        "load": dg.MetadataValue.text(publication.load_id),
        **place_metadata(warehouse.target, warehouse.schema.place(RELEASE)),
    }


def _of_table(
    publication: Publication, digest: Digest, table: Table, load: Load, warehouse: Warehouse
) -> dict[str, Any]:
    figures = shown(digest.profiles.get(table.staged_name, {}))
    metadata = {
        "dagster/row_count": publication.rows[table.name],
        **asdict(publication.changes[table.name]),
        "first rows": _first_rows(digest.samples[table.name]),
        "release": dg.MetadataValue.text(publication.release),
        "release_id": publication.release_id,
        "load": dg.MetadataValue.text(publication.load_id),
        "bytes_on_disk": digest.sizes.get(table.name, 0),
        "source": dg.MetadataValue.url(load.source.url),
        # A prefix or a relation is OLS's text.
        **{one_line(name, FIGURE_CHARACTERS): n for name, n in figures.items()},
        **place_metadata(warehouse.target, warehouse.schema.place(table.staged_name)),
    }
    if table is CHANGES:
        metadata |= _changes(digest)
        metadata["notes"] = dg.MetadataValue.json(list(publication.notes))
    return metadata


def _first_rows(sample: Rows) -> dg.MetadataValue[Any]:
    """Rows by as many columns as the UI has room for, those without a value left out."""
    filled = [
        (name, values)
        for name, *values in zip(sample.columns, *sample.rows, strict=True)
        if any(value not in (None, []) for value in values)
    ][:MOST_COLUMNS]
    return table_metadata(
        ({name: values[place] for name, values in filled} for place in range(len(sample.rows))),
        most_characters=NARROW_CHARACTERS,
    )


def _changes(digest: Digest) -> dict[str, Any]:
    """The release's changes by kind, with a few of each, and as bars; kinds are our own words."""
    if not digest.kinds:
        return {DIGEST: dg.MetadataValue.text("No changes are told: the first release, or none.")}
    return {
        DIGEST: table_metadata(
            {
                "kind": each.kind,
                "changes": each.changes,
                "terms": each.terms,
                "such as": _examples(each),
            }
            for each in digest.kinds
        ),
        "digest_chart": dg.MetadataValue.md(
            bars({each.kind: each.changes for each in digest.kinds})
        ),
    }


def _examples(kind: Kind) -> str:
    """`EFO:1 asthma: before → after; …`."""
    told = []
    for each in kind.examples:
        values = [short(value) for value in (each["before"], each["after"]) if value]
        # What was added or is gone has nothing to tell but its label.
        more = f": {' → '.join(values)}" if {*values} - {each["label"]} else ""
        told.append(f"{each['curie']} {each['label']}{more}")
    return "; ".join(told)
