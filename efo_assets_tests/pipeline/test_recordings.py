"""OLS's recorded answers, served by the sample server, come out as the tables that they hold.

What is expected is read from the recordings here, by code that shares nothing with the loader.
"""

import json
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest

from efo_assets import OlsOntologyComponent
from efo_assets.sample.recorded import ontology_id
from efo_assets.sample.server import running_sample
from efo_assets.settings import DatabaseTarget
from efo_assets_tests.databases import ask, ask_in, own_database
from efo_assets_tests.graph.materializing import Graph, Rows, failure, published_rows

RECORDED = Path(__file__).parents[3] / "shared" / "ols4" / "recorded"
OIO = "http://www.geneontology.org/formats/oboInOwl#"
THING = "http://www.w3.org/2002/07/owl#Thing"
SCOPES = {
    f"{OIO}hasExactSynonym": "exact",
    "http://www.ebi.ac.uk/efo/alternative_term": "exact",
    f"{OIO}hasRelatedSynonym": "related",
    f"{OIO}hasNarrowSynonym": "narrow",
    f"{OIO}hasBroadSynonym": "broad",
}
RELATIONS = {
    "http://purl.obolibrary.org/obo/BFO_0000050": "part_of",
    "http://purl.obolibrary.org/obo/RO_0002202": "develops_from",
    "http://www.w3.org/2000/01/rdf-schema#subClassOf": "is_a_implied",
}
SKOS = "http://www.w3.org/2004/02/skos/core#"
MATCHES = ("exact", "close", "narrow", "broad", "related")
ONTOLOGIES = sorted(
    path.name.removesuffix(".classes.json") for path in (RECORDED / "v2").glob("*.classes.json")
)

pytestmark = pytest.mark.skipif(not ONTOLOGIES, reason=f"no recordings at {RECORDED}")


def read(*parts: str) -> Any:
    return json.loads(RECORDED.joinpath(*parts).read_text())


