"""SemSQL's views over the published tables, against the oracle's statements and closure."""

import logging
import re
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from efo_assets.errors import PublicationRefused
from efo_assets.sample.ontology import release
from efo_assets.settings import DatabaseTarget
from efo_assets.warehouse.embedded import USER
from efo_assets.warehouse.warehouse import Warehouse
from efo_assets_tests.commands import ROOT
from efo_assets_tests.databases import connected
from efo_assets_tests.oracle import semsql as oracle
from efo_assets_tests.oracle.rows import expected_rows
from efo_assets_tests.warehouse.loads import Rows, ask, edge, expected, iri, publish, term

CLASSES, SEED = 1_500, 3
STATEMENT = "subject predicate object value datatype language"
ANNOTATION = " ".join(
    f"annotation_{name}"
    for name in ("subject", "predicate", "object", "value", "language", "datatype")
)
SHAPES = {
    "statements node_to_node_statement node_to_value_statement rdf_type_statement "
    "rdfs_subclass_of_statement rdfs_subclass_of_named_statement rdfs_subproperty_of_statement "
    "rdfs_label_statement rdfs_domain_statement rdfs_range_statement rdf_list_statement "
    "rdf_first_statement rdf_rest_statement rdf_rest_transitive_statement "
    "rdf_list_member_statement owl_imports_statement owl_inverse_of_statement "
    "owl_complement_of_statement owl_equivalent_class_statement owl_same_as_statement "
    "owl_disjoint_class_statement has_text_definition_statement has_oio_synonym_statement "
    "has_exact_synonym_statement has_broad_synonym_statement has_narrow_synonym_statement "
    "has_related_synonym_statement has_synonym_statement has_exact_match_statement "
    "has_broad_match_statement has_narrow_match_statement has_related_match_statement "
    "has_match_statement has_dbxref_statement has_mapping_statement contributor creator "
    "ontology_status_statement": f"stanza {STATEMENT} graph",
    "node blank_node rdf_list_node iri_node class_node property_node named_individual_node "
    "ontology_node object_property_node transitive_property_node symmetric_property_node "
    "reflexive_property_node irreflexive_property_node asymmetric_property_node "
    "annotation_property_node deprecated_node anonymous_expression anonymous_class_expression "
    "anonymous_property_expression anonymous_individual_expression": "id",
    "owl_restriction owl_some_values_from owl_all_values_from owl_has_value "
    "owl_has_self": "on_property filler id",
    "owl_complex_axiom edge entailed_edge entailed_subclass_of_edge entailed_type_edge "
    "relation_graph_construct owl_subclass_of_some_values_from "
    "owl_equivalent_to_intersection_member transitive_edge": "subject predicate object",
    "subgraph_query subgraph_edge_by_ancestor subgraph_edge_by_descendant "
    "subgraph_edge_by_ancestor_or_descendant subgraph_edge_by_parent subgraph_edge_by_child "
    "subgraph_edge_by_self": "subject predicate object anchor_object anchor_predicate",
    "entailed_edge_cycle entailed_edge_same_predicate_cycle": (
        "subject predicate object secondary_predicate"
    ),
    "rdf_level_summary_statistic count_of_predicates count_of_instantiated_classes "
    "count_of_subclasses": "element count_value",
    "owl_reified_axiom owl_axiom": f"id {STATEMENT}",
    "owl_axiom_annotation axiom_dbxref_annotation": f"{ANNOTATION} id {STATEMENT}",
    "prefix": "prefix base",
    "node_identifier": "id prefix local_identifier",
    "orcid": "label id",
    "repair_action": "subject description",
    "problem lexical_problem trailing_whitespace_problem all_problems "
    "property_used_with_datatype_values_and_objects": "subject predicate value",
    "node_with_two_labels_problem": "label1 label2 subject predicate value",
    "term_association": "id subject predicate object evidence_type publication source",
}
"""Views of semantic-sql 0.4 to the columns that its models read."""
OTHER = "http://purl.obolibrary.org/obo/RO_0001025"
DIRECT = "http://purl.obolibrary.org/obo/RO_0002170"
"""A relation of the Relation Ontology that is transitive, and one that isn't."""
# a is_a b part_of c is_a d part_of e; f develops_from a; g is implied to be a, and located in a.
EDGES = [
    edge("a", "b"),
    edge("b", "c", "part_of"),
    edge("c", "d"),
    edge("d", "e", "part_of"),
    edge("f", "a", "develops_from"),
    edge("g", "a", "is_a_implied"),
    edge("g", "h", OTHER),
    edge("h", "i", OTHER),
    edge("i", "j", DIRECT),
    edge("j", "k", DIRECT),
    edge("k", "l"),
]
SMALL: Rows = {"terms": [term(name) for name in "abcdefghijkl"], "edges": EDGES}
ENTAILED = "select subject, predicate, object from semsql.entailed_edge"
STATED = "select subject, predicate, object, value, datatype from semsql.statements"


