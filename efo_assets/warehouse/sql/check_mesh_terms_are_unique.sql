with repeated as (
    select mesh_id, iri
    from {load}.mesh_terms
    group by mesh_id, iri
    having count(*) > 1
)

select
    count(*),
    (select jsonb_agg(to_jsonb(s)) from (select * from repeated limit 10) as s)
from repeated
