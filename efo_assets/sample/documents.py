"""Generated classes as OLS answers: the v2 JSON of three server generations, and v1's HAL.

Shapes follow the recorded answers: reified values, values that may be scalar or list, entities that
a class mentions with their labels and links (about 40 % of the bytes).
"""

from collections.abc import Iterable, Sequence
from typing import Any, Literal, TypeAlias
from urllib.parse import quote

from efo_assets.sample.ontology import (
    OBO,
    OIO,
    GeneratedClass,
    GeneratedRelease,
    Parent,
    Synonym,
)

Generation: TypeAlias = Literal["A", "B", "C"]
Json: TypeAlias = dict[str, Any]

EFO = "http://www.ebi.ac.uk/efo/"
RDF_TYPE = "http://www.w3.org/1999/02/22-rdf-syntax-ns#type"
OWL = "http://www.w3.org/2002/07/owl#"
RDFS = "http://www.w3.org/2000/01/rdf-schema#"
SKOS = "http://www.w3.org/2004/02/skos/core#"
THING = f"{OWL}Thing"
LINKED_ANCESTORS = 6
"""Keeps a class at 8 to 10 KB, as EFO's are."""
RELATIONS = {
    "part_of": f"{OBO}BFO_0000050",
    "develops_from": f"{OBO}RO_0002202",
    "is_a_implied": f"{RDFS}subClassOf",
}
PROPERTIES = (
    (f"{OBO}IAO_0000115", "definition"),
    (f"{OBO}IAO_0000117", "term editor"),
    (f"{OBO}IAO_0000136", "is about"),
    (f"{OIO}hasDbXref", "database_cross_reference"),
    (f"{OIO}hasExactSynonym", "has_exact_synonym"),
    (f"{OIO}id", "id"),
    (f"{OIO}inSubset", "in_subset"),
    (f"{EFO}definition_citation", "definition_citation"),
)


def ontology_document(release: GeneratedRelease, classes: int) -> Json:
    """The v2 ontology document of a release that has so many classes; looks at none of them."""
    identity = release.identity
    return {
        "ontologyId": identity.ontology,
        "iri": identity.iri,
        "title": identity.title,
        "label": [identity.title],
        "preferredPrefix": identity.prefix,
        "description": "Made by efo_assets.sample; not the Experimental Factor Ontology.",
        "type": ["ontology"],
        RDF_TYPE: f"{OWL}Ontology",
        f"{OWL}versionIRI": release.version_iri,
        f"{OWL}versionInfo": release.version,
        "loaded": release.timestamp,
        "sourceFileTimestamp": release.timestamp,
        "numberOfClasses": str(classes + 14),
        "numberOfEntities": str(classes + 148),
        "numberOfIndividuals": "0",
        "numberOfProperties": "134",
        "numDescendants": 0.0,
        "numHierarchicalDescendants": 0.0,
        "imported": False,
        "isObsolete": False,
        "is_fallback": False,
        "language": "en",
        "linkedEntities": {},
        "ontology_purl": identity.iri,
        "searchableAnnotationValues": [False],
    }


