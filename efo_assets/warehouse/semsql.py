"""SemSQL over the published tables: the views that INCATools' semantic-sql and OAK read.

One SemSQL database is one ontology, and its names leave no room for a prefix, so each published
schema has a schema of views beside it: `semsql` for `public`, else `<schema>_semsql`. They are made
where EFO_SEMSQL is on, after a publication, as an extra. What they need beyond the published tables
is in three small tables there, which a publication renews in its transaction, whatever the setting,
so that what stands is never of another release.

The names, columns and predicates are those of semantic-sql 0.4; see docs/semsql.md for what is
empty.
"""

import json
from collections.abc import Callable, Mapping, Sequence

import psycopg
from psycopg import sql

from efo_assets.errors import LOAD_COMMAND, PublicationRefused
from efo_assets.privacy.logs import logger
from efo_assets.warehouse import extras
from efo_assets.warehouse.extras import ExtraView
from efo_assets.warehouse.schema import ANCESTORS, PUBLIC, Schema
from efo_assets.warehouse.session import Connection
from efo_assets.warehouse.statements import compose, listing, statement
from efo_assets.warehouse.tables import PARENT_EDGES, SYNONYMS, TERMS, XREFS

SEMSQL = "semsql"
IS_A = "rdfs:subClassOf"

_READ = (TERMS, SYNONYMS, PARENT_EDGES, XREFS)
"""The published tables that views read, beside ancestors and the view of releases."""
_TABLES = {
    "term_nodes": "The id in SemSQL of each listed term.",
    "relation_ids": "The id in SemSQL of each predicate of edges.",
    "relation_paths": "Ways over other relations than is_a, without is_a at either end.",
}
PREFIXES = {
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
    "owl": "http://www.w3.org/2002/07/owl#",
    "oio": "http://www.geneontology.org/formats/oboInOwl#",
    "skos": "http://www.w3.org/2004/02/skos/core#",
    "dcterms": "http://purl.org/dc/terms/",
    "BFO": "http://purl.obolibrary.org/obo/BFO_",
    "IAO": "http://purl.obolibrary.org/obo/IAO_",
    "RO": "http://purl.obolibrary.org/obo/RO_",
    "obo": "http://purl.obolibrary.org/obo/",
    "EFO": "http://www.ebi.ac.uk/efo/EFO_",
    "HGNC": "http://identifiers.org/hgnc/",
    "MEDDRA": "http://identifiers.org/meddra/",
    "MEDGEN": "http://identifiers.org/medgen/",
    "MESH": "http://identifiers.org/mesh/",
    "SCTID": "http://identifiers.org/snomedct/",
    "NCBIGene": "http://identifiers.org/ncbigene/",
    "ICD10CM": "http://purl.bioontology.org/ontology/ICD10CM/",
    "OMIM": "https://omim.org/entry/",
    "OMIMPS": "https://omim.org/phenotypicSeries/PS",
    "ORDO": "http://www.orpha.net/ORDO/Orphanet_",
    "UMLS": "http://linkedlifedata.com/resource/umls/id/",
}
"""Of semantic-sql's own list, those that annotations of EFO use."""
SCOPES = {
    "exact": "oio:hasExactSynonym",
    "broad": "oio:hasBroadSynonym",
    "narrow": "oio:hasNarrowSynonym",
    "related": "oio:hasRelatedSynonym",
}
RELATIONS = {
    "exact": "skos:exactMatch",
    "close": "skos:closeMatch",
    "broad": "skos:broadMatch",
    "narrow": "skos:narrowMatch",
    "related": "skos:relatedMatch",
}
NAMED = {"replaced_by": "IAO:0100001", "consider": "oio:consider", "subsets": "oio:inSubset"}
"""Column of terms to the annotation property that it holds."""
ANNOTATION_PROPERTIES = {
    "IAO:0000115": "definition",
    "IAO:0100001": "term replaced by",
    "oio:consider": "consider",
    "oio:hasBroadSynonym": "has_broad_synonym",
    "oio:hasDbXref": "database_cross_reference",
    "oio:hasExactSynonym": "has_exact_synonym",
    "oio:hasNarrowSynonym": "has_narrow_synonym",
    "oio:hasRelatedSynonym": "has_related_synonym",
    "oio:inSubset": "in_subset",
    "skos:altLabel": "alternative label",
    "skos:broadMatch": "has broad match",
    "skos:closeMatch": "has close match",
    "skos:exactMatch": "has exact match",
    "skos:narrowMatch": "has narrow match",
    "skos:relatedMatch": "has related match",
    "<http://www.ebi.ac.uk/efo/gwas_trait>": "gwas_trait",
    "<http://www.ebi.ac.uk/efo/obsoleted_in_version>": "obsoleted_in_version",
    "<http://www.ebi.ac.uk/efo/reason_for_obsolescence>": "reason_for_obsolescence",
}
"""Those that statements use, with their labels; OAK shows what is declared so."""
RELATION_LABELS = {"BFO:0000050": "part of", "RO:0002202": "develops from"}
TRANSITIVE = (
    *(f"BFO:00000{number}" for number in (50, 51, 62, 63)),
    *(f"RO:000{number}" for number in (1015, 1025, 2001, 2082, 2083, 2085, 2086, 2089, 2092, 2156)),
    *(f"RO:000{number}" for number in (2157, 2158, 2159, 2202, 2203, 2211, 2213, 2224, 2230, 2334)),
    *(f"RO:000{number}" for number in (2407, 2409, 2411, 2414, 2418, 2427, 2494, 2516, 2517, 2518)),
    *(f"RO:000{number}" for number in (2519, 2522, 2523, 2524, 2525, 2528, 2529, 2569)),
    *("RO:0015003", "RO:0018033", "RO:0018034"),
)
"""The transitive relations of the Relation Ontology; OLS says nothing of relations."""

