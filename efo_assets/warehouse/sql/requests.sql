-- name: run_counted
select pg_advisory_lock_shared(hashtext('efo_assets requests ' || %(service)s), 0)

-- name: run_waits
select pg_advisory_lock_shared(hashtext('efo_assets requests ' || %(service)s), -1)

-- name: run_waits_no_more
select pg_advisory_unlock_shared(hashtext('efo_assets requests ' || %(service)s), -1)

-- name: budget_seen
select
    count(*) filter (where l.objid = 0),
    -- pg_locks shows the two halves of the key as oid, without a sign.
    count(*) filter (where l.objid = 4294967295 and l.pid <> pg_backend_pid()) > 0,
    coalesce((select s.overloads from efo_meta.ols_services as s where s.service = %(service)s), 0),
    (select s.paused_until from efo_meta.ols_services as s where s.service = %(service)s),
    clock_timestamp()
from pg_locks as l
where
    l.locktype = 'advisory' and l.granted
    and l.database = (select d.oid from pg_database as d where d.datname = current_database())
    and l.classid::bigint
    = (hashtext('efo_assets requests ' || %(service)s)::bigint & 4294967295)

-- name: slots_taken
-- A slot that a killed run left comes last. One that is held here already would be locked twice.
select candidates.slot
from (
    select slots.slot
    from generate_series(1, %(budget)s::integer) as slots (slot)
    left join efo_meta.ols_slots as marks
        on marks.service = %(service)s and marks.slot = slots.slot
    where slots.slot <> all(%(held)s::integer[])
    order by marks.slot is not null, slots.slot
    offset 0
) as candidates
where pg_try_advisory_lock(
    hashtext('efo_assets requests ' || %(service)s), candidates.slot
)
limit %(most)s

-- name: slots_released
select pg_advisory_unlock(hashtext('efo_assets requests ' || %(service)s), slots.slot)
from unnest(%(slots)s::integer[]) as slots (slot)

-- name: slots_left
select m.slot, m.drain_s
from efo_meta.ols_slots as m
where m.service = %(service)s and m.slot = any(%(slots)s::integer[])

-- name: slots_marked
insert into efo_meta.ols_slots as m (service, slot, drain_s)
select %(service)s, slots.slot, %(drain_s)s
from unnest(%(slots)s::integer[]) as slots (slot)
on conflict (service, slot) do update set drain_s = excluded.drain_s

-- name: slots_unmarked
delete from efo_meta.ols_slots as m
where m.service = %(service)s and m.slot = any(%(slots)s::integer[])

-- name: overload_told
insert into efo_meta.ols_services as s (service, overloads, paused_until)
values (
    %(service)s,
    %(overloads)s,
    clock_timestamp() + make_interval(secs => %(pause_s)s::double precision)
)
on conflict (service) do update set
    overloads = s.overloads + excluded.overloads,
    paused_until = greatest(s.paused_until, excluded.paused_until)
returning s.paused_until
