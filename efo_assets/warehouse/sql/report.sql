-- name: report_changes
select
    t.iri,
    coalesce(t.curie, t.iri),
    t.label,
    c.before,
    c.after,
    count(*) over ()
from {schema}.{prefix}changes as c
join {schema}.{prefix}terms as t on t.id = c.term_id
where c.release_id = %(release_id)s
    and c.kind = %(kind)s
    -- What a class lost that is obsolete or gone, it lost by that.
    and not (%(of_current)s and (t.is_obsolete or t.removed_in is not null))
    -- One that comes back current and had gone as obsolete is restored by two rows.
    and not (
        c.kind = 'restored' and c.before is not null
        and exists (
            select from {schema}.{prefix}changes as o
            where o.release_id = c.release_id and o.term_id = c.term_id
                and o.kind = 'restored' and o.before is null
        )
    )
order by c.ordinal
limit %(most)s

-- name: report_replaced
select
    t.iri,
    coalesce(
        jsonb_agg(
            jsonb_build_object(
                'kind', r.kind, 'status', r.status, 'iri', n.iri, 'curie', coalesce(n.curie, n.iri),
                'label', n.label, 'target', r.target
            )
            order by r.ordinal
        ) filter (where r.target is not null),
        '[]'
    )
from {schema}.{prefix}terms as t
join {schema}.{prefix}replacements as r on r.term_id = t.id
left join {schema}.{prefix}terms as n on n.id = r.target_id
where t.iri = any(%(iris)s)
group by t.iri

-- name: report_branches
-- A branch is a child of a root. A class that was made obsolete is counted where its parents were.
with of_release as materialized (
    select c.term_id, c.kind, c.before
    from {schema}.{prefix}changes as c
    where c.release_id = %(release_id)s
),

touched as (
    select
        term_id as id,
        case
            when bool_or(kind = 'obsoleted') then 'obsoleted'
            when bool_or(kind = 'added') then 'added'
            else 'changed'
        end as how
    from of_release
    group by term_id
    having not bool_or(kind = 'removed')
),

places as (
    select id, id as place from touched
    union
    select t.id, p.id
    from touched as t
    join of_release as c on c.term_id = t.id and c.kind = 'parent removed'
    join {schema}.{prefix}terms as p on p.iri = split_part(c.before, ' ', 2)
    where t.how = 'obsoleted'
),

branches as (
    select distinct e.child_id as id
    from {schema}.{prefix}parent_edges as e
    join {schema}.{prefix}terms as r on r.id = e.parent_id
    where e.predicate = 'is_a' and r.is_root and r.removed_in is null
),

found as (
    select distinct p.id, b.id as branch
    from places as p
    cross join lateral (
        select p.place as id
        union all
        select a.ancestor_id
        from {schema}.{prefix}ancestors as a
        where a.term_id = p.place
    ) as up
    join branches as b on b.id = up.id
)

select
    b.iri,
    coalesce(b.curie, b.iri),
    b.label,
    count(*) filter (where t.how = 'added'),
    count(*) filter (where t.how = 'obsoleted'),
    count(*) filter (where t.how = 'changed')
from touched as t
left join found as f on f.id = t.id
left join {schema}.{prefix}terms as b on b.id = f.branch
group by b.id, b.iri, b.curie, b.label
order by count(*) desc, b.iri

-- name: report_growth
select
    r.release_id,
    coalesce(r.version, r.release_id::text),
    extract(epoch from r.published_at)::double precision,
    r.counts
from efo_meta.releases as r
where r.target_schema = %(schema)s and not r.is_partial
order by r.release_id desc
limit %(most)s

-- name: report_mesh
select
    count(distinct m.mesh_id),
    count(distinct m.term_id),
    (
        select count(*)
        from {schema}.{prefix}terms as t
        where not t.is_obsolete and t.removed_in is null
    ),
    (
        select count(*) filter (where c.kind = 'xref added')
        from {schema}.{prefix}changes as c
        where c.release_id = %(release_id)s and c.after like 'mesh:%%'
    ),
    (
        select count(*) filter (where c.kind = 'xref removed')
        from {schema}.{prefix}changes as c
        where c.release_id = %(release_id)s and c.before like 'mesh:%%'
            -- What a class that vanished had is told with the class.
            and not exists (
                select from {schema}.{prefix}changes as r
                where r.release_id = c.release_id and r.term_id = c.term_id and r.kind = 'removed'
            )
    )
from {schema}.{prefix}mesh_terms as m

-- name: report_proof
select l.source_url, r.fingerprint, r.run_id
from efo_meta.releases as r
join efo_meta.loads as l on l.load_id = r.load_id
where r.release_id = %(release_id)s
