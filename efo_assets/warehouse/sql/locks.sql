-- name: writer_lock
select pg_try_advisory_xact_lock(hashtext('efo_assets writer'), hashtext(%(schema)s))

-- name: writer_lock_holder
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

-- name: publisher_lock
select pg_advisory_xact_lock(hashtext('efo_assets publisher'), hashtext(%(schema)s))

-- name: ledger_turn
-- A first publication keeps others out of the ledger until its end, for longer than a lock is waited
-- for: they wait here, where nobody else's lock can be in the way.
set local lock_timeout = {patience_ms};
select pg_advisory_xact_lock{mode}(hashtext('efo_assets ledger'));
set local lock_timeout = {lock_timeout_ms}

-- name: lock_holders
-- Sessions whose locks publishing may have waited for, the likeliest alone. 1: nobody writes beside
-- such a lock. 2: it is in the way of the same rows. 3: of changes to the table or view itself.
with holders as (
    select
        l.pid,
        min(
            case
                when l.locktype = 'advisory' or l.mode in (
                    'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'
                ) then 1
                when l.mode <> 'AccessShareLock' then 2
                else 3
            end
        ) as place
    from pg_locks as l
    left join pg_class as c on c.oid = l.relation
    left join pg_namespace as n on n.oid = c.relnamespace
    where l.granted
        and l.pid <> pg_backend_pid()
        and l.database = (select d.oid from pg_database as d where d.datname = current_database())
        and (
            (n.nspname = %(schema)s and c.relname = any(%(relations)s))
            or n.nspname = 'efo_meta'
            or n.nspname = %(load)s
            or (
                l.locktype = 'advisory'
                and l.classid::bigint = (hashtext('efo_assets publisher')::bigint & 4294967295)
                and l.objid::bigint = (hashtext(%(schema)s)::bigint & 4294967295)
            )
        )
    group by l.pid
)

select
    h.place = 1,
    a.pid,
    coalesce(a.usename, 'unknown'),
    coalesce(host(a.client_addr), 'this machine'),
    a.query
from holders as h
join pg_stat_activity as a on a.pid = h.pid
where h.place = (select min(place) from holders)
order by a.xact_start