@contextmanager
def semsql(database: DatabaseTarget, *, ancestors: str = "table") -> Iterator[Warehouse]:
    with Warehouse(database, semsql=True, allow_shrink=True, ancestors=ancestors) as warehouse:
        yield warehouse


@pytest.fixture
def warehouse(database: DatabaseTarget) -> Iterator[Warehouse]:
    with semsql(database) as opened:
        yield opened


@pytest.fixture
def sampled(warehouse: Warehouse) -> Warehouse:
    publish(warehouse, "9", **expected(expected_rows(release(CLASSES, SEED))))
    return warehouse


def short(edges: set[oracle.Edge]) -> set[str]:
    """Edges of the small ontology as texts such as `a part_of c`."""
    names = {"rdfs:subClassOf": "is_a", "BFO:0000050": "part_of", "RO:0002202": "develops_from"}
    return {
        f"{subject.removeprefix('EX:')} {names.get(predicate, predicate)} "
        f"{object_.removeprefix('EX:')}"
        for subject, predicate, object_ in edges
        if subject != object_
    }


def test_every_view_has_the_columns_of_semantic_sql(warehouse: Warehouse) -> None:
    publish(warehouse, **SMALL)
    query = """
        select c.relname::text, string_agg(a.attname, ' ' order by a.attname)
        from pg_class as c
        join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0
        where c.relnamespace = 'semsql'::regnamespace and c.relkind = 'v'
        group by c.oid, c.relname
    """
    present = dict(ask(warehouse, query))
    for names, columns in SHAPES.items():
        for name in names.split():
            assert set(columns.split()) <= set(present[name].split()), name
    for name in present:
        ask(warehouse, f"select * from semsql.{name} limit 1")


def test_the_statements_are_those_of_the_release(sampled: Warehouse) -> None:
    rows = expected_rows(release(CLASSES, SEED))
    wanted = oracle.statements(rows, "efo", "9", "http://v/9")
    stated = ask(sampled, STATED)
    named = [row for row in stated if not any(str(end).startswith("_:") for end in row[::2])]
    assert set(named) == {tuple(each) for each in wanted}
    assert len(named) == len(wanted)


def test_the_edges_are_those_of_the_release_and_what_follows_from_them(sampled: Warehouse) -> None:
    rows = expected_rows(release(CLASSES, SEED))
    edges = oracle.edges(rows)
    stated = ask(sampled, "select subject, predicate, object from semsql.edge")
    assert set(stated) == edges
    assert len(stated) == len(edges)
    closure = oracle.entailed(set(oracle.nodes(rows).values()), edges)
    entailed = ask(sampled, ENTAILED)
    assert set(entailed) == closure
    assert len(entailed) == len(closure)
    restricted = """
        select s.subject, v.on_property, v.filler
        from semsql.rdfs_subclass_of_statement as s
        join semsql.owl_some_values_from as v on v.id = s.object
    """
    assert set(ask(sampled, restricted)) == {each for each in edges if each[1] != oracle.IS_A}


def test_kinds_of_nodes_are_those_of_the_release(sampled: Warehouse) -> None:
    rows = expected_rows(release(CLASSES, SEED))
    ids = oracle.nodes(rows)
    obsolete = {ids[each.iri] for each in rows.terms if each.is_obsolete}
    assert {id_ for (id_,) in ask(sampled, "select id from semsql.deprecated_node")} == obsolete
    assert sorted(ask(sampled, "select id from semsql.class_node")) == sorted(
        (id_,) for id_ in ids.values()
    )
    assert set(ask(sampled, "select id from semsql.object_property_node")) == {
        ("BFO:0000050",),
        ("RO:0002202",),
    }
    distinct = "select count(*), count(distinct id) from semsql.node"
    [(count, different)] = ask(sampled, distinct)
    assert count == different
    prefixes = dict(ask(sampled, "select prefix, base from semsql.prefix"))
    assert prefixes["EFO"] == "http://www.ebi.ac.uk/efo/EFO_"
    assert prefixes["MONDO"] == "http://purl.obolibrary.org/obo/MONDO_"
    assert prefixes["skos"] == "http://www.w3.org/2004/02/skos/core#"


