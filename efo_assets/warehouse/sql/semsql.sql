-- name: semsql_lock
-- No publication into the schema meanwhile; readers that come queue behind us where a reader that
-- was there keeps us waiting.
set local lock_timeout = '30s';
select pg_advisory_xact_lock(hashtext('efo_assets publisher'), hashtext({schema}));
set local lock_timeout = '2s'

-- name: semsql_tables
-- What views can't answer by an index of the published tables: the id that SemSQL has for a term,
-- and ways over other relations than is_a.
create table {semsql}.term_nodes (
    term_id bigint not null primary key,
    id text collate "C" not null
);
create index term_nodes_id_idx on {semsql}.term_nodes (id);
create table {semsql}.relation_ids (
    predicate text collate "C" not null primary key,
    id text collate "C" not null,
    label text collate "C",
    is_transitive boolean not null
);
create table {semsql}.relation_paths (
    source_id bigint not null,
    relation text collate "C" not null,
    target_id bigint not null,
    is_stated boolean not null,
    primary key (source_id, relation, target_id)
);
create index relation_paths_target_idx on {semsql}.relation_paths (target_id, relation);
create index relation_paths_blank_idx on {semsql}.relation_paths (({blank}))
where is_stated and relation <> 'rdfs:subClassOf'

-- name: term_nodes
-- No two nodes have one id: of classes that share a CURIE, one has it.
with now as materialized (
    select
        t.term_id,
        case
            when row_number() over (
                partition by t.id order by t.is_made, t.is_obsolete, not t.is_defining, t.iri
            ) = 1 then t.id
            else '<' || t.iri || '>'
        end as id
    from (
        select
            t.id as term_id,
            coalesce(t.curie, {contracted_term}) collate "C" as id,
            t.curie is null as is_made,
            t.is_obsolete,
            t.is_defining,
            t.iri collate "C" as iri
        from {schema}.{prefix}terms as t
        where t.removed_in is null
    ) as t
),

gone as (
    delete from {semsql}.term_nodes as n
    where not exists (select from now as w where w.term_id = n.term_id)
)

insert into {semsql}.term_nodes as n (term_id, id)
select w.term_id, w.id
from now as w
on conflict (term_id) do update set id = excluded.id
where n.id <> excluded.id

-- name: relation_ids
with now as materialized (
    select
        p.predicate,
        case
            when p.predicate in ('is_a', 'is_a_implied') then 'rdfs:subClassOf'
            when p.predicate = 'part_of' then 'BFO:0000050'
            when p.predicate = 'develops_from' then 'RO:0002202'
            else {contracted}
        end collate "C" as id
    from (select distinct e.predicate from {schema}.{prefix}parent_edges as e) as p
),

gone as (
    delete from {semsql}.relation_ids as r
    where not exists (select from now as n where n.predicate = r.predicate)
)

insert into {semsql}.relation_ids as r (predicate, id, label, is_transitive)
select n.predicate, n.id, {labels}::jsonb ->> n.id, n.id = any({transitive}::text[])
from now as n
on conflict (predicate) do update
set id = excluded.id, label = excluded.label, is_transitive = excluded.is_transitive
where (r.id, r.label, r.is_transitive)
    is distinct from (excluded.id, excluded.label, excluded.is_transitive)

-- name: relation_paths
-- From the child of one edge to the parent of another, over one relation and any number of is_a
-- between; what is below the one and above the other comes with is_a, so that it isn't kept.
with recursive hops as materialized (
    select e.child_id, r.id as relation, r.is_transitive, e.parent_id
    from {schema}.{prefix}parent_edges as e
    join {semsql}.relation_ids as r on r.predicate = e.predicate
    where e.predicate <> 'is_a'
),

next_hops as materialized (
    select p.parent_id, h.child_id, h.relation, h.is_transitive, h.parent_id as next_parent_id
    from (select distinct h.parent_id from hops as h) as p
    cross join lateral (
        select p.parent_id as id
        union all
        select a.ancestor_id
        from {schema}.{prefix}ancestors as a
        where a.term_id = p.parent_id and a.is_a_distance is not null
    ) as above
    join hops as h on h.child_id = above.id
),

