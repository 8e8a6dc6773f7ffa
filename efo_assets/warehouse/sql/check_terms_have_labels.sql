select
    count(*),
    (select jsonb_agg(iri) from (select iri from {load}.terms where label is null limit 10) as s)
from {load}.terms
where label is null
