select 'efo_terms', count(*) from {schema}.efo_terms where removed_in is null
union all
select 'efo_synonyms', count(*) from {schema}.efo_synonyms
union all
select 'efo_parent_edges', count(*) from {schema}.efo_parent_edges
union all
select 'efo_xrefs', count(*) from {schema}.efo_xrefs
union all
select 'efo_mesh_xrefs (view)', count(*) from {schema}.efo_mesh_xrefs
