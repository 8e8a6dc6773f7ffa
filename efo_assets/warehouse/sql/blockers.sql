select
    b.pid,
    coalesce(b.usename, 'unknown'),
    coalesce(host(b.client_addr), 'this machine'),
    b.query
from pg_stat_activity as ours
cross join lateral unnest(pg_blocking_pids(ours.pid)) as blocking (pid)
join pg_stat_activity as b on b.pid = blocking.pid
where ours.application_name = %(name)s
