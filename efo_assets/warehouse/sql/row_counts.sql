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
    select 5, 'efo_replacements', count(*) from {schema}.efo_replacements
    union all
    select 6, 'efo_ancestors', count(*) from {schema}.efo_ancestors
    union all
    select 7, 'efo_mesh_terms', count(*) from {schema}.efo_mesh_terms
    union all
    select 8, 'efo_changes', count(*) from {schema}.efo_changes
) as counted
order by counted.place
