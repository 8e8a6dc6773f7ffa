with edges as (
    select e.child, e.parent, e.is_a
    from pg_temp.efo_closure_edges as e
    join pg_temp.efo_closure_ready as r on r.child = e.child
),

ways as (
    select child, parent as ancestor, 1 as distance, case when is_a then 1 end as is_a_distance
    from edges
    union all
    select
        edges.child,
        above.ancestor,
        above.distance + 1,
        case when edges.is_a then above.is_a_distance + 1 end
    from edges
    join pg_temp.efo_closure as c on c.term = edges.parent
    cross join lateral unnest(c.ancestors, c.distances, c.is_a_distances)
    as above (ancestor, distance, is_a_distance)
),

shortest as (
    select child, ancestor, min(distance) as distance, min(is_a_distance) as is_a_distance
    from ways
    group by child, ancestor
)

insert into pg_temp.efo_closure
select
    child,
    array_agg(ancestor),
    array_agg(distance::smallint),
    array_agg(is_a_distance::smallint)
from shortest
group by child
