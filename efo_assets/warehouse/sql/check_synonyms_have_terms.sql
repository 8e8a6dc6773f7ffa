with orphans as (
    select x.iri
    from {load}.synonyms as x
    where not exists (select from {load}.terms as t where t.iri = x.iri)
)

select count(*), (select jsonb_agg(iri) from (select iri from orphans limit 10) as s)
from orphans
