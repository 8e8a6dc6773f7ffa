select
    count(*),
    (
        select jsonb_agg(to_jsonb(s))
        from (select child_iri, parent_iri from pg_temp.efo_cycle_edges limit 10) as s
    )
from pg_temp.efo_cycle_edges
