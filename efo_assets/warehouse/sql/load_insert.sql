insert into efo_meta.loads (
    load_id, target_schema, ontology, version, version_iri, loaded, fingerprint, source_url,
    format_version, is_partial, class_limit, expected_terms, state, run_id, totals
) values (
    %(load_id)s, %(target_schema)s, %(ontology)s, %(version)s, %(version_iri)s, %(loaded)s,
    %(fingerprint)s, %(source_url)s, %(format_version)s, %(is_partial)s, %(class_limit)s,
    %(expected_terms)s, %(state)s, %(run_id)s, %(totals)s
)
