"""The audit as asset checks: blocking ones stop a run before publication.

The verdicts that count are those in PostgreSQL (`efo_meta.verdicts`); these results show them.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from warnings import catch_warnings, simplefilter

import dagster as dg

from efo_assets.graph.descriptions import short, table_metadata
from efo_assets.graph.failures import guarded
from efo_assets.graph.ontology import Ontology
from efo_assets.graph.resources import Loader
from efo_assets.warehouse.audit import CHECKS, Check, Verdict, refusal
from efo_assets.warehouse.tables import Table

PASSED_AUDIT = "passed_audit"
"""The check of a published table, which tells what the audit found in it."""


def audit_checks(ontology: Ontology) -> dg.AssetChecksDefinition:
    """Make the checks of one graph."""
    names = ontology.names

    def spec(check: Check) -> dg.AssetCheckSpec:
        return check_spec(
            ontology,
            check.name,
            names.staged(check.about),
            description=check.description,
            blocking=check.blocking,
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
        loader: Loader = getattr(context.resources, names.loader)
        with guarded(context.log), loader.attempt(context.run.run_id) as warehouse:
            load = warehouse.latest()
            # Each has a name of its own, whatever prefix was put before the assets' keys since.
            selected = {key.name: key for key in context.selected_asset_check_keys}
            verdicts = [
                verdict for verdict in warehouse.audit(load) if verdict.check.name in selected
            ]
            for verdict in verdicts:
                metadata: dict[str, Any] = {
                    f"{verdict.check.unit}s": verdict.offenders,
                    "samples": samples(verdict),
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


def check_spec(
    ontology: Ontology, name: str, key: dg.AssetKey, *, description: str, blocking: bool = False
) -> dg.AssetCheckSpec:
    """The specification of a check, by partition where its asset has some."""
    with catch_warnings():
        # Checks by partition are new in Dagster; without, one stands for all ontologies.
        simplefilter("ignore", dg.PreviewWarning)
        return dg.AssetCheckSpec(
            name,
            asset=key,
            description=description,
            blocking=blocking,
            partitions_def=ontology.partitions,
        )


def samples(verdict: Verdict) -> dg.MetadataValue[Any]:
    """Some of the offenders as a table."""
    told = [each if isinstance(each, dict) else {"sample": each} for each in verdict.samples]
    return table_metadata(told)


def passed_audit(
    verdicts: Iterable[Verdict], table: Table, key: dg.AssetKey
) -> dg.AssetCheckResult:
    """What the audit found in the rows of a table before they were published."""
    about = [verdict for verdict in verdicts if verdict.check.about is table]
    found = [verdict for verdict in about if verdict.offenders]
    # The UI shows it as Markdown, so it names no sample, which is OLS's text.
    told = ", ".join(f"{verdict.check.name} ({verdict.count})" for verdict in found) or "nothing"
    return dg.AssetCheckResult(
        check_name=PASSED_AUDIT,
        asset_key=key,
        passed=all(verdict.passed for verdict in about),
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{len(about)} checks found {told}.",
        metadata={"checks": len(about), **audit_metadata(about)},
    )


def audit_metadata(verdicts: Iterable[Verdict]) -> Mapping[str, dg.MetadataValue[Any]]:
    """Every check with what it asks and found, and those that it found, as two tables."""
    verdicts = list(verdicts)
    return {
        "audit": table_metadata(
            {
                "check": verdict.check.name,
                "outcome": outcome(verdict),
                "found": verdict.offenders,
                "asks": verdict.check.description,
            }
            for verdict in verdicts
        ),
        "offenders": table_metadata(
            {"check": verdict.check.name, "offender": short(sample)}
            for verdict in verdicts
            for sample in verdict.told
        ),
    }


def outcome(verdict: Verdict) -> str:
    """In a word or two."""
    if verdict.overridden:
        return "let pass by EFO_ALLOW_SHRINK"
    return "passed" if verdict.passed else "refused" if verdict.blocks else "warning"
