"""What the UI shows: columns with their comments from a table's specification, and bar charts."""

from collections.abc import Mapping
from typing import Any, TypeVar

import dagster as dg

from efo_assets.warehouse.tables import Column

BAR_WIDTH = 40
"""Characters."""

T = TypeVar("T")


def column_schema(columns: tuple[Column, ...]) -> dg.TableSchema:
    """Turn the columns of a specification into Dagster's form."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=column.name,
                type=column.type,
                description=column.comment,
                constraints=dg.TableColumnConstraints(nullable=column.nullable),
            )
            for column in columns
        ]
    )


def places(
    context: dg.AssetExecutionContext, keys: Mapping[T, dg.AssetKey]
) -> dict[T, dg.AssetKey]:
    """Where each of a step's assets is now, by what it was made as.

    Who loads a graph may have put a prefix before its keys since; outputs keep their names.
    """
    now = context.assets_def.node_keys_by_output_name
    return {each: now[key.to_python_identifier()] for each, key in keys.items()}


def report_unselected(
    context: dg.AssetExecutionContext, key: dg.AssetKey, metadata: Mapping[str, Any]
) -> None:
    """Report an asset that was made without being selected."""
    partition = context.partition_key if context.has_partition_key else None
    context.log_event(dg.AssetMaterialization(key, metadata=metadata, partition=partition))


def bars(counts: Mapping[str, int]) -> str:
    """A bar chart of counts by name, as a Markdown code block."""
    longest, most = max(map(len, counts)), max(counts.values())
    lines = [
        f"{name:<{longest}} {'█' * max(count > 0, round(BAR_WIDTH * count / most))} {count:,}"
        for name, count in counts.items()
    ]
    return "\n".join(["```", *lines, "```"])
