truncate pg_temp.efo_closure_ready;
insert into pg_temp.efo_closure_ready
select e.child
from pg_temp.efo_closure_edges as e
group by e.child
having not bool_or(e.parent in (select below.child from pg_temp.efo_closure_edges as below))
