-- name: closure_edges
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

-- name: closure_ready
truncate pg_temp.efo_closure_ready;
insert into pg_temp.efo_closure_ready
select e.child
from pg_temp.efo_closure_edges as e
group by e.child
having not bool_or(e.parent in (select below.child from pg_temp.efo_closure_edges as below))

-- name: closure_level
insert into {load}.ancestors (term_number, ancestor_number, distance, is_a_distance)
select w.child, w.ancestor, min(w.distance)::smallint, min(w.is_a_distance)::smallint
from (
    select
        e.child, e.parent as ancestor, 1 as distance, case when e.is_a then 1 end as is_a_distance
    from pg_temp.efo_closure_edges as e
    join pg_temp.efo_closure_ready as r on r.child = e.child
    union all
    select
        e.child,
        above.ancestor_number,
        above.distance + 1,
        case when e.is_a then above.is_a_distance + 1 end
    from pg_temp.efo_closure_edges as e
    join pg_temp.efo_closure_ready as r on r.child = e.child
    join {load}.ancestors as above on above.term_number = e.parent
) as w
group by w.child, w.ancestor

-- name: closure_done
delete from pg_temp.efo_closure_edges as e
using pg_temp.efo_closure_ready as r
where r.child = e.child

-- name: closure_break
delete from pg_temp.efo_closure_edges as e
using pg_temp.efo_cycle_edges as c
where e.child = c.child and e.parent = c.parent
    -- Over is_a alone there is none in a load that passes its audit.
    and not (
        e.is_a and exists (select from pg_temp.efo_cycle_edges as other where not other.is_a)
    )

-- name: closure_index
create index ancestors_by_term on {load}.ancestors (term_number);
analyze {load}.ancestors
