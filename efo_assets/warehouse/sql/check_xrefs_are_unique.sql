with repeated as (
    select iri, prefix, accession
    from {load}.xrefs
    group by iri, prefix, accession
    having count(*) > 1
)

select count(*), (select jsonb_agg(to_jsonb(s)) from (select * from repeated limit 10) as s)
from repeated