paths as (
    select h.child_id as source_id, h.relation, h.parent_id as target_id
    from hops as h
    union
    select
        p.source_id,
        case p.relation when 'rdfs:subClassOf' then n.relation else p.relation end,
        n.next_parent_id
    from paths as p
    join next_hops as n on n.parent_id = p.target_id
    where 'rdfs:subClassOf' in (p.relation, n.relation)
        or (p.relation = n.relation and n.is_transitive)
),

now as materialized (
    select
        p.*,
        exists (
            select
            from hops as h
            where h.child_id = p.source_id
                and h.relation = p.relation
                and h.parent_id = p.target_id
        ) as is_stated
    from paths as p
),

gone as (
    delete from {semsql}.relation_paths as p
    where not exists (
        select
        from now as n
        where n.source_id = p.source_id and n.relation = p.relation and n.target_id = p.target_id
    )
)

insert into {semsql}.relation_paths as p (source_id, relation, target_id, is_stated)
select n.source_id, n.relation, n.target_id, n.is_stated
from now as n
on conflict (source_id, relation, target_id) do update set is_stated = excluded.is_stated
where p.is_stated <> excluded.is_stated

-- name: semsql_blank
'_:' || source_id::text || '-' || target_id::text || '-' || relation

-- name: semsql_statement
-- A view of SemSQL's statements, from five of their columns.
select
    s.subject as stanza,
    s.subject,
    s.predicate,
    s.object,
    s.value,
    s.datatype,
    null::text as language,
    null::text as graph
from (
    {rows}
) as s

-- name: rdf_type_statement
select n.id as subject, 'rdf:type' as predicate, 'owl:Class' as object, null::text as value, null::text as datatype
from {semsql}.term_nodes as n
union all
select r.id, 'rdf:type', t.type, null, null
from (select distinct r.id, r.is_transitive from {semsql}.relation_ids as r) as r
cross join lateral (
    values ('owl:ObjectProperty'), (case when r.is_transitive then 'owl:TransitiveProperty' end)
) as t (type)
where r.id <> 'rdfs:subClassOf' and t.type is not null
union all
select p.id, 'rdf:type', 'owl:AnnotationProperty', null, null
from (values {annotation_properties}) as p (id, label)
union all
select o.id, 'rdf:type', 'owl:Ontology', null, null
from {semsql}.ontology_node as o
union all
select {blank}, 'rdf:type', 'owl:Restriction', null, null
from {semsql}.relation_paths
where is_stated and relation <> 'rdfs:subClassOf'

-- name: rdfs_label_statement
select n.id as subject, 'rdfs:label' as predicate, null::text as object, t.label as value, 'xsd:string' as datatype
from {semsql}.term_nodes as n
join {schema}.{prefix}terms as t on t.id = n.term_id
union all
select distinct r.id, 'rdfs:label', null, r.label, 'xsd:string'
from {semsql}.relation_ids as r
where r.label is not null
union all
select p.id, 'rdfs:label', null, p.label, 'xsd:string'
from (values {annotation_properties}) as p (id, label)

-- name: other_label_statement
select n.id as subject, 'skos:altLabel' as predicate, null::text as object, o.label as value, 'xsd:string' as datatype
from {semsql}.term_nodes as n
join {schema}.{prefix}terms as t on t.id = n.term_id
cross join lateral unnest(t.other_labels) as o (label)
where t.other_labels <> '{{}}'

-- name: has_text_definition_statement
select n.id as subject, 'IAO:0000115' as predicate, null::text as object, t.definition as value, 'xsd:string' as datatype
from {semsql}.term_nodes as n
join {schema}.{prefix}terms as t on t.id = n.term_id
where t.definition is not null
union all
select n.id, 'IAO:0000115', null, o.definition, 'xsd:string'
from {semsql}.term_nodes as n
join {schema}.{prefix}terms as t on t.id = n.term_id
cross join lateral unnest(t.other_definitions) as o (definition)
where t.other_definitions <> '{{}}'

-- name: semsql_synonym_statement
select n.id as subject, {predicate} as predicate, null::text as object, s.synonym as value, 'xsd:string' as datatype
from {semsql}.term_nodes as n
join {schema}.{prefix}synonyms as s on s.term_id = n.term_id
where s.scope = {scope}

