with repeated as (
    select child_iri, parent_iri, predicate
    from {load}.parent_edges
    group by child_iri, parent_iri, predicate
    having count(*) > 1
)

select count(*), (select jsonb_agg(to_jsonb(s)) from (select * from repeated limit 10) as s)
from repeated
