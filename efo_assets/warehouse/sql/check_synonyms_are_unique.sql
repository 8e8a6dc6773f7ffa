with repeated as (
    select iri, scope, synonym
    from {load}.synonyms
    group by iri, scope, synonym
    having count(*) > 1
)

select count(*), (select jsonb_agg(to_jsonb(s)) from (select * from repeated limit 10) as s)
from repeated
