select release_id
from efo_meta.releases
where target_schema = %(schema)s
    and version is not distinct from %(version)s
    and version_iri is not distinct from %(version_iri)s
    and not is_partial
limit 1