class Documents:
    """Makes the documents of one release."""

    def __init__(
        self, release: GeneratedRelease, generation: Generation, *, all_labelled: bool = False
    ) -> None:
        self.release = release
        self._all_labelled = all_labelled
        self.identity = release.identity
        self._as_list = generation != "A"

    def ontology(self) -> Json:
        """The v2 ontology document."""
        return ontology_document(self.release, len(self.release.classes))

    def v2_class(self, each: GeneratedClass) -> Json:
        """One class of the v2 list."""
        labels = each.labels or (each.short_form,) * self._all_labelled
        label = self._several(_oddly(labels) if each.is_oddly_written else labels)
        ancestors = self.release.ancestors(each)
        has_children = self.release.has_children(each)
        with_thing = self._several([*ancestors, THING])
        document: Json = {
            "appearsIn": [self.identity.ontology],
            "curie": each.curie,
            "definedBy": [self.identity.ontology if each.is_defining else "imported"],
            "directAncestor": with_thing,
            "hasDirectChildren": has_children,
            "hasDirectParents": bool(each.parents),
            "hasHierarchicalChildren": has_children,
            "hasHierarchicalParents": bool(each.parents),
            "hierarchicalAncestor": with_thing,
            "hierarchicalProperty": f"{RDFS}subClassOf",
            "imported": not each.is_defining,
            "iri": each.iri,
            "isDefiningOntology": each.is_defining,
            "isObsolete": each.is_obsolete,
            "isPreferredRoot": False,
            "linkedEntities": self._linked(each, ancestors),
            "numDescendants": 0.0,
            "numHierarchicalDescendants": 0.0,
            "ontologyId": self.identity.ontology,
            "ontologyIri": self.identity.iri,
            "ontologyPreferredPrefix": self.identity.prefix,
            "searchableAnnotationValues": self._several([*each.definitions, *each.labels, False]),
            "shortForm": each.short_form,
            "type": ["class", "entity"],
        }
        if labels:
            document |= {"label": label, f"{RDFS}label": label}
        return document | self._parent_fields(each) | self._text_fields(each)

    def _listed(self, parents: Iterable[Parent]) -> list[GeneratedClass]:
        """The classes of those parents that the release has."""
        by_iri = self.release.by_iri
        return [by_iri[parent.iri] for parent in parents if parent.iri in by_iri]

    def _several(self, values: Sequence[Any]) -> Any:
        """A list; the first generation wrote one value as a scalar."""
        return values[0] if len(values) == 1 and not self._as_list else list(values)

    def _parent_fields(self, each: GeneratedClass) -> Json:
        direct: list[Any] = [
            _reified(parent.iri, [{f"{OIO}source": f"DOID:{len(parent.iri)}"}])
            if number % 2
            else parent.iri
            for number, parent in enumerate(each.parents)
            if parent.predicate == "is_a"
        ]
        if each.has_anonymous_parent:
            direct.append({"type": ["class"], f"{OWL}intersectionOf": [f"{OBO}BFO_0000001"]})
        others = [
            _reified(parent.iri, [{"childRelationToParent": RELATIONS[parent.predicate]}])
            for parent in each.parents
            if parent.predicate != "is_a"
        ]
        return {
            "directParent": self._several(direct or [THING]),
            "hierarchicalParent": self._several([*direct, *others] or [THING]),
        }

    def _text_fields(self, each: GeneratedClass) -> Json:
        fields: Json = {}
        if each.definitions:
            fields[f"{OBO}IAO_0000115"] = [*each.definitions]
            fields["definition"] = [*each.definitions, "A comment, not a definition."]
            fields["definitionProperty"] = f"{OBO}IAO_0000115"
        for synonym in each.synonyms:
            scoped = f"{OIO}has{synonym.scope.capitalize()}Synonym"
            predicate = f"{EFO}alternative_term" if synonym.is_alternative_term else scoped
            fields.setdefault(predicate, []).append(_synonym(synonym))
        if each.synonyms:
            # A list within the list, as OLS writes where an annotation is stated twice.
            fields["synonym"] = [[synonym.text for synonym in each.synonyms]]
        if each.xrefs:
            fields[f"{OIO}hasDbXref"] = [
                _reified(xref.value, [{f"{OIO}source": _one_or_more(xref.sources)}])
                if xref.sources
                else xref.value
                for xref in each.xrefs
            ]
        for match in each.matches:
            fields.setdefault(f"{SKOS}{match.relation}Match", []).append(match.value)
        fields |= {iri: list(values) for iri, values in each.annotations.items()}
        if each.is_oddly_written:
            fields = {
                name: _oddly(value) if isinstance(value, list) else value
                for name, value in fields.items()
            }
        return {
            name: self._several(value) if isinstance(value, list) else value
            for name, value in fields.items()
        }

    def _linked(self, each: GeneratedClass, ancestors: Sequence[str]) -> Json:
        linked: Json = {
            xref.value: {
                "url": xref.url,
                "source": "https://example.org/registry/registry.json",
                "curie": xref.value,
            }
            for xref in each.xrefs
            if xref.url
        }
        for iri in ancestors[:LINKED_ANCESTORS]:
            ancestor = self.release.by_iri[iri]
            linked[iri] = self._entity(ancestor.curie, ancestor.labels[:1], "class")
        for iri, label in PROPERTIES:
            linked[iri] = self._entity(iri.rsplit("/", 1)[-1], [label], "annotationProperty")
        return linked

    def _entity(self, curie: str | None, labels: Sequence[Any], kind: str) -> Json:
        return {
            "definedBy": [self.identity.ontology],
            "numAppearsIn": 4.0,
            "hasLocalDefinition": True,
            "label": list(labels),
            "curie": curie,
            "type": [kind, "entity"],
        }

    def v1_term(self, each: GeneratedClass, base: str) -> Json:
        """One term of v1's HAL list: lossy, as v1 is."""
        ontology, iri = self.identity.ontology, quote(quote(each.iri, safe=""), safe="")
        itself = f"{base}/api/ontologies/{ontology}/terms/{iri}"
        return {
            "iri": each.iri,
            "lang": "en",
            "label": " ".join(map(str, each.labels[:1])),
            "description": list(each.definitions),
            "synonyms": [synonym.text for synonym in each.synonyms],
            "annotation": {"database_cross_reference": [xref.value for xref in each.xrefs]},
            "ontology_name": ontology,
            "ontology_iri": self.identity.iri,
            "is_obsolete": each.is_obsolete,
            "is_defining_ontology": each.is_defining,
            "is_root": not each.parents,
            "has_children": self.release.has_children(each),
            "short_form": each.short_form,
            "obo_id": each.curie,
            "_links": {"self": {"href": itself}, "parents": {"href": f"{itself}/parents"}},
        }

    def v1_parents(self, iri: str) -> list[GeneratedClass]:
        """The listed is_a parents of a class."""
        parents = self.release.by_iri[iri].parents
        return self._listed(parent for parent in parents if parent.predicate == "is_a")


def _reified(value: Any, axioms: list[Json]) -> Json:
    return {"type": ["reification"], "value": value, "axioms": axioms}


def _oddly(values: Sequence[Any]) -> list[Any]:
    """These values among what isn't one, in lists within lists, each wrapped once more."""
    return [None, [[], [_reified(value, []) for value in values]], "", {"type": ["class"]}]


def _synonym(synonym: Synonym) -> Any:
    if not synonym.axioms:
        return synonym.text
    axioms = [
        {
            **({f"{OIO}hasSynonymType": _one_or_more(types)} if types else {}),
            **({f"{OIO}hasDbXref": _one_or_more(sources)} if sources else {}),
        }
        for types, sources in synonym.axioms
    ]
    return _reified(synonym.text, axioms)


def _one_or_more(values: Sequence[str]) -> Any:
    return values[0] if len(values) == 1 else list(values)
