delete from pg_temp.efo_closure_edges as e
using pg_temp.efo_closure_ready as r
where r.child = e.child
