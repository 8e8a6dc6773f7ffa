with orphans as (
    select e.child_iri, e.parent_iri
    from {load}.parent_edges as e
    where
        not exists (select from {load}.terms as t where t.iri = e.child_iri)
        or not exists (select from {load}.terms as t where t.iri = e.parent_iri)
)

select count(*), (select jsonb_agg(to_jsonb(s)) from (select * from orphans limit 10) as s)
from orphans
