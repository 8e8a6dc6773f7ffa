"""What the UI shows: columns from a table's specification, rows as tables, and bar charts.

Text of OLS is data: it is shown as text in a cell, in one line, and never as Markdown or a link.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, TypeVar

import dagster as dg

from efo_assets.privacy.disclosure import one_line
from efo_assets.settings import DatabaseTarget
from efo_assets.warehouse.tables import Column

BAR_WIDTH = 24
"""Characters; the UI cuts off what is wider."""
CELL_CHARACTERS = 200
DATA_VERSION_TAG = "dagster/data_version"
"""On an event that no step's result makes."""

_BEGINNING = re.compile(r"https?://[^\s']*[/#](?=[^\s'])")

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


def place_metadata(target: DatabaseTarget, place: str) -> dict[str, Any]:
    """Where a table is: `place` is its schema and name."""
    return {
        "dagster/table_name": f"{target.dbname}.{place}",
        "dagster/storage_kind": "postgres",
        "dagster/uri": target.uri,
    }


def table_metadata(
    rows: Iterable[Mapping[str, Any]], *, most_characters: int = CELL_CHARACTERS
) -> dg.MetadataValue[Any]:
    """Rows as a table, whose columns are all that any row has; a sentence where there are none."""
    cells = [{name: _cell(value, most_characters) for name, value in row.items()} for row in rows]
    names = dict.fromkeys(chain.from_iterable(cells))
    if not names:
        return dg.MetadataValue.text("none")
    types = {name: _type([row.get(name) for row in cells]) for name in names}
    columns = [dg.TableColumn(name, types[name]) for name in names]
    return dg.MetadataValue.table(
        [dg.TableRecord({name: row.get(name, "") for name in names}) for row in cells],
        schema=dg.TableSchema(columns=columns),
    )


def short(text: str) -> str:
    """A text with IRIs by their last part: the UI breaks none, and cuts off what is wider."""
    return _BEGINNING.sub("", text)


def _cell(value: object, most_characters: int) -> str | int | float | bool | None:
    if value is None or isinstance(value, bool | int | float):
        return value
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return one_line(text, most_characters)


def _type(values: Sequence[object]) -> str:
    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool}:
        return "bool"
    return "int" if kinds == {int} else "string"


def places(
    context: dg.AssetExecutionContext, keys: Mapping[T, dg.AssetKey]
) -> dict[T, dg.AssetKey]:
    """Where each of a step's assets is now, by what it was made as.

    Who loads a graph may have put a prefix before its keys since; outputs keep their names.
    """
    now = context.assets_def.node_keys_by_output_name
    return {each: now[key.to_python_identifier()] for each, key in keys.items()}


def report_unselected(
    context: dg.AssetExecutionContext,
    key: dg.AssetKey,
    metadata: Mapping[str, Any],
    data_version: str | None = None,
) -> None:
    """Report an asset that was made without being selected."""
    partition = context.partition_key if context.has_partition_key else None
    tags = {DATA_VERSION_TAG: data_version} if data_version else None
    context.log_event(
        dg.AssetMaterialization(key, metadata=metadata, partition=partition, tags=tags)
    )


def bars(counts: Mapping[str, int]) -> str:
    """A bar chart of counts by name, as a Markdown code block."""
    longest, most = max(map(len, counts)), max(counts.values())
    lines = [
        f"{name:<{longest}} {'█' * max(count > 0, round(BAR_WIDTH * count / most))} {count:,}"
        for name, count in counts.items()
    ]
    return "\n".join(["```", *lines, "```"])
