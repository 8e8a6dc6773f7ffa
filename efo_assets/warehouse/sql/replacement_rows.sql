insert into {load}.replacements (
    iri, target_iri, ordinal, kind, target, status, hops, path, evidence
)
with ends as (
    select
        s.start,
        s.kind,
        s.evidence,
        s.node,
        s.target,
        s.hops,
        s.path,
        case
            when s.target = any (s.path[: s.hops]) then 'cycle'
            when s.node is null then 'target_missing'
            when t.is_obsolete then 'dead_end'
            else 'resolved'
        end as status
    from pg_temp.efo_steps as s
    left join {load}.terms as t on t.iri = s.node
    where s.target = any (s.path[: s.hops])
        or s.node is null
        or not t.is_obsolete
        or not exists (
            select from pg_temp.efo_values as v
            where v.iri = s.node and v.kind = 'replaced_by' and v.target is not null
        )
),

-- A target that is reached by both kinds, or in several ways, counts once: the strongest.
targets as (
    select distinct on (start, target) *
    from ends
    order by start, target, kind desc, status = 'cycle', hops, evidence collate "C"
),

counted as (
    select *, count(*) filter (where status = 'resolved') over (partition by start, kind) as several
    from targets
),

every as (
    select
        start,
        kind,
        evidence,
        node,
        target,
        hops,
        path,
        case when status = 'resolved' and several > 1 then 'ambiguous' else status end as status
    from counted
    union all
    select t.iri, v.kind, v.evidence, null, null, 0, array[t.iri], 'no_replacement'
    from {load}.terms as t
    left join lateral (
        select n.kind, n.evidence
        from pg_temp.efo_values as n
        where n.iri = t.iri
        order by n.kind desc, n.evidence collate "C"
        limit 1
    ) as v on true
    where t.is_obsolete and not exists (select from targets where targets.start = t.iri)
)

select
    start,
    node,
    row_number() over (
        partition by start
        order by kind desc nulls last, hops, target collate "C"
    ),
    kind,
    target,
    status,
    hops,
    path,
    evidence
from every