-- name: has_dbxref_statement
-- A value that holds several references is in a row for each.
select distinct n.id as subject, 'oio:hasDbXref' as predicate, null::text as object, f.found as value, 'xsd:string' as datatype
from {semsql}.term_nodes as n
join {schema}.{prefix}xrefs as x on x.term_id = n.term_id
cross join lateral unnest(x.found) as f (found)
where x.relation = 'xref' or f.found !~ '^https?://'

-- name: semsql_match_statement
select distinct
    n.id as subject,
    {predicate} as predicate,
    case when f.found ~ '^https?://' then {contracted} else f.found end as object,
    null::text as value,
    null::text as datatype
from {semsql}.term_nodes as n
join {schema}.{prefix}xrefs as x on x.term_id = n.term_id
cross join lateral unnest(x.found) as f (found)
where x.relation = {relation}

-- name: rdfs_subclass_of_statement
select s.id as subject, 'rdfs:subClassOf' as predicate, o.id as object, null::text as value, null::text as datatype
from {semsql}.term_nodes as s
join {schema}.{prefix}parent_edges as e on e.child_id = s.term_id
join {semsql}.term_nodes as o on o.term_id = e.parent_id
where e.predicate in ('is_a', 'is_a_implied')
union all
select n.id, 'rdfs:subClassOf', {blank}, null, null
from {semsql}.relation_paths
join {semsql}.term_nodes as n on n.term_id = source_id
where is_stated and relation <> 'rdfs:subClassOf'

-- name: restriction_statement
select {blank} as subject, 'owl:onProperty' as predicate, relation as object, null::text as value, null::text as datatype
from {semsql}.relation_paths
where is_stated and relation <> 'rdfs:subClassOf'
union all
select {blank}, 'owl:someValuesFrom', n.id, null, null
from {semsql}.relation_paths
join {semsql}.term_nodes as n on n.term_id = target_id
where is_stated and relation <> 'rdfs:subClassOf'

-- name: obsolescence_statement
select n.id as subject, 'owl:deprecated' as predicate, null::text as object, 'true' as value, 'xsd:boolean' as datatype
from {semsql}.term_nodes as n
join {schema}.{prefix}terms as t on t.id = n.term_id
where t.is_obsolete
union all
select n.id, '<http://www.ebi.ac.uk/efo/obsoleted_in_version>', null, t.obsoleted_in, 'xsd:string'
from {semsql}.term_nodes as n
join {schema}.{prefix}terms as t on t.id = n.term_id
where t.obsoleted_in is not null
union all
select n.id, '<http://www.ebi.ac.uk/efo/reason_for_obsolescence>', null, t.obsolescence_reason, 'xsd:string'
from {semsql}.term_nodes as n
join {schema}.{prefix}terms as t on t.id = n.term_id
where t.obsolescence_reason is not null

-- name: semsql_named_statement
-- An annotation whose values are IRIs, or texts that name a class in another way.
select
    n.id as subject,
    {predicate} as predicate,
    case when v.found ~ '^https?://' then coalesce(o.id, {contracted}) end as object,
    case when v.found !~ '^https?://' then v.found end as value,
    case when v.found !~ '^https?://' then 'xsd:string' end as datatype
from {semsql}.term_nodes as n
join {schema}.{prefix}terms as t on t.id = n.term_id
cross join lateral unnest(t.{column}) as v (found)
left join {schema}.{prefix}terms as named on named.iri = v.found
left join {semsql}.term_nodes as o on o.term_id = named.id
where t.{column} <> '{{}}'

-- name: gwas_trait_statement
select n.id as subject, '<http://www.ebi.ac.uk/efo/gwas_trait>' as predicate, null::text as object, 'true' as value, 'xsd:boolean' as datatype
from {semsql}.term_nodes as n
join {schema}.{prefix}terms as t on t.id = n.term_id
where t.is_gwas_trait

