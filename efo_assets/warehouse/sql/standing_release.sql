select
    r.release_id,
    r.ontology,
    coalesce(r.version, ''),
    coalesce(r.version_iri, ''),
    r.is_partial,
    extract(epoch from r.published_at)::double precision,
    r.counts,
    r.changes
from efo_meta.releases as r
where r.target_schema = %(schema)s
order by r.release_id desc
limit 1
