create temporary table efo_cycle_edges as
select
    hashtextextended(child_iri, 0) as child,
    hashtextextended(parent_iri, 0) as parent,
    child_iri,
    parent_iri
from {load}.parent_edges
where predicate = 'is_a'
