insert into efo_meta.releases (
    target_schema, ontology, version, version_iri, loaded, fingerprint, load_id, is_partial,
    counts, changes, content_hash, allowed_shrink, run_id, totals
) values (
    %(target_schema)s, %(ontology)s, %(version)s, %(version_iri)s, %(loaded)s, %(fingerprint)s,
    %(load_id)s, %(is_partial)s, %(counts)s, '{{}}', %(content_hash)s, %(allowed_shrink)s,
    %(run_id)s, %(totals)s
)
returning release_id
