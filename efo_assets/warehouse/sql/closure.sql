-- name: closure_terms
-- The terms at the ends of edges that make ancestors, in ascending order, as texts of integers.
select string_agg(int8send(id), '' order by id)
from (
    select id, (row_number() over (order by id) - 1) / 65536 as piece
    from (
        select child_id as id from {load}.parent_edges where predicate = any({closure_predicates})
        union
        select parent_id from {load}.parent_edges where predicate = any({closure_predicates})
    ) as ends
) as numbered
group by piece
order by piece

-- name: closure_edges
-- The edges that make ancestors, in the order of children, as texts of integers.
select
    string_agg(int8send(child_id), '' order by child_id, parent_id),
    string_agg(int8send(parent_id), '' order by child_id, parent_id),
    string_agg(boolsend(is_a), '' order by child_id, parent_id)
from (
    select
        child_id,
        parent_id,
        bool_or(predicate = 'is_a') as is_a,
        (row_number() over (order by child_id, parent_id) - 1) / 65536 as piece
    from {load}.parent_edges
    where predicate = any({closure_predicates})
    group by child_id, parent_id
) as numbered
group by piece
order by piece
