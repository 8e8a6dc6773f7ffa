"""OLS itself, at the root of the graph: the release that it serves, observed and never loaded."""

import asyncio
from collections.abc import Iterator
from typing import Any
from warnings import catch_warnings, simplefilter

import dagster as dg

from efo_assets.errors import OlsUnreachable
from efo_assets.graph.due import key_of
from efo_assets.graph.failures import guarded
from efo_assets.graph.ontology import Ontology
from efo_assets.graph.resources import Loader
from efo_assets.ols.release import Release
from efo_assets.pipeline.budget import ols_client
from efo_assets.privacy.printable import escaped
from efo_assets.settings import Settings
from efo_assets.warehouse.warehouse import Warehouse

LIMIT_S = 20.0
ATTEMPTS = 3


def ols_asset(ontology: Ontology) -> dg.AssetsDefinition | dg.AssetSpec:
    """Make the root of one graph; that of a catalogue has no button, its sensor observes it."""
    names = ontology.names
    spec = dg.AssetSpec(
        names.ols,
        group_name=names.group("raw"),
        description="The ontology as OLS serves it: its version, and how many classes it lists.",
        kinds={"api"},
        owners=ontology.owners,
        partitions_def=ontology.partitions,
    )
    if ontology.partitions is not None:
        return spec

    def observe_ols(context: dg.AssetExecutionContext) -> Iterator[Any]:
        """Ask OLS which release it serves."""
        with guarded(context.log):
            loader: Loader = getattr(context.resources, names.loader)
            settings = loader.settings
            release = asyncio.run(served(settings, loader.warehouse, LIMIT_S))
            (key,) = context.selected_asset_keys
            yield dg.ObserveResult(
                asset_key=key,
                data_version=dg.DataVersion(key_of(release)),
                metadata=observed(release, settings.ols_url),
            )

    with catch_warnings():
        simplefilter("ignore", dg.BetaWarning)
        observable = dg.multi_observable_source_asset(
            name=names.step("observe_ols"), specs=[spec], required_resource_keys={names.loader}
        )
    definition: dg.AssetsDefinition = observable(observe_ols)
    return definition


async def served(settings: Settings, warehouse: Warehouse, limit_s: float) -> Release:
    """The release that OLS serves now, asked for by few requests.

    Raises:
        OlsError: OLS doesn't answer within `limit_s`, or not as it should.
    """
    asking = ols_client(settings, warehouse, max_in_flight=1, attempts=ATTEMPTS)
    try:
        async with asyncio.timeout(limit_s), asking as client:
            return await client.release(settings.ontology)
    except TimeoutError:
        raise OlsUnreachable(
            f"OLS at {settings.ols_url} did not say within {limit_s:g} s which release of "
            f"{settings.ontology} it serves."
        ) from None


def observed(release: Release, url: str) -> dict[str, Any]:
    """What is told of a release that OLS serves."""
    totals = release.totals
    return {
        "release": dg.MetadataValue.text(release.name),
        "version_iri": dg.MetadataValue.text(escaped(release.version_iri or "none given")),
        "source": dg.MetadataValue.url(url),
        "current classes": totals.current,
        "obsolete classes": totals.obsolete,
    }
