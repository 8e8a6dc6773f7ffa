with looping as (
    select r.iri, r.path
    from {load}.replacements as r
    where r.status = 'cycle'
)

select
    count(*),
    (select jsonb_agg(to_jsonb(s)) from (select * from looping order by iri limit 10) as s)
from looping
