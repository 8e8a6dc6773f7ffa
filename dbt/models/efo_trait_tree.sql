{{ config(indexes=[
    {'columns': ['root_id', 'term_id'], 'unique': true},
    {'columns': ['root_id', 'parent_id']},
]) }}

-- One row per root and level, breadth first: the level's terms, the parent that each is reached
-- from, and all terms seen so far. What was seen never comes again, so a cycle ends here, and the
-- first level that holds a term is its shortest distance.
with recursive levels as (
    select
        id as root_id,
        0 as depth,
        array[id] as terms,
        array[null]::bigint[] as parents,
        array[id] as seen
    from {{ source('efo', 'efo_terms') }}
    where is_root and not is_obsolete and removed_in is null
    union all
    select l.root_id, l.depth + 1, below.terms, below.parents, l.seen || below.terms
    from levels as l
    cross join lateral (
        select array_agg(fresh.child_id) as terms, array_agg(fresh.parent_id) as parents
        from (
            -- Of several parents one level up, the first by IRI.
            select distinct on (e.child_id) e.child_id, e.parent_id
            from unnest(l.terms) as above (id)
            join {{ source('efo', 'efo_terms') }} as p on p.id = above.id
            join {{ source('efo', 'efo_parent_edges') }} as e
                on e.parent_id = above.id and e.predicate = 'is_a'
            join {{ source('efo', 'efo_terms') }} as c
                on c.id = e.child_id and not c.is_obsolete and c.removed_in is null
            where not exists (select from unnest(l.seen) as s (id) where s.id = e.child_id)
            order by e.child_id, p.iri collate "C"
        ) as fresh
    ) as below
    where below.terms is not null
),

placed as (
    select l.root_id, l.depth, each.term_id, each.parent_id
    from levels as l
    cross join lateral unnest(l.terms, l.parents) as each (term_id, parent_id)
),

named as (
    select p.*, t.iri, t.curie, t.label
    from placed as p
    join {{ source('efo', 'efo_terms') }} as t on t.id = p.term_id
),

paths as (
    select n.*, n.curie as root_curie, n.label as root_label, array[n.label] as path
    from named as n
    where n.depth = 0
    union all
    select n.*, p.root_curie, p.root_label, p.path || n.label
    from paths as p
    join named as n
        on n.root_id = p.root_id and n.parent_id = p.term_id and n.depth = p.depth + 1
),

release as (
    {{ current_release() }}
)

select
    p.root_id,
    p.root_curie,
    p.root_label,
    p.term_id,
    p.iri,
    p.curie,
    p.label,
    p.parent_id,
    p.depth,
    p.path,
    r.release_id,
    r.release
from paths as p
cross join release as r
