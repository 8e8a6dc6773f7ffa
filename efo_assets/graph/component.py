"""The components: the graph of an ontology, or of all, by a `defs.yaml`, in any project of `dg`."""

import re
from typing import Any

import dagster as dg
from pydantic import BaseModel, Field, field_validator

from efo_assets.graph.catalogue import Catalogue
from efo_assets.graph.factory import catalogue_graph, ontology_graph
from efo_assets.graph.ontology import Ontology


class Scaffolded(BaseModel):
    """What `dg scaffold defs efo_assets.OlsOntologyComponent NAME` takes."""

    id: str = Field(description="OLS id of the ontology, such as mondo.")
    database: str | None = Field(
        default=None,
        description="Name of the environment variable that holds the postgresql:// URL.",
    )

    @field_validator("id")
    @classmethod
    def _can_be_one(cls, value: str) -> str:
        """Before `dg` makes the folder."""
        return str(Ontology(id=value).id)

    @field_validator("database")
    @classmethod
    def _is_a_name(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[A-Za-z_]\w*", value, re.ASCII):
            raise ValueError("it takes the name of an environment variable, not the URL itself.")
        return value


class OntologyScaffolder(dg.Scaffolder[Scaffolded]):
    """Writes the `defs.yaml` of one ontology."""

    @classmethod
    def get_scaffold_params(cls) -> type[Scaffolded]:
        """What the command takes."""
        return Scaffolded

    def scaffold(self, request: dg.ScaffoldRequest[Scaffolded]) -> None:
        """Write it; a wrong id is refused before."""
        params = request.params
        attributes: dict[str, Any] = {"id": params.id}
        if params.database is not None:
            attributes["database"] = f"{{{{ env.{params.database} }}}}"
        dg.scaffold_component(request, attributes)


@dg.scaffold_with(OntologyScaffolder)
class OlsOntologyComponent(Ontology, dg.Component):
    """An ontology of EMBL-EBI's OLS in PostgreSQL: complete, checked, one release at a time.

    Makes assets from the raw pages to the published tables and exported files, the checks that
    stand before publication, a job, a schedule, and a sensor that looks for new releases.
    """

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The graph of the ontology."""
        del context
        return ontology_graph(self)


class OlsCatalogComponent(Catalogue, dg.Component):
    """All ontologies of EMBL-EBI's OLS in PostgreSQL, or those chosen: a partition for each.

    Makes the assets and checks of an ontology by partitions, a job, and a sensor that adds what
    OLS lists and requests a run for each ontology that has news.
    """

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The graph of the catalogue."""
        del context
        return catalogue_graph(self)
