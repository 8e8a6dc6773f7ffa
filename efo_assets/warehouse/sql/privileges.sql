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
