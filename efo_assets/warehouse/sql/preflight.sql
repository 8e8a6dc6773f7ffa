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

-- name: published_format
select l.format_version
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

-- name: indexes
select c.relname
from pg_index as i
join pg_class as c on c.oid = i.indexrelid
where i.indrelid = to_regclass(format('%%I.%%I', %(schema)s::text, %(table)s::text))

-- name: keys
select array_agg(a.attname::text order by a.attname::text collate "C")
from pg_index as i
join pg_class as c on c.oid = i.indrelid
join pg_namespace as n on n.oid = c.relnamespace
join pg_attribute as a on a.attrelid = c.oid and a.attnum = any (i.indkey)
where n.nspname = %(schema)s and c.relname = %(table)s and i.indisunique and i.indisvalid and i.indpred is null
group by i.indexrelid