STATEMENT = (
    *("stanza", "subject", "predicate", "object", "value", "datatype", "language", "graph"),
)
_ANCHORED = ("subject", "predicate", "object", "anchor_object", "anchor_predicate")
_EMPTY: Mapping[str, Sequence[str]] = {
    **dict.fromkeys(
        (
            *("rdfs_subproperty_of_statement", "rdfs_domain_statement", "rdfs_range_statement"),
            *("rdf_list_statement", "rdf_first_statement", "rdf_rest_statement"),
            *("rdf_rest_transitive_statement", "rdf_list_member_statement"),
            *("owl_imports_statement", "owl_inverse_of_statement", "owl_complement_of_statement"),
            *("owl_equivalent_class_statement", "owl_same_as_statement"),
            *("owl_disjoint_class_statement", "contributor", "creator"),
            "ontology_status_statement",
        ),
        STATEMENT,
    ),
    **dict.fromkeys(
        (
            *("rdf_list_node", "property_node", "named_individual_node", "symmetric_property_node"),
            *("reflexive_property_node", "irreflexive_property_node", "asymmetric_property_node"),
            *("anonymous_property_expression", "anonymous_individual_expression"),
        ),
        ("id",),
    ),
    **dict.fromkeys(
        ("owl_all_values_from", "owl_has_value", "owl_has_self"), ("id", "on_property", "filler")
    ),
    "owl_reified_axiom": ("id", *STATEMENT),
    "owl_complex_axiom": ("subject", "predicate", "object"),
    "owl_equivalent_to_intersection_member": ("stanza", "subject", "object", "predicate"),
    "relation_graph_construct": ("subject", "predicate", "object"),
    "entailed_type_edge": ("subject", "predicate", "object"),
    "subgraph_query": _ANCHORED,
    "orcid": ("id", "label"),
    "repair_action": ("subject", "description"),
    "problem": ("subject", "predicate", "value"),
    "lexical_problem": ("subject", "predicate", "value"),
    "property_used_with_datatype_values_and_objects": ("subject", "predicate", "value"),
    "node_with_two_labels_problem": ("label1", "label2", "subject", "predicate", "value"),
    "term_association": (
        *("id", "subject", "predicate", "object", "evidence_type", "publication", "source"),
    ),
}
"""What OLS gives nothing for, by the columns that semantic-sql has."""
_SYNONYMS = tuple(f"has_{scope}_synonym_statement" for scope in SCOPES)
_MATCHES = tuple(f"has_{relation}_match_statement" for relation in RELATIONS)
_STATED = (
    *("rdf_type_statement", "rdfs_label_statement", "other_label_statement"),
    *("has_text_definition_statement", *_SYNONYMS, "has_dbxref_statement", *_MATCHES),
    *("rdfs_subclass_of_statement", "restriction_statement", "obsolescence_statement"),
    *(f"{column}_statement" for column in NAMED),
    *("gwas_trait_statement", "ontology_statement"),
)
"""The views that all statements are in, each in one."""
_OVER_OTHERS = (
    "node_to_node_statement",
    "node_to_value_statement",
    "rdfs_subclass_of_named_statement",
    "class_node",
    "object_property_node",
    "transitive_property_node",
    "annotation_property_node",
    "blank_node",
    "iri_node",
    "node",
    "node_identifier",
    "anonymous_expression",
    "anonymous_class_expression",
    "deprecated_node",
    "owl_some_values_from",
    "owl_restriction",
    "owl_subclass_of_some_values_from",
    "owl_axiom",
    "axiom_dbxref_annotation",
    "entailed_subclass_of_edge",
    "entailed_edge_cycle",
    "entailed_edge_same_predicate_cycle",
    "transitive_edge",
    "subgraph_edge_by_ancestor",
    "subgraph_edge_by_descendant",
    "subgraph_edge_by_parent",
    "subgraph_edge_by_child",
    "subgraph_edge_by_self",
    "subgraph_edge_by_ancestor_or_descendant",
    "count_of_predicates",
    "count_of_instantiated_classes",
    "count_of_subclasses",
    "trailing_whitespace_problem",
    "all_problems",
)
"""Views over views."""

