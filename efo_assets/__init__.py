"""Ontologies of OLS in PostgreSQL, as graphs of Dagster's.

What other people's code imports is found when it is asked for: the engine and the command line run
without Dagster, which takes a second to import.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from efo_assets.graph.catalogue import Catalogue as Catalogue
    from efo_assets.graph.component import OlsCatalogComponent as OlsCatalogComponent
    from efo_assets.graph.component import OlsOntologyComponent as OlsOntologyComponent
    from efo_assets.graph.factory import catalogue_graph as catalogue_graph
    from efo_assets.graph.factory import ontology_graph as ontology_graph
    from efo_assets.graph.ontology import Ontology as Ontology

_PLACES = {
    "Catalogue": "efo_assets.graph.catalogue",
    "OlsCatalogComponent": "efo_assets.graph.component",
    "OlsOntologyComponent": "efo_assets.graph.component",
    "Ontology": "efo_assets.graph.ontology",
    "catalogue_graph": "efo_assets.graph.factory",
    "ontology_graph": "efo_assets.graph.factory",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    # `dg` looks for components among these.
    return sorted({*globals(), *_PLACES})
