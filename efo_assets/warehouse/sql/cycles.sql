-- name: cycle_edges
create temporary table efo_cycle_edges as
select
    hashtextextended(child_iri, 0) as child,
    hashtextextended(parent_iri, 0) as parent,
    child_iri,
    parent_iri
from {load}.parent_edges
where predicate = 'is_a'

-- name: cycle_peel_leaves
delete from pg_temp.efo_cycle_edges as e
where not exists (select from pg_temp.efo_cycle_edges as below where below.parent = e.child)

-- name: cycle_peel_roots
delete from pg_temp.efo_cycle_edges as e
where not exists (select from pg_temp.efo_cycle_edges as above where above.child = e.parent)

-- name: cycle_rest
select child_iri, parent_iri from pg_temp.efo_cycle_edges
