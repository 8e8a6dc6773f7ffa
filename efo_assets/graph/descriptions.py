"""What the UI shows of a table: column schema and column comments from its specification."""

import dagster as dg

from efo_assets.warehouse.tables import Column, Table

OWNERS = ["team:efo"]
LOADER_POOL = "efo_loader"
"""One load at a time where the instance limits pools to one (deploy/dagster.yaml)."""


def column_schema(columns: tuple[Column, ...]) -> dg.TableSchema:
    """Dagster's form of the columns of a specification."""
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


def staged_description(table: Table) -> str:
    """The table's comment, for the staged form."""
    return f"{table.comment} Staged in the schema of one load, by IRI, without constraints."


def published_description(table: Table) -> str:
    """The table's comment, for the published form."""
    return f"{table.comment} Published with the whole release in one transaction."
