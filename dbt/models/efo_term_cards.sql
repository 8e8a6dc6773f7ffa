{{ config(indexes=[{'columns': ['iri'], 'unique': true}, {'columns': ['curie']}]) }}

-- dagster-dbt makes checks of the tests of those sources alone that a model reads.
-- depends_on: {{ source('efo', 'efo_ancestors') }}, {{ source('efo', 'efo_changes') }},
-- {{ source('efo', 'efo_mesh_terms') }}, {{ source('efo', 'efo_replacements') }}
with current_terms as (
    select *
    from {{ source('efo', 'efo_terms') }}
    where not is_obsolete and removed_in is null
),

synonyms as (
    select
        term_id,
        array_agg(synonym order by synonym collate "C") filter (where scope = 'exact') as exact,
        array_agg(synonym order by synonym collate "C") filter (where scope = 'related') as related,
        array_agg(synonym order by synonym collate "C") filter (where scope = 'narrow') as narrow,
        array_agg(synonym order by synonym collate "C") filter (where scope = 'broad') as broad
    from {{ source('efo', 'efo_synonyms') }}
    group by term_id
),

parents as (
    select
        e.child_id,
        array_agg(p.iri order by p.iri collate "C") as iris,
        array_agg(p.curie order by p.iri collate "C") as curies,
        array_agg(p.label order by p.iri collate "C") as labels
    from {{ source('efo', 'efo_parent_edges') }} as e
    join {{ source('efo', 'efo_terms') }} as p on p.id = e.parent_id
    where e.predicate = 'is_a'
    group by e.child_id
),

xrefs as (
    select term_id, array_agg(written order by written collate "C") as written
    from (
        select term_id, concat_ws(':', nullif(prefix, ''), accession) as written
        from {{ source('efo', 'efo_xrefs') }}
    ) as x
    group by term_id
),

mesh as (
    select term_id, array_agg(mesh_id order by mesh_id collate "C") as mesh_ids
    from {{ source('efo', 'efo_mesh_xrefs') }}
    group by term_id
),

release as (
    {{ current_release() }}
)

select
    t.id as term_id,
    t.iri,
    t.curie,
    t.label,
    t.definition,
    coalesce(s.exact, '{}') as exact_synonyms,
    coalesce(s.related, '{}') as related_synonyms,
    coalesce(s.narrow, '{}') as narrow_synonyms,
    coalesce(s.broad, '{}') as broad_synonyms,
    coalesce(p.iris, '{}') as parent_iris,
    coalesce(p.curies, '{}') as parent_curies,
    coalesce(p.labels, '{}') as parent_labels,
    coalesce(x.written, '{}') as xrefs,
    coalesce(m.mesh_ids, '{}') as mesh_ids,
    r.release_id,
    r.release
from current_terms as t
cross join release as r
left join synonyms as s on s.term_id = t.id
left join parents as p on p.child_id = t.id
left join xrefs as x on x.term_id = t.id
left join mesh as m on m.term_id = t.id
