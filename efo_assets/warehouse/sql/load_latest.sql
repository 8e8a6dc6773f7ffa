select
    load_id, target_schema, state, expected_terms, counts, findings, base_release,
    ontology, version, version_iri, loaded, fingerprint, source_url, class_limit, totals
from efo_meta.loads
where target_schema = %(schema)s
    and format_version = %(format_version)s
    and state in ('staged', 'published')
    and to_regnamespace('efo_load_' || load_id) is not null
order by staged_at desc
limit 1