_log = logger(__name__)


def beside(schema: str) -> str:
    """The schema of the views over a published schema."""
    return SEMSQL if schema == PUBLIC else f"{schema}_{SEMSQL}"


def stands(connection: Connection, schema: Schema) -> bool:
    """Whether the tables of the views are there."""
    return connection.has_table(f'"{beside(schema)}"."relation_paths"')


def renew(connection: Connection, schema: Schema) -> None:
    """Bring the tables up to date with the published ones.

    Raises:
        PublicationRefused: somebody changed them.
    """
    try:
        for name, table in _tables(schema).items():
            place, comment = (beside(schema), name), sql.Literal(table.comment(connection))
            connection.execute(table.query)
            connection.execute(compose("analyze {}", place))
            connection.execute(compose("comment on table {} is {}", place, comment))
    except psycopg.ProgrammingError as error:
        raise PublicationRefused(
            f"The tables of SemSQL in schema {beside(schema)} can't be renewed "
            f"({error.diag.message_primary}): somebody changed them, and they would be of another "
            "release than the published tables. Nothing was published, and the last release "
            f"stays; `drop schema {beside(schema)} cascade` and run `{LOAD_COMMAND}` again, which "
            "makes them anew where EFO_SEMSQL is on."
        ) from error


def _tables(schema: Schema) -> dict[str, ExtraView]:
    """What renews each table; of another definition, it has to be renewed."""
    parts = _parts(schema)
    return {name: ExtraView(told, statement(name, **parts)) for name, told in _TABLES.items()}


def keep(connect: Callable[[], Connection], schema: Schema) -> None:
    """Make the tables and views, or make views again, where they aren't as they should be."""
    what = f"the views of SemSQL in schema {beside(schema)}"
    extras.keep(what, connect, lambda connection: _make(connection, schema))


def follow(connection: Connection, schema: Schema) -> None:
    """Let go of what gave ancestors until now, so that it can be dropped."""
    view = "entailed_edge"
    extras.make(connection, beside(schema), {view: _views(schema)[view]})


def _make(connection: Connection, schema: Schema) -> list[str]:
    name, views = beside(schema), _views(schema)
    connection.execute(statement("semsql_lock", schema=sql.Literal(schema)))
    changed = extras.differing(connection, name, views)
    are_tables_due = bool(extras.differing(connection, name, _tables(schema)))
    is_any_due = changed or are_tables_due
    if is_any_due and (obstacles := extras.obstacles(connection, name, [*views, *_TABLES])):
        return obstacles
    if are_tables_due:
        connection.execute(statement("bulk_session"))
        if connection.row("select to_regnamespace(quote_ident(%s))", [name]) == (None,):
            connection.execute(compose("create schema {}", name))
        if not stands(connection, schema):
            connection.execute(statement("semsql_tables", **_parts(schema)))
        renew(connection, schema)
    extras.make(connection, name, changed)
    read = [*(table.staged_name for table in _READ), ANCESTORS, "release"]
    values = {"schema": schema, "semsql": name, "read": [schema.prefix + each for each in read]}
    for (grant,) in connection.execute(statement("semsql_grants"), values).fetchall():
        connection.execute(grant)
    if changed:
        _log.info("%d views of SemSQL are made in schema %s", len(changed), name)
    return []


def _parts(schema: Schema) -> dict[str, sql.Composable]:
    return {
        **schema.parts,
        "semsql": sql.Identifier(beside(schema)),
        "blank": statement("semsql_blank"),
        "contracted": _contracted("p.predicate"),
        "contracted_term": _contracted("t.iri"),
        "labels": sql.Literal(json.dumps(RELATION_LABELS)),
        "transitive": sql.Literal(list(TRANSITIVE)),
        "annotation_properties": _values(ANNOTATION_PROPERTIES),
    }


