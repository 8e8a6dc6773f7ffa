delete from pg_temp.efo_closure_edges as e
using pg_temp.efo_cycle_edges as c
where e.child = c.child and e.parent = c.parent
    -- Over is_a alone there is none in a load that passes its audit.
    and not (
        e.is_a and exists (select from pg_temp.efo_cycle_edges as other where not other.is_a)
    )
