with missing as (
    select t.iri
    from {load}.terms as t
    where t.is_obsolete <> exists (select from {load}.replacements as r where r.iri = t.iri)
    union all
    select r.iri
    from {load}.replacements as r
    where not exists (select from {load}.terms as t where t.iri = r.iri)
)

select
    count(*),
    (select jsonb_agg(s.iri) from (select iri from missing limit 10) as s)
from missing
