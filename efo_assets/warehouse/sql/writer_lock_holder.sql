select
    a.application_name,
    a.pid,
    coalesce(to_char(a.xact_start, 'YYYY-MM-DD HH24:MI:SS TZ'), 'a time that this role may not see')
from pg_locks as l
join pg_stat_activity as a on a.pid = l.pid
where
    l.locktype = 'advisory' and l.granted
    and l.database = (select d.oid from pg_database as d where d.datname = current_database())
    -- pg_locks shows the two halves of the key as oid, without a sign.
    and l.classid::bigint = (hashtext('efo_assets writer')::bigint & 4294967295)
    and l.objid::bigint = (hashtext(%(schema)s)::bigint & 4294967295)
limit 1
