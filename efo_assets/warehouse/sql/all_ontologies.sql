-- name: ols_lock
-- Two first publications at once: the second one sees what the first one published.
set local lock_timeout = '30s';
select pg_advisory_xact_lock(hashtext('efo_assets views over all ontologies'));
-- Readers that come queue behind us where a reader that was there keeps us waiting.
set local lock_timeout = '2s'

-- name: ols_schemas
-- Every schema that was ever published into, with the columns of what stands there.
with known as (
    select distinct on (r.target_schema) r.target_schema as schema, r.ontology
    from efo_meta.releases as r
    order by r.target_schema, r.release_id desc
),

relations as (
    select n.nspname, c.relname, array_agg(a.attname) as columns
    from known as k
    join pg_namespace as n on n.nspname = k.schema
    join pg_class as c on c.relnamespace = n.oid
    join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    where
        c.relkind in ('r', 'p', 'v')
        and c.relname = any(%(names)s)
        and has_schema_privilege(n.oid, 'USAGE')
    group by n.nspname, c.relname
)

select
    k.schema,
    k.ontology,
    coalesce(
        jsonb_object_agg(r.relname, to_jsonb(r.columns)) filter (where r.relname is not null), '{{}}'
    )
from known as k
left join relations as r on r.nspname = k.schema
group by k.schema, k.ontology
order by k.schema collate "C"

-- name: ols_mappings
with spelled as materialized (
    select {prefixes}::jsonb as prefixes, {spellings}::jsonb as spellings
),

-- Not materialized, so that a term that is sought is found by the indexes.
named as not materialized (
    select
        s.ontology as subject_ontology,
        s.schema as subject_schema,
        s.iri as subject_iri,
        s.curie as subject_curie,
        s.label as subject_label,
        o.ontology as object_ontology,
        o.schema as object_schema,
        o.iri as object_iri,
        o.curie as object_curie,
        o.label as object_label,
        x.relation
    from ols.xrefs as x
    join ols.terms as s on s.schema = x.schema and s.id = x.term_id
    join ols.terms as o
        -- One of the two has an index, on whichever side the search begins.
        on lower(translate(o.curie, '_', ':') collate "C") = any(
            string_to_array(
                lower(
                    translate(
                        replace(
                            coalesce(
                                (select spelled.spellings from spelled) ->> x.prefix,
                                x.prefix || chr(10)
                            ),
                            chr(10),
                            ':' || x.accession || chr(10)
                        ),
                        '_',
                        ':'
                    ) collate "C"
                ),
                chr(10)
            )
        )
        and x.prefix = coalesce(
            (select spelled.prefixes from spelled) ->> lower(split_part(o.curie, ':', 1)),
            lower(split_part(o.curie, ':', 1))
        )
        and x.accession = substr(o.curie, strpos(o.curie, ':') + 1)
    where
        x.schema <> o.schema and s.iri <> o.iri
        and not s.is_obsolete and s.removed_in is null
        and not o.is_obsolete and o.removed_in is null
),

stated as (
    select n.*, 'subject' as via
    from named as n
    union all
    select
        n.object_ontology,
        n.object_schema,
        n.object_iri,
        n.object_curie,
        n.object_label,
        n.subject_ontology,
        n.subject_schema,
        n.subject_iri,
        n.subject_curie,
        n.subject_label,
        -- Seen from the other end.
        case n.relation when 'narrow' then 'broad' when 'broad' then 'narrow' else n.relation end,
        'object'
    from named as n
)

select
    m.subject_ontology,
    m.subject_schema,
    m.subject_iri,
    m.subject_curie,
    m.subject_label,
    m.object_ontology,
    m.object_schema,
    m.object_iri,
    m.object_curie,
    m.object_label,
    ({strengths})[min(array_position({strengths}, m.relation))] as relation,
    case when count(distinct m.via) = 2 then 'both' else min(m.via) end as via,
    count(distinct m.via) = 2 as is_mutual
from stated as m
group by 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
