"""The IO manager of staged tables: their rows went into a load by COPY, references come out."""

from dataclasses import dataclass

import dagster as dg

from efo_assets.graph.failures import guarded
from efo_assets.graph.resources import WarehouseResource
from efo_assets.warehouse.load import Load


@dataclass(frozen=True, slots=True)
class StagedTable:
    """A reference to a staged table; its rows stay in PostgreSQL."""

    load: Load
    name: str
    rows: int | None = None
    """How many were copied; None where they were there before this run, or SQL makes them."""


class PostgresCopyIOManager(dg.IOManager):
    """Hands on references to staged tables, which binary COPY fills while pages come.

    Tables are created from their specifications when the load begins. Takes and returns
    `StagedTable`; no row passes through Python twice.
    """

    def __init__(self, warehouse: WarehouseResource) -> None:
        self._warehouse = warehouse

    def handle_output(self, context: dg.OutputContext, obj: StagedTable) -> None:
        """Say how many rows one table of the load got."""
        counted = {} if obj.rows is None else {"dagster/row_count": obj.rows}
        context.add_output_metadata({**counted, "reused": obj.rows is None})

    def load_input(self, context: dg.InputContext) -> StagedTable:
        """Refer to the table in the newest staged load.

        Raises:
            dg.Failure: nothing is staged; the sentence names the command.
        """
        with guarded(context.log):
            return StagedTable(self._warehouse.get().latest(), context.asset_key.path[-1])


@dg.io_manager(required_resource_keys={"warehouse"}, description=PostgresCopyIOManager.__doc__)
def postgres_copy_io_manager(context: dg.InitResourceContext) -> PostgresCopyIOManager:
    """Make the IO manager for the warehouse of a run."""
    return PostgresCopyIOManager(context.resources.warehouse)