-- name: ontology_statement
select o.id as subject, 'owl:versionInfo' as predicate, null::text as object, r.version as value, 'xsd:string' as datatype
from {semsql}.ontology_node as o
join {schema}.{prefix}release as r on r.is_current
where r.version is not null
union all
select o.id, 'owl:versionIRI', '<' || r.version_iri || '>', null, null
from {semsql}.ontology_node as o
join {schema}.{prefix}release as r on r.is_current
where r.version_iri is not null

-- name: semsql_ontology_node
-- OLS's id of an ontology makes its IRI by the convention of OBO; EFO has another.
select case r.ontology when 'efo' then '<http://www.ebi.ac.uk/efo/efo.owl>' else 'obo:' || r.ontology || '.owl' end as id
from {schema}.{prefix}release as r
where r.is_current

-- name: semsql_edge
select s.id as subject, r.id as predicate, o.id as object
from {schema}.{prefix}parent_edges as e
join {semsql}.relation_ids as r on r.predicate = e.predicate
join {semsql}.term_nodes as s on s.term_id = e.child_id
join {semsql}.term_nodes as o on o.term_id = e.parent_id

-- name: semsql_entailed_edge
select n.id as subject, 'rdfs:subClassOf' as predicate, n.id as object
from {semsql}.term_nodes as n
union all
select s.id, 'rdfs:subClassOf', o.id
from {semsql}.term_nodes as s
join {schema}.{prefix}ancestors as a on a.term_id = s.term_id
join {semsql}.term_nodes as o on o.term_id = a.ancestor_id
where a.is_a_distance is not null
union all
-- A way leads from what is below its source to what is above its target. Each end is a join of its
-- own, since PostgreSQL takes no condition into a union some of which has one already.
select distinct w.subject, w.predicate, w.object
from (
    select
        s.id as subject,
        p.relation as predicate,
        o.id as object,
        s.term_id as subject_id,
        o.term_id as object_id
    from {semsql}.relation_paths as p
    join {semsql}.term_nodes as s on s.term_id = p.source_id
    join {semsql}.term_nodes as o on o.term_id = p.target_id
    union all
    select
        s.id,
        p.relation,
        o.id,
        s.term_id,
        o.term_id
    from {semsql}.relation_paths as p
    join {schema}.{prefix}ancestors as below
        on below.ancestor_id = p.source_id and below.is_a_distance is not null
    join {semsql}.term_nodes as s on s.term_id = below.term_id
    join {semsql}.term_nodes as o on o.term_id = p.target_id
    union all
    select
        s.id,
        p.relation,
        o.id,
        s.term_id,
        o.term_id
    from {semsql}.relation_paths as p
    join {semsql}.term_nodes as s on s.term_id = p.source_id
    join {schema}.{prefix}ancestors as above
        on above.term_id = p.target_id and above.is_a_distance is not null
    join {semsql}.term_nodes as o on o.term_id = above.ancestor_id
    union all
    select
        s.id,
        p.relation,
        o.id,
        s.term_id,
        o.term_id
    from {semsql}.relation_paths as p
    join {schema}.{prefix}ancestors as below
        on below.ancestor_id = p.source_id and below.is_a_distance is not null
    join {semsql}.term_nodes as s on s.term_id = below.term_id
    join {schema}.{prefix}ancestors as above
        on above.term_id = p.target_id and above.is_a_distance is not null
    join {semsql}.term_nodes as o on o.term_id = above.ancestor_id
) as w
-- Those over is_a alone are among the ancestors, but for what is implied.
where w.predicate <> 'rdfs:subClassOf' or (
    w.subject_id <> w.object_id
    and (
        select a.is_a_distance
        from {schema}.{prefix}ancestors as a
        where a.term_id = w.subject_id and a.ancestor_id = w.object_id
    ) is null
)

-- name: semsql_prefix
select distinct on (p.prefix) p.prefix, p.base
from (
    select
        split_part(t.curie, ':', 1) as prefix,
        left(t.iri, length(t.iri) - length(t.curie) + strpos(t.curie, ':')) as base,
        count(*) as terms
    from {schema}.{prefix}terms as t
    where t.removed_in is null
        and strpos(t.curie, ':') > 1
        and right(t.iri, length(t.curie) - strpos(t.curie, ':'))
            = substr(t.curie, strpos(t.curie, ':') + 1)
    group by 1, 2
    union all
    select k.prefix, k.base, 0
    from (values {prefixes}) as k (prefix, base)
) as p
order by p.prefix, p.terms desc, p.base

