"""The IO manager of staged tables: their rows went into a load by COPY, references come out."""

from dataclasses import dataclass

import dagster as dg

from efo_assets.graph.failures import guarded
from efo_assets.graph.ontology import Ontology
from efo_assets.graph.resources import Loader
from efo_assets.warehouse.load import Load


@dataclass(frozen=True, slots=True)
class StagedTable:
    """A reference to a staged table; its rows stay in PostgreSQL."""

    load: Load
    rows: int | None = None
    """How many were copied; None where they were there before this run, or SQL makes them."""


class PostgresCopyIOManager(dg.IOManager):
    """Hands on references to staged tables, which binary COPY fills while pages come.

    Tables are created from their specifications when the load begins. Takes and returns
    `StagedTable`; no row passes through Python twice.
    """

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

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
            return StagedTable(self._loader.warehouse.latest())


def copy_io_manager(ontology: Ontology) -> dg.IOManagerDefinition:
    """Make the IO manager of an ontology's graph."""
    names = ontology.names

    @dg.io_manager(required_resource_keys={names.loader}, description=PostgresCopyIOManager.__doc__)
    def postgres_copy(context: dg.InitResourceContext) -> PostgresCopyIOManager:
        return PostgresCopyIOManager(getattr(context.resources, names.loader))

    return postgres_copy
