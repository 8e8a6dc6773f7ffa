delete from pg_temp.efo_cycle_edges as e
where not exists (select from pg_temp.efo_cycle_edges as above where above.child = e.parent)
