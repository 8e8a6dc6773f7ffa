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