-- name: semsql_owl_axiom_annotation
-- Who states a synonym or a cross reference, and of what type a synonym is.
select
    n.id as stanza,
    n.id as subject,
    p.predicate,
    null::text as object,
    s.synonym as value,
    'xsd:string' as datatype,
    null::text as language,
    '_:synonym-' || s.term_id::text || '-' || md5(s.scope || ' ' || s.synonym) as id,
    '_:synonym-' || s.term_id::text || '-' || md5(s.scope || ' ' || s.synonym) as annotation_subject,
    a.predicate as annotation_predicate,
    a.object as annotation_object,
    a.value as annotation_value,
    null::text as annotation_language,
    case when a.value is not null then 'xsd:string' end as annotation_datatype
from {semsql}.term_nodes as n
join {schema}.{prefix}synonyms as s on s.term_id = n.term_id
join (values {scopes}) as p (scope, predicate) on p.scope = s.scope
cross join lateral (
    select 'oio:hasDbXref', null::text, u.source
    from unnest(s.sources) as u (source)
    union all
    select 'oio:hasSynonymType', {contracted_type}, null
    from unnest(array_append(s.other_types, s.type)) as v (type)
    where v.type is not null
) as a (predicate, object, value)
union all
select distinct
    n.id,
    n.id,
    'oio:hasDbXref',
    null,
    f.found,
    'xsd:string',
    null,
    '_:xref-' || x.term_id::text || '-' || md5(f.found),
    '_:xref-' || x.term_id::text || '-' || md5(f.found),
    'oio:source',
    null,
    u.source,
    null,
    'xsd:string'
from {semsql}.term_nodes as n
join {schema}.{prefix}xrefs as x on x.term_id = n.term_id
cross join lateral unnest(x.found) as f (found)
cross join lateral unnest(x.sources) as u (source)
where x.relation = 'xref' or f.found !~ '^https?://'

-- name: node_to_node_statement
select *
from {semsql}.statements
where object is not null

-- name: node_to_value_statement
select *
from {semsql}.statements
where value is not null

-- name: rdfs_subclass_of_named_statement
select *
from {semsql}.rdfs_subclass_of_statement
where object not like '\_:%'

-- name: class_node
select n.id
from {semsql}.term_nodes as n

-- name: object_property_node
select distinct r.id
from {semsql}.relation_ids as r
where r.id <> 'rdfs:subClassOf'

-- name: transitive_property_node
select distinct r.id
from {semsql}.relation_ids as r
where r.is_transitive

-- name: annotation_property_node
select p.id
from (values {annotation_properties}) as p (id, label)

-- name: blank_node
select {blank} as id
from {semsql}.relation_paths
where is_stated and relation <> 'rdfs:subClassOf'

-- name: iri_node
select id from {semsql}.class_node
union all
select id from {semsql}.object_property_node
union all
select id from {semsql}.annotation_property_node
union all
select id
from {semsql}.ontology_node

-- name: node
select id from {semsql}.iri_node
union all
select id
from {semsql}.blank_node

-- name: node_identifier
select
    n.id,
    left(n.id, strpos(n.id, ':') - 1) as prefix,
    substr(n.id, strpos(n.id, ':') + 1) as local_identifier
from {semsql}.node as n
where strpos(n.id, ':') > 0

-- name: anonymous_expression
select id
from {semsql}.blank_node

-- name: anonymous_class_expression
select id
from {semsql}.blank_node

-- name: deprecated_node
select n.id
from {semsql}.term_nodes as n
join {schema}.{prefix}terms as t on t.id = n.term_id
where t.is_obsolete

-- name: owl_some_values_from
select {blank} as id, relation as on_property, n.id as filler
from {semsql}.relation_paths
join {semsql}.term_nodes as n on n.term_id = target_id
where is_stated and relation <> 'rdfs:subClassOf'

-- name: owl_restriction
select on_property, filler, id
from {semsql}.owl_some_values_from

