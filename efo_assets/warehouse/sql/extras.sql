-- name: extra_comments
select c.relname, obj_description(c.oid, 'pg_class')
from pg_class as c
where c.relnamespace = to_regnamespace(quote_ident(%(schema)s))

-- name: extra_obstacles
with place as (
    select to_regnamespace(quote_ident(%(schema)s)) as oid
),

held as (
    select c.oid, c.relkind, c.relowner, coalesce(obj_description(c.oid, 'pg_class'), '') as comment
    from place as p
    join pg_class as c on c.relnamespace = p.oid
    where c.relname = any(%(names)s)
)

select format('grant create on database %%I to %%I', current_database(), current_user)
from place as p
where p.oid is null and not has_database_privilege(current_database(), 'CREATE')
union all
select format('grant create, usage on schema %%I to %%I', %(schema)s::text, current_user)
from place as p
where not (has_schema_privilege(p.oid, 'CREATE') and has_schema_privilege(p.oid, 'USAGE'))
union all
select
    case
        when h.relkind in ('v', 'r') and h.comment like any(%(ours)s)
            then format(
                'alter %%s %%s owner to %%I',
                case h.relkind when 'v' then 'view' else 'table' end,
                h.oid::regclass,
                current_user
            )
        else format('%%s is not of efo_assets: rename it', h.oid::regclass)
    end
from held as h
where
    h.relkind not in ('v', 'r') or not h.comment like any(%(ours)s)
    or not pg_has_role(h.relowner, 'USAGE')

-- name: extra_view
create or replace view {view} {options} as
{query}