def test_sources_and_types_annotate_synonyms(sampled: Warehouse) -> None:
    rows = expected_rows(release(CLASSES, SEED))
    ids = oracle.nodes(rows)
    wanted = set()
    for each in rows.synonyms:
        about = (ids[each.iri], oracle.SCOPES[each.scope], each.synonym)
        wanted |= {(*about, "oio:hasDbXref", source) for source in each.sources}
        types = {type_ for type_ in (each.type, *each.other_types) if type_ is not None}
        wanted |= {(*about, "oio:hasSynonymType", oracle.curie(type_)) for type_ in types}
    query = """
        select subject, predicate, value, annotation_predicate,
            coalesce(annotation_value, annotation_object)
        from semsql.owl_axiom_annotation where predicate like 'oio:has%Synonym'
    """
    assert set(ask(sampled, query)) == wanted


@pytest.mark.parametrize("ancestors", ["table", "function"])
def test_each_relation_is_followed_on_its_own(ancestors: str, database: DatabaseTarget) -> None:
    with semsql(database, ancestors=ancestors) as warehouse:
        publish(warehouse, **SMALL)
        assert short(set(ask(warehouse, ENTAILED))) == {
            *("a is_a b", "c is_a d", "k is_a l", "g is_a a", "g is_a b"),
            *(f"{part} part_of {whole}" for part in "abg" for whole in "cde"),
            *("c part_of e", "d part_of e"),
            *("f develops_from a", "f develops_from b"),
            *("g RO:0001025 h", "g RO:0001025 i", "h RO:0001025 i"),
            *("i RO:0002170 j", "j RO:0002170 k", "j RO:0002170 l"),
        }


def test_a_circle_of_parts_ends(warehouse: Warehouse) -> None:
    edges = [edge("a", "b", "part_of"), edge("b", "c"), edge("c", "a", "part_of")]
    publish(warehouse, terms=[term(name) for name in "abc"], edges=edges)
    parts = {tuple(each) for each in ask(warehouse, ENTAILED) if each[1] == "BFO:0000050"}
    assert parts == {
        (f"EX:{part}", "BFO:0000050", f"EX:{whole}") for part in "abc" for whole in "abc"
    }


def test_of_classes_with_one_curie_one_has_it(warehouse: Warehouse) -> None:
    twins = [
        term("old", curie="EX:1", is_obsolete=True),
        term("new", curie="EX:1"),
        term("imported", curie="EX:1", is_defining=False),
    ]
    publish(warehouse, terms=twins)
    labels = set(ask(warehouse, "select subject, value from semsql.rdfs_label_statement"))
    assert {
        ("EX:1", "label of new"),
        (f"<{iri('old')}>", "label of old"),
        (f"<{iri('imported')}>", "label of imported"),
    } <= labels


def test_a_release_renews_what_stands_whether_they_are_asked_for_or_not(
    database: DatabaseTarget,
) -> None:
    with semsql(database) as warehouse:
        publish(warehouse, **SMALL)
    with Warehouse(database, allow_shrink=True) as without:
        terms = [term(name) for name in "abcdefghijk"]
        edges = [each for each in EDGES[1:] if each != edge("k", "l")]
        publish(without, "2", terms=terms, edges=[*edges, edge("a", "k")])
        entailed = short(set(ask(without, ENTAILED)))
        assert {"a is_a k", "b part_of c"} <= entailed
        assert not entailed & {"a is_a b", "a part_of c", "k is_a l", "j RO:0002170 l"}
        assert ask(without, "select count(*) from semsql.class_node") == [(11,)]


def test_without_the_setting_there_are_none(database: DatabaseTarget) -> None:
    with Warehouse(database) as warehouse:
        publish(warehouse, **SMALL)
        assert ask(warehouse, "select to_regnamespace('semsql')") == [(None,)]


def test_each_published_schema_has_views_beside_it(database: DatabaseTarget) -> None:
    with Warehouse(database, "mondo", ontology="mondo", semsql=True) as mondo:
        publish(mondo, ontology="mondo", **SMALL)
        query = "select id from mondo_semsql.ontology_node"
        assert ask(mondo, query) == [("obo:mondo.owl",)]


