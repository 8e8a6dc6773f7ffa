-- What each obsolete class names, by kind: a value may be an IRI, or hold IRIs, CURIEs and short
-- forms among other text.
create temporary table efo_values as
with stated as (
    select t.iri, k.kind, k.value
    from {load}.terms as t
    cross join lateral (
        select 'replaced_by' as kind, unnest(t.replaced_by) as value
        union all
        select 'consider', unnest(t.consider)
    ) as k
    where t.is_obsolete
),

named as (
    select s.iri, s.kind, s.value, s.value as name
    from stated as s
    where exists (select from {load}.terms as t where t.iri = s.value)
    union all
    select s.iri, s.kind, s.value, n.name
    from stated as s
    cross join lateral (
        select rtrim(found[1], '.,;)') as name
        from regexp_matches(
            s.value, '(https?://[^\s<>"|,;]+|\m[A-Za-z][A-Za-z0-9.]*[:_][A-Za-z0-9_-]+)', 'g'
        ) as found
    ) as n
    where not exists (select from {load}.terms as t where t.iri = s.value)
),

curies as (
    select distinct on (curie) curie, iri
    from {load}.terms
    where curie is not null
    order by curie, is_obsolete, iri collate "C"
)

select distinct on (s.iri, s.kind, coalesce(t.iri, c.iri, n.name, ''))
    s.iri,
    s.kind,
    s.value as evidence,
    coalesce(t.iri, c.iri) as target_iri,
    coalesce(t.iri, c.iri, n.name) as target
from stated as s
left join named as n on n.iri = s.iri and n.kind = s.kind and n.value = s.value
left join {load}.terms as t on t.iri = n.name
left join curies as c
    on t.iri is null
    -- HP_0045074 is HP:0045074 in the form of a short form.
    and c.curie = case when n.name like '%:%' then n.name else regexp_replace(n.name, '_', ':') end
order by s.iri, s.kind, coalesce(t.iri, c.iri, n.name, ''), s.value collate "C";
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
