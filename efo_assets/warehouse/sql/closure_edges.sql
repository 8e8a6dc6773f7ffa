create temporary table efo_closure_edges as
select
    c.number as child,
    p.number as parent,
    bool_or(e.predicate = 'is_a') as is_a
from {load}.parent_edges as e
join {load}.terms as c on c.iri = e.child_iri
join {load}.terms as p on p.iri = e.parent_iri
where e.predicate = any({closure_predicates})
group by c.number, p.number;
analyze pg_temp.efo_closure_edges;
create temporary table efo_closure_ready (child integer primary key)