def pairs(value: Any) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Text and axioms of every value, for the shapes that the recordings have."""
    if isinstance(value, list):
        for item in value:
            yield from pairs(item)
    elif isinstance(value, dict):
        if "value" in value:
            yield value["value"], value.get("axioms", [])
    elif value is not None:
        yield value, []


def texts(value: Any) -> set[str]:
    return {text for text, _ in pairs(value)}


def sources(axioms: list[dict[str, Any]], predicate: str) -> tuple[str, ...]:
    return tuple(sorted({text for axiom in axioms for text in texts(axiom.get(predicate))}))


def expected(classes: list[dict[str, Any]]) -> dict[str, Rows]:
    listed = {each["iri"] for each in classes} - {THING}
    rows: dict[str, Rows] = {
        "terms": set(),
        "synonyms": set(),
        "parent_edges": set(),
        "xrefs": set(),
    }
    for each in classes:
        iri = each["iri"]
        if iri == THING:
            continue
        rows["terms"].add((iri, each["curie"], each["isObsolete"], each["isDefiningOntology"]))
        scoped: set[str] = set().union(*(texts(each.get(predicate)) for predicate in SCOPES))
        for predicate, scope in (*SCOPES.items(), ("synonym", "related")):
            rows["synonyms"] |= {
                (iri, text, scope, sources(axioms, f"{OIO}hasDbXref"))
                for text, axioms in pairs(each.get(predicate))
                if predicate in SCOPES or text not in scoped
            }
        direct = texts(each.get("directParent")) & listed
        rows["parent_edges"] |= {(iri, parent, "is_a") for parent in direct}
        for parent, axioms in pairs(each.get("hierarchicalParent")):
            for axiom in axioms:
                named = axiom.get("childRelationToParent")
                if named and parent in listed:
                    rows["parent_edges"].add((iri, parent, RELATIONS.get(named, named)))
        for predicate in (f"{OIO}hasDbXref", *(f"{SKOS}{kind}Match" for kind in MATCHES)):
            rows["xrefs"] |= {
                (iri, text, source)
                for text, axioms in pairs(each.get(predicate))
                for source in (*sources(axioms, f"{OIO}source"), "")
            }
    return rows


@pytest.fixture(scope="module")
def recorded_url() -> Iterator[str]:
    with running_sample(recorded=RECORDED) as sample:
        yield sample.url


def assert_as_recorded(ontology: str, found: Mapping[str, Rows]) -> None:
    """Published rows are those of a recording, by its name."""
    classes = read("v2", f"{ontology}.classes.json")
    wanted = expected(classes)
    terms = found["terms"]
    assert {(row.iri, row.curie, row.is_obsolete, row.is_defining) for row in terms} == wanted[
        "terms"
    ]
    assert {(row.iri, row.synonym, row.scope, row.sources) for row in found["synonyms"]} == wanted[
        "synonyms"
    ]
    assert found["parent_edges"] == wanted["parent_edges"]
    stated = {
        (row.iri, text, source)
        for row in found["xrefs"]
        for text in row.found
        for source in (*row.sources, "")
    }
    assert stated == wanted["xrefs"]
    labels = {each["iri"]: texts(each["label"]) for each in classes if each["iri"] != THING}
    assert {row.iri: {row.label, *row.other_labels} for row in terms} == labels
    definition = "http://purl.obolibrary.org/obo/IAO_0000115"
    definitions = {each["iri"]: texts(each.get(definition)) for each in classes}
    assert all(
        {row.definition, *row.other_definitions} - {None} == definitions[row.iri] for row in terms
    )

    parents = read("v1", f"{ontology}.parents.json")
    is_a = {
        (edge.child_iri, edge.parent_iri)
        for edge in found["parent_edges"]
        if edge.predicate == "is_a"
    }
    current = {row.iri for row in terms if not row.is_obsolete}
    assert is_a == {
        (child, parent)
        for child, found_parents in parents.items()
        for parent in found_parents
        if child in current and parent != THING
    }


every_ontology = pytest.mark.parametrize("ontology", ONTOLOGIES)


@every_ontology
def test_the_tables_hold_what_was_recorded(
    ontology: str,
    recorded_url: str,
    database: DatabaseTarget,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    graph = Graph(monkeypatch, database, tmp_path, recorded_url)
    graph.configure(EFO_ONTOLOGY=ontology_id(ontology))
    result = graph.materialize()
    assert result.success, failure(result)
    assert_as_recorded(ontology, graph.published())


@pytest.fixture(scope="module")
def database_of_all(server: DatabaseTarget) -> Iterator[DatabaseTarget]:
    with own_database(server) as database:
        yield database


@pytest.mark.campaign
@pytest.mark.filterwarnings("ignore:`parse_obj_as` is deprecated")
@every_ontology
def test_components_load_all_that_was_recorded_into_one_database(
    ontology: str, recorded_url: str, database_of_all: DatabaseTarget, tmp_path: Path
) -> None:
    id_ = ontology_id(ontology)
    fields = {
        "id": id_,
        "ols_url": recorded_url,
        "data_dir": str(tmp_path),
        "database": psycopg.conninfo.make_conninfo(**database_of_all.parameters),
    }
    component = OlsOntologyComponent.resolve_from_yaml(json.dumps(fields))
    defs = component.build_defs(dg.ComponentTree.for_test().load_context)
    with dg.DagsterInstance.ephemeral() as instance:
        job = defs.resolve_job_def(component.names.job)
        result = job.execute_in_process(instance=instance, raise_on_error=False)
    assert result.success, failure(result)
    schema = id_.replace("-", "_")
    assert_as_recorded(ontology, published_rows(partial(ask_in, database_of_all, schema)))
    stands = "select state from efo_meta.ontologies where schema_name = %s"
    assert ask(database_of_all, stands, schema) == [("published",)]
