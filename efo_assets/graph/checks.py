"""The audit as asset checks: blocking ones stop a run before publication.

The verdicts that count are those in PostgreSQL (`efo_meta.verdicts`); these results show them.
"""

from collections.abc import Iterator

import dagster as dg

from efo_assets.graph.failures import guarded
from efo_assets.graph.resources import WarehouseResource
from efo_assets.warehouse.audit import CHECKS


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
        context.log.info(
            "load %s: %d of %d checks passed",
            load.load_id,
            sum(verdict.passed for verdict in verdicts),
            len(verdicts),
        )
        for verdict in verdicts:
            check = verdict.check
            key = dg.AssetCheckKey(dg.AssetKey(check.table), check.name)
            if key in context.selected_asset_check_keys:
                severity = (
                    dg.AssetCheckSeverity.ERROR if check.blocking else dg.AssetCheckSeverity.WARN
                )
                yield dg.AssetCheckResult(
                    check_name=check.name,
                    asset_key=check.table,
                    passed=verdict.passed,
                    severity=severity,
                    metadata={
                        "offenders": verdict.offenders,
                        "samples": dg.MetadataValue.json(verdict.samples),
                        "overridden": verdict.overridden,
                        "load": dg.MetadataValue.text(load.load_id),
                    },
                )
