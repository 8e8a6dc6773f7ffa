select
    r.release_id,
    r.ontology,
    r.version,
    r.version_iri,
    r.load_id,
    r.is_partial,
    r.content_hash,
    -- Readers don't migrate, and before migration 2 there is no such column.
    to_jsonb(r) -> 'totals',
    extract(epoch from r.published_at)::double precision,
    r.counts,
    r.changes
from efo_meta.releases as r
where r.target_schema = %(schema)s and r.load_id = coalesce(%(load_id)s, r.load_id)
order by r.release_id desc
limit 1