-- name: owl_subclass_of_some_values_from
select e.subject as stanza, e.subject, e.predicate, e.object
from {semsql}.edge as e
where e.predicate <> 'rdfs:subClassOf'

-- name: owl_axiom
select null::text as id, s.*
from {semsql}.statements as s

-- name: axiom_dbxref_annotation
select *
from {semsql}.owl_axiom_annotation
where annotation_predicate = 'oio:hasDbXref'

-- name: entailed_subclass_of_edge
select *
from {semsql}.entailed_edge
where predicate = 'rdfs:subClassOf'

-- name: entailed_edge_cycle
select e.*, b.predicate as secondary_predicate
from {semsql}.entailed_edge as e
join {semsql}.entailed_edge as b on b.subject = e.object and b.object = e.subject

-- name: entailed_edge_same_predicate_cycle
select *
from {semsql}.entailed_edge_cycle
where predicate = secondary_predicate

-- name: transitive_edge
with recursive walk as (
    select e.subject, e.predicate, e.object, 1 as depth
    from {semsql}.edge as e
    union all
    select e.subject, e.predicate, w.object, w.depth + 1
    from {semsql}.edge as e
    join walk as w on w.subject = e.object and w.predicate = e.predicate
    -- Relations other than is_a may go in circles.
    where w.depth < 100
)

select w.*
from walk as w

-- name: subgraph_edge_by_ancestor
select e.*, a.predicate as anchor_predicate, a.object as anchor_object
from {semsql}.edge as e
join {semsql}.entailed_edge as a on e.subject = a.subject

-- name: subgraph_edge_by_descendant
select e.*, a.predicate as anchor_predicate, a.subject as anchor_object
from {semsql}.edge as e
join {semsql}.entailed_edge as a on e.subject = a.object

-- name: subgraph_edge_by_parent
select e.*, a.predicate as anchor_predicate, a.object as anchor_object
from {semsql}.edge as e
join {semsql}.edge as a on e.subject = a.subject

-- name: subgraph_edge_by_child
select e.*, a.predicate as anchor_predicate, a.subject as anchor_object
from {semsql}.edge as e
join {semsql}.edge as a on e.subject = a.object

-- name: subgraph_edge_by_self
select e.*, e.predicate as anchor_predicate, e.subject as anchor_object
from {semsql}.edge as e

-- name: subgraph_edge_by_ancestor_or_descendant
select *
from {semsql}.subgraph_edge_by_ancestor
union
select *
from {semsql}.subgraph_edge_by_descendant

-- name: count_of_predicates
select predicate as element, count(*) as count_value
from {semsql}.statements
group by predicate

-- name: count_of_instantiated_classes
select object as element, count(*) as count_value
from {semsql}.rdf_type_statement
group by object

-- name: count_of_subclasses
select object as element, count(distinct subject) as count_value
from {semsql}.rdfs_subclass_of_statement
group by object

-- name: trailing_whitespace_problem
select subject, predicate, value
from {semsql}.statements
where value like ' %' or value like '% '

-- name: all_problems
select *
from {semsql}.trailing_whitespace_problem

-- name: semsql_grants
-- Who may read all that the views read may read them.
with read as (
    select c.*
    from pg_class as c
    where c.relnamespace = to_regnamespace(quote_ident(%(schema)s))
        and c.relname = any(%(read)s::text[])
),

readers as (
    select a.grantee
    from read as r
    cross join lateral aclexplode(r.relacl) as a
    where a.privilege_type = 'SELECT' and a.grantee <> r.relowner
    group by a.grantee
    having count(distinct r.oid) = cardinality(%(read)s::text[])
)

select format(
    'grant usage on schema %%1$I to %%2$s; grant select on all tables in schema %%1$I to %%2$s',
    %(semsql)s::text,
    case r.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(r.grantee)) end
)
from readers as r
where exists (
    select
    from pg_class as c
    where c.relnamespace = to_regnamespace(quote_ident(%(semsql)s))
        and c.relkind in ('r', 'v')
        and not coalesce(
            (
                select bool_or(a.grantee = r.grantee and a.privilege_type = 'SELECT')
                from aclexplode(c.relacl) as a
            ),
            false
        )
)
