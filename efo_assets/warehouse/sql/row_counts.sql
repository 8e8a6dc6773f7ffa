select counted.name, counted.rows
from (
    select 1 as place, 'efo_terms' as name, count(*) as rows
    from {schema}.efo_terms
    where removed_in is null
    union all
    select 2, 'efo_synonyms', count(*) from {schema}.efo_synonyms
    union all
    select 3, 'efo_parent_edges', count(*) from {schema}.efo_parent_edges
    union all
    select 4, 'efo_xrefs', count(*) from {schema}.efo_xrefs
    union all
    select 5, 'efo_mesh_xrefs (view)', count(*) from {schema}.efo_mesh_xrefs
) as counted
order by counted.place
