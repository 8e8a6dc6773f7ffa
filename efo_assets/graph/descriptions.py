"""What the UI shows: columns with their comments from a table's specification, and bar charts."""

from collections.abc import Mapping

import dagster as dg

from efo_assets.warehouse.tables import Column

OWNERS = ["team:efo"]
BAR_WIDTH = 40
"""Characters."""
LOADER_POOL = "efo_loader"
"""One load at a time where the instance limits pools to one (deploy/dagster.yaml)."""


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


def bars(counts: Mapping[str, int]) -> str:
    """A bar chart of counts by name, as a Markdown code block."""
    longest, most = max(map(len, counts)), max(counts.values())
    lines = [
        f"{name:<{longest}} {'█' * max(count > 0, round(BAR_WIDTH * count / most))} {count:,}"
        for name, count in counts.items()
    ]
    return "\n".join(["```", *lines, "```"])
