-- name: closure_edges
-- The edges that make ancestors, in the order of children: all in one row, as texts of integers.
with placed as materialized (
    select id, (row_number() over (order by id) - 1)::integer as place
    from {load}.terms
),

edges as (
    select c.place as child, p.place as parent, bool_or(e.predicate = 'is_a') as is_a
    from {load}.parent_edges as e
    join placed as c on c.id = e.child_id
    join placed as p on p.id = e.parent_id
    where e.predicate = any({closure_predicates})
    group by c.place, p.place
)

select
    (select coalesce(string_agg(int8send(id), '' order by place), '') from placed),
    coalesce(string_agg(int4send(child), '' order by child, parent), ''),
    coalesce(string_agg(int4send(parent), '' order by child, parent), ''),
    coalesce(string_agg(boolsend(is_a), '' order by child, parent), '')
from edges