def _views(schema: Schema) -> dict[str, ExtraView]:
    """Every view, in the order in which they can be made, with purpose and query."""
    parts = _parts(schema)
    found = _contracted("f.found")
    rows = {
        name: statement(name, **parts)
        for name in (
            *("rdf_type_statement", "rdfs_label_statement", "other_label_statement"),
            *("has_text_definition_statement", "has_dbxref_statement"),
            *("rdfs_subclass_of_statement", "restriction_statement", "obsolescence_statement"),
            *("gwas_trait_statement", "ontology_statement"),
        )
    }
    for name, (scope, predicate) in zip(_SYNONYMS, SCOPES.items(), strict=True):
        literals = {"scope": sql.Literal(scope), "predicate": sql.Literal(predicate)}
        rows[name] = statement("semsql_synonym_statement", **parts, **literals)
    for name, (relation, predicate) in zip(_MATCHES, RELATIONS.items(), strict=True):
        literals = {"relation": sql.Literal(relation), "predicate": sql.Literal(predicate)}
        match = {**parts, **literals, "contracted": found}
        rows[name] = statement("semsql_match_statement", **match)
    for column, predicate in NAMED.items():
        identifier = sql.Identifier(column)
        named = {**parts, "predicate": sql.Literal(predicate), "column": identifier}
        named["contracted"] = _contracted("v.found")
        rows[f"{column}_statement"] = statement("semsql_named_statement", **named)
    queries = {"ontology_node": statement("semsql_ontology_node", **parts)}
    queries |= {name: statement("semsql_statement", rows=rows[name]) for name in _STATED}
    queries["statements"] = _united(parts, _STATED)
    queries["has_synonym_statement"] = _united(parts, _SYNONYMS)
    queries["has_oio_synonym_statement"] = _united(parts, ("has_synonym_statement",))
    queries["has_match_statement"] = _united(parts, _MATCHES)
    mapped = ("has_match_statement", "has_dbxref_statement")
    queries["has_mapping_statement"] = _united(parts, mapped)
    queries["edge"] = statement("semsql_edge", **parts)
    queries["entailed_edge"] = statement("semsql_entailed_edge", **parts)
    queries["prefix"] = statement("semsql_prefix", **parts, prefixes=_values(PREFIXES))
    queries["owl_axiom_annotation"] = statement(
        "semsql_owl_axiom_annotation",
        **parts,
        scopes=_values(SCOPES),
        contracted_type=_contracted("v.type"),
    )
    queries |= {name: statement(name, **parts) for name in _OVER_OTHERS}
    numbers = dict.fromkeys(("rdf_level_summary_statistic",), ("element", "count_value"))
    for name, columns in {**_EMPTY, **numbers}.items():
        types = ("bigint" if column == "count_value" else "text" for column in columns)
        nulls = listing(
            compose("null::{type} as {}", column, type=sql.SQL(type_))
            for column, type_ in zip(columns, types, strict=True)
        )
        queries[name] = compose("select {} where false", nulls)
    return {name: ExtraView(f"SemSQL's {name}.", query) for name, query in queries.items()}


def _united(parts: Mapping[str, sql.Composable], names: Sequence[str]) -> sql.Composed:
    arms = (compose("select * from {semsql}.{}", name, **parts) for name in names)
    return sql.SQL(" union all ").join(arms)


def _values(rows: Mapping[str, str]) -> sql.Composable:
    """Rows of two texts for VALUES."""
    return listing(
        compose("({}::text, {}::text)", sql.Literal(first), sql.Literal(second))
        for first, second in rows.items()
    )


def _contracted(iri: str) -> sql.Composable:
    """An expression for the CURIE of an IRI, or the IRI in brackets where no prefix is its own."""
    obo = "http://purl[.]obolibrary[.]org/obo/([A-Za-z]+)_([A-Za-z0-9]+)"
    arms = [
        compose(
            "when {iri} ~ {} then regexp_replace({iri}, {}, {})",
            *map(sql.Literal, (f"^{obo}$", obo, r"\1:\2")),
            iri=sql.SQL(iri),
        )
    ]
    arms += [
        compose(
            "when starts_with({iri}, {}) then {} || substr({iri}, {})",
            *map(sql.Literal, (base, f"{prefix}:", len(base) + 1)),
            iri=sql.SQL(iri),
        )
        for prefix, base in sorted(PREFIXES.items(), key=lambda each: -len(each[1]))
    ]
    return compose(
        "case {} else '<' || {iri} || '>' end", sql.SQL(" ").join(arms), iri=sql.SQL(iri)
    )
