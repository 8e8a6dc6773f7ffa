{{ config(indexes=[{'columns': ['root_id', 'term_id'], 'unique': true}, {'columns': ['root_id', 'parent_id']}]) }}

with recursive current_terms as (
    select id, iri, curie, label, is_root
    from {{ source('efo', 'efo_terms') }}
    where not is_obsolete and removed_in is null
),

is_a as (
    select e.child_id, e.parent_id
    from {{ source('efo', 'efo_parent_edges') }} as e
    join current_terms as c on c.id = e.child_id
    join current_terms as p on p.id = e.parent_id
    where e.predicate = 'is_a'
),

-- One row per root and level, breadth first: what is seen for the first time, and all seen so far.
-- A term that is seen once never comes again, so a cycle ends here and no path is walked twice.
levels as (
    select id as root_id, 0 as depth, array[id] as level, array[id] as seen
    from current_terms
    where is_root
    union all
    select l.root_id, l.depth + 1, below.level, l.seen || below.level
    from levels as l
    cross join lateral (
        select array_agg(fresh.child_id) as level
        from (
            select e.child_id
            from is_a as e
            where e.parent_id = any (l.level)
            except
            select unnest(l.seen)
        ) as fresh
    ) as below
    where below.level is not null
),

placed as (
    select l.root_id, l.depth, t.id as term_id
    from levels as l
    cross join lateral unnest(l.level) as t (id)
),

-- Of several parents one level up, the first by IRI.
hung as (
    select distinct on (c.root_id, c.term_id) c.root_id, c.term_id, c.depth, p.term_id as parent_id
    from placed as c
    join is_a as e on e.child_id = c.term_id
    join placed as p
        on p.root_id = c.root_id and p.term_id = e.parent_id and p.depth = c.depth - 1
    join current_terms as t on t.id = p.term_id
    order by c.root_id, c.term_id, t.iri collate "C"
),

paths as (
    select id as root_id, id as term_id, null::bigint as parent_id, 0 as depth, array[label] as path
    from current_terms
    where is_root
    union all
    select h.root_id, h.term_id, h.parent_id, h.depth, p.path || t.label
    from paths as p
    join hung as h on h.root_id = p.root_id and h.parent_id = p.term_id
    join current_terms as t on t.id = h.term_id
),

release as (
    {{ current_release() }}
)

select
    p.root_id,
    root.curie as root_curie,
    root.label as root_label,
    p.term_id,
    t.iri,
    t.curie,
    t.label,
    p.parent_id,
    p.depth,
    p.path,
    r.release_id,
    r.release
from paths as p
join current_terms as t on t.id = p.term_id
join current_terms as root on root.id = p.root_id
cross join release as r
