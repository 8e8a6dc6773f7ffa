"""The IO manager that loads by COPY: rows go into the load's own schema, references come out."""

from dataclasses import dataclass

import dagster as dg

from efo_assets.graph.failures import guarded
from efo_assets.graph.resources import WarehouseResource
from efo_assets.pipeline.staging import StagedRows
from efo_assets.warehouse.load import Load


@dataclass(frozen=True, slots=True)
class StagedTable:
    """A reference to a staged table; its rows stay in PostgreSQL."""

    load: Load
    name: str


class PostgresCopyIOManager(dg.IOManager):
    """Streams COPY files into staged tables by binary COPY, and hands references on.

    Tables are created from their specifications when the load begins. Takes `StagedRows`, returns
    `StagedTable`; no row passes through Python twice.
    """

    def __init__(self, warehouse: WarehouseResource) -> None:
        self._warehouse = warehouse

    def handle_output(self, context: dg.OutputContext, obj: StagedRows) -> None:
        """Fill one table of the load from its COPY file.

        Raises:
            dg.Failure: PostgreSQL is lost, full or refuses; one sentence.
        """
        with guarded(context.log):
            rows = obj.copy(self._warehouse.get())
        counted = {} if rows is None else {"dagster/row_count": rows}
        context.add_output_metadata({**counted, "reused": rows is None})

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
