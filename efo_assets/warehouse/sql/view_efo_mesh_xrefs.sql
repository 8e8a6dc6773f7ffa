create or replace view {schema}.efo_mesh_xrefs as
select
    x.accession as mesh_id,
    t.id as term_id,
    t.iri,
    t.curie,
    t.label,
    x.relation,
    x.sources,
    x.url
from {schema}.efo_xrefs as x
join {schema}.efo_terms as t on t.id = x.term_id
where x.prefix = 'mesh' and not t.is_obsolete and t.removed_in is null
