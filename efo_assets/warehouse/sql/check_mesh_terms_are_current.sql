with stray as (
    select m.mesh_id, m.iri
    from {load}.mesh_terms as m
    where not exists (
        select from {load}.terms as t where t.iri = m.iri and not t.is_obsolete
    )
)

select
    count(*),
    (select jsonb_agg(to_jsonb(s)) from (select * from stray limit 10) as s)
from stray
