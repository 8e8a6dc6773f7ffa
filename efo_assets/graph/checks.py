"""The audit as asset checks: blocking ones stop a run before publication.

The verdicts that count are those in PostgreSQL (`efo_meta.verdicts`); these results show them.
"""

from collections.abc import Iterator
from typing import Any
from warnings import catch_warnings, simplefilter

import dagster as dg

from efo_assets.graph.failures import guarded
from efo_assets.graph.ontology import Ontology
from efo_assets.graph.resources import Loader
from efo_assets.warehouse.audit import CHECKS, Check, refusal


def audit_checks(ontology: Ontology) -> dg.AssetChecksDefinition:
    """Make the checks of one graph."""
    names = ontology.names

    def spec(check: Check) -> dg.AssetCheckSpec:
        with catch_warnings():
            # Checks by partition are new in Dagster; without, one stands for all ontologies.
            simplefilter("ignore", dg.PreviewWarning)
            return dg.AssetCheckSpec(
                check.name,
                asset=names.staged(check.about),
                description=check.description,
                blocking=check.blocking,
                partitions_def=ontology.partitions,
            )

    @dg.multi_asset_check(
        name=names.step("audit"),
        specs=[spec(check) for check in CHECKS],
        can_subset=True,
        required_resource_keys={names.loader},
    )
    def audit(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        """Run every check over the staged load, in SQL, and store the verdicts.

        All of them run whichever are selected, since the publisher wants all verdicts.
        """
        with guarded(context.log):
            loader: Loader = getattr(context.resources, names.loader)
            load = loader.warehouse.latest()
            # Each has a name of its own, whatever prefix was put before the assets' keys since.
            selected = {key.name: key for key in context.selected_asset_check_keys}
            verdicts = [
                verdict
                for verdict in loader.warehouse.audit(load)
                if verdict.check.name in selected
            ]
            for verdict in verdicts:
                metadata: dict[str, Any] = {
                    f"{verdict.check.unit}s": verdict.offenders,
                    "samples": dg.MetadataValue.json(verdict.samples),
                    "overridden": verdict.overridden,
                    "load": dg.MetadataValue.text(load.load_id),
                }
                if verdict.blocks:
                    metadata["what to do"] = dg.MetadataValue.text(verdict.check.advice)
                yield dg.AssetCheckResult(
                    check_name=verdict.check.name,
                    asset_key=selected[verdict.check.name].asset_key,
                    passed=verdict.passed,
                    severity=(
                        dg.AssetCheckSeverity.ERROR
                        if verdict.blocking
                        else dg.AssetCheckSeverity.WARN
                    ),
                    metadata=metadata,
                )
            # Dagster's own error for blocking checks would name them alone, with frames.
            if refused := refusal(load, verdicts):
                raise refused

    return audit
