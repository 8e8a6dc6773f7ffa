"""A new release, announced to those who ask for it: what its run has told of it, as a message."""

from typing import Any

import dagster as dg

from efo_assets.alerts.message import Message, Place, published
from efo_assets.alerts.runs import RELEASE_METADATA, events
from efo_assets.graph.published import DIGEST, IS_NEW, WARNINGS

MOST_KINDS = 10


def announcement(instance: dg.DagsterInstance, run_id: str, place: Place) -> Message | None:
    """The message of a run that published a new release; None of any other."""
    for event in events(instance, run_id, dg.DagsterEventType.ASSET_MATERIALIZATION):
        metadata = event.step_materialization_data.materialization.metadata
        if IS_NEW in metadata and metadata[IS_NEW].value:
            release = str(metadata[RELEASE_METADATA].value)
            lines = _lines(metadata[DIGEST])
            lines.append(f"Warnings of the audit: {metadata[WARNINGS].value}")
            return published(release, lines, place, incident=run_id)
    return None


def _lines(digest: dg.MetadataValue[Any]) -> list[str]:
    """`added: 12, such as EFO:1 asthma`; a first release has no digest but a sentence."""
    if not isinstance(digest, dg.TableMetadataValue):
        return [str(digest.value)]
    records = [record.data for record in digest.records]
    lines = [
        f"{each['kind']}: {each['changes']:,}, such as {each['such as']}"
        for each in records[:MOST_KINDS]
    ]
    if rest := records[MOST_KINDS:]:
        lines.append(", ".join(f"{each['kind']}: {each['changes']:,}" for each in rest))
    return lines
