drop table pg_temp.efo_closure_edges, pg_temp.efo_closure_ready