@pytest.mark.parametrize(("before", "after"), [("table", "function"), ("function", "table")])
def test_ancestors_may_be_given_another_way(
    before: str, after: str, database: DatabaseTarget
) -> None:
    with semsql(database, ancestors=before) as warehouse:
        publish(warehouse, **SMALL)
        entailed = set(ask(warehouse, ENTAILED))
    with semsql(database, ancestors=after) as warehouse:
        publish(warehouse, "2", **SMALL)
        assert set(ask(warehouse, ENTAILED)) == entailed


def test_whoever_reads_the_tables_reads_the_views(
    warehouse: Warehouse, database: DatabaseTarget
) -> None:
    publish(warehouse, **SMALL)
    with connected(database, user=USER) as connection:
        for role in ("semsql_reader", "semsql_stranger"):
            connection.execute(f"drop role if exists {role}")
            connection.execute(f"create role {role} login")
        connection.execute("grant select on all tables in schema public to semsql_reader")
        connection.execute("grant select on public.efo_terms to semsql_stranger")
    publish(warehouse, "2", **SMALL)
    try:
        with connected(database, user="semsql_reader") as reader:
            assert reader.execute("select count(*) from semsql.statements").fetchone()
        with (
            connected(database, user="semsql_stranger") as stranger,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            stranger.execute("select count(*) from semsql.statements")
    finally:
        with connected(database, user=USER) as connection:
            connection.execute("drop owned by semsql_reader, semsql_stranger")
            connection.execute("drop role semsql_reader, semsql_stranger")


def test_somebody_elses_view_is_left_alone_and_named(
    warehouse: Warehouse, caplog: pytest.LogCaptureFixture
) -> None:
    with warehouse.connect() as connection:
        connection.execute("create schema semsql create table edge (x int)")
    with caplog.at_level(logging.WARNING):
        assert publish(warehouse, **SMALL).is_new
    assert (
        "the views of SemSQL in schema semsql are left as they are (semsql.edge is not of "
        "efo_assets: rename it); the next publication tries again"
    ) in caplog.text
    assert ask(warehouse, "select to_regclass('semsql.statements')") == [(None,)]
    with warehouse.connect() as connection:
        connection.execute("drop table semsql.edge")
    publish(warehouse, **SMALL)
    assert ask(warehouse, "select count(*) from semsql.edge") == [(len(EDGES),)]


def test_a_view_of_another_definition_is_made_again(warehouse: Warehouse) -> None:
    publish(warehouse, **SMALL)
    with warehouse.connect() as connection:
        connection.execute(
            "create or replace view semsql.edge as"
            " select 'x'::text collate \"C\" as subject, 'x'::text collate \"C\" as predicate,"
            " 'x'::text collate \"C\" as object"
        )
        connection.execute(
            "comment on view semsql.edge is 'SemSQL''s edge. (efo_assets, definition 0)'"
        )
    publish(warehouse, **SMALL)
    assert ask(warehouse, "select count(*) from semsql.edge") == [(len(EDGES),)]


def test_tables_that_somebody_changed_are_named_and_dropping_them_mends_it(
    warehouse: Warehouse,
) -> None:
    publish(warehouse, **SMALL)
    terms = [*SMALL["terms"], term("m")]
    with warehouse.connect() as connection:
        connection.execute("drop table semsql.relation_ids cascade")
    with pytest.raises(PublicationRefused, match="drop schema semsql cascade"):
        publish(warehouse, "2", **{**SMALL, "terms": terms})
    assert ask(warehouse, "select count(*) from efo_terms") == [(len(SMALL["terms"]),)]
    with warehouse.connect() as connection:
        connection.execute("drop schema semsql cascade")
    publish(warehouse, "2", **{**SMALL, "terms": terms})
    assert ask(warehouse, "select count(*) from semsql.class_node") == [(len(terms),)]


def test_oaklib_is_asked_for_by_the_plugin_alone() -> None:
    sources = (ROOT / "efo_assets").rglob("*.py")
    imports = re.compile(r"^\s*(from|import) (oaklib|semsql\b|linkml)", re.MULTILINE)
    named = [each.name for each in sources if imports.search(each.read_text("utf-8"))]
    assert named == ["oak.py"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    plugin = project["entry-points"]["oaklib.plugins"]["efo-assets"]
    module, _, name = plugin.partition(":")
    assert f"class {name}(" in (ROOT / f"{module.replace('.', '/')}.py").read_text("utf-8")
