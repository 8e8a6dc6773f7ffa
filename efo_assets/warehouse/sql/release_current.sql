select release_id, ontology, version, version_iri, load_id, is_partial, content_hash
from efo_meta.releases
where target_schema = %s
order by release_id desc
limit 1
