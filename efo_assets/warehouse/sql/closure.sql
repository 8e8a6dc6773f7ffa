-- name: closure_edges
-- The edges that make ancestors, in the order of children, and the terms at their ends: all in one
-- row, as texts of integers.
with edges as materialized (
    select child_id as child, parent_id as parent, bool_or(predicate = 'is_a') as is_a
    from {load}.parent_edges
    where predicate = any({closure_predicates})
    group by child_id, parent_id
    order by child_id
),

ends as (
    select child as id from edges
    union
    select parent from edges
    order by id
)

select
    (select coalesce(string_agg(int8send(id), ''), '') from ends),
    coalesce(string_agg(int8send(child), ''), ''),
    coalesce(string_agg(int8send(parent), ''), ''),
    coalesce(string_agg(boolsend(is_a), ''), '')
from edges
