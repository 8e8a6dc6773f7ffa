-- name: server_facts
select
    current_setting('server_version_num')::integer,
    current_setting('server_encoding'),
    pg_is_in_recovery() or current_setting('transaction_read_only')::boolean,
    current_setting('session_replication_role')

-- name: privileges
with target as (
    select %(schema)s::text as schema
),

known as (
    select n.oid, n.nspname
    from target
    left join pg_namespace as n on n.nspname = target.schema
),

ours as (
    select c.oid, c.relname, c.relowner
    from known
    join pg_class as c on c.relnamespace = known.oid
    where c.relkind in ('r', 'p')
        and c.relname = any(%(tables)s)
)

select
    format('CREATE on database %%s', current_database()),
    format('grant create on database %%I to %%I', current_database(), current_user),
    has_database_privilege(current_database(), 'CREATE')
union all
select
    format('CREATE and USAGE on schema %%s', nspname),
    format('grant create, usage on schema %%I to %%I', nspname, current_user),
    has_schema_privilege(oid, 'CREATE') and has_schema_privilege(oid, 'USAGE')
from known
where oid is not null
union all
select
    format('ownership of table %%s', relname),
    format('alter table %%s owner to %%I', oid::regclass, current_user),
    pg_has_role(relowner, 'USAGE')
from ours
union all
select
    format('CREATE and USAGE on schema %%s', nspname),
    format('grant create, usage on schema %%I to %%I', nspname, current_user),
    has_schema_privilege(oid, 'CREATE') and has_schema_privilege(oid, 'USAGE')
from pg_namespace
where nspname = 'efo_meta'
union all
select
    format('SELECT, INSERT, UPDATE and DELETE on %%s', oid::regclass),
    format('alter table %%s owner to %%I', oid::regclass, current_user),
    has_table_privilege(oid, 'SELECT') and has_table_privilege(oid, 'INSERT')
    and has_table_privilege(oid, 'UPDATE') and has_table_privilege(oid, 'DELETE')
from pg_class
where relnamespace = to_regnamespace('efo_meta') and relkind = 'r'

-- name: migrated_by
select coalesce(to_jsonb(v) ->> 'applied_by', 'a later efo_assets'), (to_jsonb(v) ->> 'oldest_code')::integer
from efo_meta.schema_version as v
where v.version = %(version)s

-- name: migration_insert
insert into efo_meta.schema_version (version, applied_by, oldest_code)
values (%(version)s, %(applied_by)s, %(oldest_code)s)

-- name: published_format
select l.format_version, coalesce(to_jsonb(l) ->> 'staged_by', 'another efo_assets')
from efo_meta.releases as r
join efo_meta.loads as l on l.load_id = r.load_id
where r.target_schema = %(schema)s
order by r.release_id desc
limit 1

-- name: columns
select a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.atthasdef or a.attidentity <> ''
from pg_attribute as a
join pg_class as c on c.oid = a.attrelid
join pg_namespace as n on n.oid = c.relnamespace
where n.nspname = %(schema)s and c.relname = %(table)s and a.attnum > 0 and not a.attisdropped

-- name: relations
select c.relname::text
from pg_class as c
join pg_namespace as n on n.oid = c.relnamespace
where n.nspname = %(schema)s and c.relkind in ('r', 'p', 'v', 'm', 'f')
order by c.relname collate "C"

-- name: indexes
select c.relname
from pg_index as i
join pg_class as c on c.oid = i.indexrelid
where i.indrelid = to_regclass(format('%%I.%%I', %(schema)s::text, %(table)s::text))

-- name: taken_names
-- What stands where a table, index, view or function is to be made and is none of efo_assets, whose
-- views and functions are known by their comments.
with relations as (
    select
        n.nspname as schema,
        c.relname as name,
        t.relname as indexed,
        case c.relkind
            when 'r' then 'table' when 'p' then 'table' when 'v' then 'view'
            when 'm' then 'materialized view' when 'f' then 'foreign table'
            when 'S' then 'sequence' when 'c' then 'type' else 'index'
        end as kind,
        obj_description(c.oid, 'pg_class') as comment
    from pg_class as c
    join pg_namespace as n on n.oid = c.relnamespace
    left join pg_index as i on i.indexrelid = c.oid
    left join pg_class as t on t.oid = i.indrelid
    where n.nspname in (%(schema)s, 'efo_meta')
    union all
    select n.nspname, t.typname, null, case t.typtype when 'd' then 'domain' else 'type' end, null
    from pg_type as t
    join pg_namespace as n on n.oid = t.typnamespace
    where n.nspname = %(schema)s and t.typrelid = 0 and t.typelem = 0
),

taken as (
    select format('the %%s %%I.%%I', r.kind, r.schema, r.name) as what
    from relations as r
    where r.schema = %(schema)s
        and (
            (r.name = any(%(tables)s) and r.kind <> 'table')
            or (r.name = any(%(views)s) and r.kind <> 'view')
            or exists (
                select from unnest(%(indexes)s::text[], %(indexed)s::text[]) as i (name, indexed)
                where i.name = r.name and i.indexed is distinct from r.indexed
            )
        )
        or (
            r.schema = 'efo_meta' and r.kind not in ('index', 'sequence')
            and to_regclass('efo_meta.schema_version') is null
        )
    union all
    select format('the view %%I.%%I, by its comment', r.schema, r.name)
    from relations as r
    where r.schema = %(schema)s and r.name = any(%(views)s) and r.kind = 'view'
        and not coalesce(r.comment, '') like any(%(ours)s)
    union all
    select format('the table %%I.%%I, by its comment', r.schema, r.name)
    from relations as r
    where r.schema = %(schema)s and r.name = %(words)s and r.kind = 'table'
        and not coalesce(r.comment, '') like any(%(ours)s)
    union all
    select format('the function %%I.%%I (%%s), by its comment', %(schema)s::text, f.name, f.arguments)
    from unnest(%(functions)s::text[], %(arguments)s::text[]) as f (name, arguments)
    join pg_proc as p
        on p.oid = to_regprocedure(
            format('%%I.%%I(%%s)', %(schema)s::text, f.name, f.arguments)
        )
    where not coalesce(obj_description(p.oid, 'pg_proc'), '') like any(%(ours)s)
)

select what from taken order by what

-- name: keys
select array_agg(a.attname::text order by a.attname::text collate "C")
from pg_index as i
join pg_class as c on c.oid = i.indrelid
join pg_namespace as n on n.oid = c.relnamespace
join pg_attribute as a on a.attrelid = c.oid and a.attnum = any (i.indkey)
where n.nspname = %(schema)s and c.relname = %(table)s and i.indisunique and i.indisvalid and i.indpred is null
group by i.indexrelid
