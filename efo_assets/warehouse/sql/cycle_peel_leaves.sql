delete from pg_temp.efo_cycle_edges as e
where not exists (select from pg_temp.efo_cycle_edges as below where below.parent = e.child)
