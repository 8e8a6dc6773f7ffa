"""The names of an OLS class's fields: which are OLS's own, so that a new one is noticed.

Annotations are named by IRIs, as many as the ontology has; those are no news. What is read of a
class is in `records`.
"""

import json
import re

from efo_assets.ols.payload import Body

KNOWN_FIELDS = frozenset(
    {
        "appearsIn",
        "curie",
        "definedBy",
        "definition",
        "definitionProperty",
        "directAncestor",
        "directParent",
        "hasDirectChildren",
        "hasDirectParents",
        "hasHierarchicalChildren",
        "hasHierarchicalParents",
        "hasIndividuals",
        "hierarchicalAncestor",
        "hierarchicalParent",
        "hierarchicalProperty",
        "imported",
        "iri",
        "isDefiningOntology",
        "isObsolete",
        "isPreferredRoot",
        "label",
        "linkedEntities",
        "numDescendants",
        "numHierarchicalDescendants",
        "ontologyId",
        "ontologyIri",
        "ontologyPreferredPrefix",
        "relatedFrom",
        "relatedTo",
        "searchableAnnotationValues",
        "shortForm",
        "synonym",
        "synonymProperty",
        "type",
    }
)
"""Of OLS 2024 to 2026."""
SEEN_BYTES = 1 << 20
"""A first class that is longer isn't looked at."""
_FIRST_CLASS = re.compile(rb'"elements"\s*:\s*\[\s*(?=\{)')
_reader = json.JSONDecoder()


def unknown_fields(page: Body) -> set[str]:
    """Names in the first class of a page that OLS didn't use before; one a page is enough.

    A field that OLS adds stands in every class, and looking at each would decode all of them twice.
    """
    begin = _FIRST_CLASS.search(page)
    if begin is None:
        return set()
    text = bytes(page[begin.end() : begin.end() + SEEN_BYTES]).decode(errors="replace")
    try:
        found, _ = _reader.raw_decode(text)
    except (ValueError, RecursionError):
        return set()
    return {name for name in found if "://" not in name and name not in KNOWN_FIELDS}
