"""The audit as asset checks: blocking ones stop a run before publication.

The verdicts that count are those in PostgreSQL (`efo_meta.verdicts`); these results show them.
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from efo_assets.graph.failures import guarded
from efo_assets.graph.resources import WarehouseResource
from efo_assets.warehouse.audit import CHECKS, refusal


@dg.multi_asset_check(
    specs=[
        dg.AssetCheckSpec(
            check.name, asset=check.table, description=check.description, blocking=check.blocking
        )
        for check in CHECKS
    ],
    can_subset=True,
)
def audit(
    context: dg.AssetCheckExecutionContext, warehouse: WarehouseResource
) -> Iterator[dg.AssetCheckResult]:
    """Run every check over the staged load, in SQL, and store the verdicts.

    All of them run whichever are selected, since the publisher wants all verdicts.
    """
    with guarded(context.log):
        load = warehouse.get().latest()
        verdicts = warehouse.get().audit(load)
        selected = [
            verdict
            for verdict in verdicts
            if dg.AssetCheckKey(dg.AssetKey(verdict.check.table), verdict.check.name)
            in context.selected_asset_check_keys
        ]
        for verdict in selected:
            severity = (
                dg.AssetCheckSeverity.ERROR if verdict.blocking else dg.AssetCheckSeverity.WARN
            )
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
                asset_key=verdict.check.table,
                passed=verdict.passed,
                severity=severity,
                metadata=metadata,
            )
        # Dagster's own error for blocking checks would name them alone, with frames.
        if refused := refusal(load, selected):
            raise refused
