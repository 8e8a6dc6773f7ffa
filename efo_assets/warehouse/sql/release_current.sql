select
    r.release_id, r.ontology, r.version, r.version_iri, r.load_id, r.is_partial, r.content_hash,
    -- Readers don't migrate, and before migration 2 there is no such column.
    to_jsonb(r) -> 'totals'
from efo_meta.releases as r
where r.target_schema = %s
order by r.release_id desc
limit 1
