-- name: put_on_ancestors
-- What depends on the relations that give ancestors, or was put on them, and isn't of efo_assets.
with given as (
    select c.*
    from pg_class as c
    where c.relnamespace = to_regnamespace(quote_ident(%(schema)s))
        and c.relname = any(%(names)s::text[])
)

select distinct pg_describe_object(d.classid, d.objid, d.objsubid)
from pg_depend as d
join given as g on g.oid = d.refobjid and d.refclassid = 'pg_class'::regclass
left join pg_class as c on c.oid = d.objid and d.classid = 'pg_class'::regclass
left join pg_constraint as k on k.oid = d.objid and d.classid = 'pg_constraint'::regclass
left join pg_rewrite as r on r.oid = d.objid and d.classid = 'pg_rewrite'::regclass
where not coalesce(
    (d.classid = 'pg_type'::regclass and d.deptype = 'i')
    or c.relkind = 't'
    or c.relname = any(%(built)s::text[])
    or (k.conrelid = g.oid and (k.contype = 'n' or k.conname = any(%(built)s::text[])))
    or r.ev_class in (select v.oid from given as v)
    or obj_description(r.ev_class, 'pg_class') like any(%(ours)s::text[])
    or (
        d.classid = 'pg_proc'::regclass
        and obj_description(d.objid, 'pg_proc') like any(%(ours)s::text[])
    ),
    false
)
union all
select format('row-level security of %%s', g.oid::regclass)
from given as g
where g.relrowsecurity
union all
select format('column %%s of %%s', a.attname, g.oid::regclass)
from given as g
join pg_attribute as a on a.attrelid = g.oid and a.attnum > 0 and not a.attisdropped
where a.attname <> all(%(columns)s::text[]) or a.attacl is not null

-- name: grants_as_aside
-- Statements that let the same roles do the same, where somebody has said who may do what.
with aside as (
    select c.*
    from pg_class as c
    where c.relnamespace = to_regnamespace(quote_ident(%(schema)s))
        and c.relname = %(aside)s and c.relacl is not null
),

taking_its_place as (
    select c.*
    from pg_class as c
    where c.relnamespace = to_regnamespace(quote_ident(%(schema)s))
        and c.relname = any(%(names)s::text[])
)

select
    format(
        'revoke all on %%s from %%s',
        n.oid::regclass,
        case g.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(g.grantee)) end
    )
from taking_its_place as n
cross join lateral aclexplode(n.relacl) as g
where g.grantee <> n.relowner and exists (select from aside)
union
select
    format(
        'grant %%s on %%s to %%s%%s',
        g.privilege_type,
        n.oid::regclass,
        case g.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(g.grantee)) end,
        case when g.is_grantable then ' with grant option' else '' end
    )
from aside as a
cross join taking_its_place as n
cross join lateral aclexplode(a.relacl) as g
where g.grantee not in (a.relowner, n.relowner)
order by 1 desc
