"""The report of a release, as an asset: a page that needs nothing but a browser."""

from typing import Any

import dagster as dg

from efo_assets.graph.exported import KEPT, follows
from efo_assets.graph.failures import guarded
from efo_assets.graph.ontology import Ontology
from efo_assets.graph.resources import Loader
from efo_assets.pipeline.exports import FOLDER
from efo_assets.pipeline.report import write_report

_OF_DOWNLOAD = ("requests", "pages", "seconds", "bytes_received")


def report_asset(ontology: Ontology) -> dg.AssetsDefinition:
    """Make the report of one graph."""
    names = ontology.names

    @dg.asset(
        key=names.report,
        deps=[names.release],
        group_name=names.group("exports"),
        kinds={"file", "html"},
        owners=ontology.owners,
        partitions_def=ontology.partitions,
        required_resource_keys={names.loader},
        automation_condition=follows(names),
    )
    def release_report(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        """What the release that stands changed, as a page in HTML and in short as Markdown.

        Terms that are new, obsolete or have another label, lost synonyms, MeSH, what the audit
        found, growth and proofs, with links to OLS; without scripts.
        """
        with guarded(context.log, KEPT):
            loader: Loader = getattr(context.resources, names.loader)
            folder = loader.settings.data_dir / FOLDER
            written = write_report(loader.warehouse, folder, _download(context, ontology))
            return dg.MaterializeResult(
                metadata={
                    "page": dg.MetadataValue.path(str(written.html)),
                    "markdown": dg.MetadataValue.path(str(written.markdown)),
                    "dagster/uri": written.html.absolute().as_uri(),
                    "bytes": written.html.stat().st_size,
                    "release": dg.MetadataValue.text(written.release),
                }
            )

    return release_report


def _download(context: dg.AssetExecutionContext, ontology: Ontology) -> dict[str, object]:
    """Figures of the last download, by name; a catalogue's is another ontology's."""
    event = context.instance.get_latest_materialization_event(ontology.names.raw)
    if ontology.partitions is not None or event is None or event.asset_materialization is None:
        return {}
    metadata = event.asset_materialization.metadata
    return {
        f"{name.replace('_', ' ')} of the last download": metadata[name].value
        for name in _OF_DOWNLOAD
        if name in metadata
    }
