with repeated as (
    select label, count(*) as times, min(iri) as first_iri, max(iri) as last_iri
    from {load}.terms
    where not is_obsolete and label is not null
    group by label
    having count(*) > 1
)

select count(*), (select jsonb_agg(to_jsonb(s)) from (select * from repeated limit 10) as s)
from repeated
