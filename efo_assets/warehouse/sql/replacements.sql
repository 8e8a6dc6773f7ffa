-- name: replacement_steps
-- What each obsolete class names, by kind: a value may be an IRI, or hold IRIs, CURIEs and short
-- forms among other text.
create temporary table efo_values as
with stated as (
    select t.iri, k.kind, k.value, named.iri as named_iri
    from {load}.terms as t
    cross join lateral (
        select 'replaced_by' as kind, unnest(t.replaced_by) as value
        union all
        select 'consider', unnest(t.consider)
    ) as k
    left join {load}.terms as named on named.iri = k.value
    where t.is_obsolete
),

named as (
    select s.iri, s.kind, s.value, coalesce(s.named_iri, rtrim(found[1], '.,;)')) as name
    from stated as s
    left join lateral regexp_matches(
        case
            when s.named_iri is null
                -- What is white space and a letter must not depend on the database's locale.
                then translate(s.value, {blanks}, {spaces}) collate "C"
        end,
        {names},
        'g'
    ) as found on true
),

-- Where OLS gives none, it is what the IRI ends with.
curies as (
    select distinct on (c.curie) c.curie, t.iri
    from {load}.terms as t
    cross join lateral (
        select coalesce(
            t.curie, regexp_replace(regexp_replace(t.iri, '^.*[/#]', ''), '_', ':')
        ) as curie
    ) as c
    order by c.curie, t.curie is null, t.is_obsolete, t.iri collate "C"
)

select distinct on (n.iri, n.kind, coalesce(t.iri, c.iri, n.name, ''))
    n.iri,
    n.kind,
    n.value as evidence,
    coalesce(t.iri, c.iri) as target_iri,
    coalesce(t.iri, c.iri, n.name) as target
from named as n
left join {load}.terms as t on t.iri = n.name
left join curies as c
    on t.iri is null
    -- HP_0045074 is HP:0045074 in the form of a short form.
    and c.curie = case when n.name like '%:%' then n.name else regexp_replace(n.name, '_', ':') end
order by n.iri, n.kind, coalesce(t.iri, c.iri, n.name, ''), n.value collate "C";
analyze pg_temp.efo_values;

-- One row per class that a start reaches, by kind; hop 0 is the class itself.
create temporary table efo_steps as
select
    v.iri as start,
    v.kind,
    v.evidence,
    v.target_iri as node,
    v.target,
    1 as hops,
    array[v.iri, v.target] as path
from pg_temp.efo_values as v
where v.target is not null

-- name: replacement_step
-- From the obsolete classes that were reached last, along their own replaced_by.
insert into pg_temp.efo_steps (start, kind, evidence, node, target, hops, path)
select distinct on (s.start, s.kind, v.target)
    s.start, s.kind, s.evidence, v.target_iri, v.target, s.hops + 1, s.path || v.target
from pg_temp.efo_steps as s
join pg_temp.efo_values as v on v.iri = s.node and v.kind = 'replaced_by'
where s.hops = %(hops)s
    and v.target is not null
    -- A step back to a class on the path is kept, and is the last one.
    and not s.target = any (s.path[: s.hops])
    and not exists (
        select from pg_temp.efo_steps as known
        where known.start = s.start and known.kind = s.kind and known.target = v.target
            and not v.target = any (s.path)
    )
order by s.start, s.kind, v.target, s.evidence collate "C"

-- name: replacement_rows
insert into {load}.replacements (
    term_id, target_id, ordinal, kind, target, status, hops, path, evidence
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
    left join (
        select distinct on (iri) iri, kind, evidence
        from pg_temp.efo_values
        order by iri, kind desc, evidence collate "C"
    ) as v on v.iri = t.iri
    where t.is_obsolete and not exists (select from targets where targets.start = t.iri)
)

select
    t.id,
    n.id,
    row_number() over (
        partition by e.start
        order by e.kind desc nulls last, e.hops, e.target collate "C"
    ),
    e.kind,
    e.target,
    e.status,
    e.hops,
    e.path,
    e.evidence
from every as e
join {load}.terms as t on t.iri = e.start
left join {load}.terms as n on n.iri = e.node
