select
    a.pid,
    coalesce(host(a.client_addr), 'on this machine'),
    to_char(a.backend_start, 'YYYY-MM-DD HH24:MI:SS TZ')
from pg_locks as l
join pg_stat_activity as a on a.pid = l.pid
where
    l.locktype = 'advisory' and l.granted
    -- pg_locks shows the two halves of the key as oid, without a sign.
    and l.classid::bigint = (hashtext('efo_assets writer')::bigint & 4294967295)
    and l.objid::bigint = (hashtext(%s)::bigint & 4294967295)
limit 1
