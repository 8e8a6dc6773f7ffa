with malformed as (
    select x.iri, x.accession
    from {load}.xrefs as x
    where x.prefix = 'mesh' and not upper(btrim(x.accession)) ~ {mesh_id}
)

select
    count(*),
    (select jsonb_agg(to_jsonb(s)) from (select * from malformed order by iri limit 10) as s)
from malformed
