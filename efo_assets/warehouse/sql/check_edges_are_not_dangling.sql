select
    count(*),
    (
        select jsonb_agg(to_jsonb(s))
        from (select child_iri, parent_iri from {load}.dangling_edges limit 10) as s
    )
from {load}.dangling_edges
