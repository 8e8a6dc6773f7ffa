{# The newest row of the ledger for the published schema, as release_id and release. #}
{% macro current_release() %}
select
    release_id,
    -- An ontology need not state a version.
    ontology || coalesce(' ' || version, '') as release
from {{ source('efo_meta', 'releases') }}
where target_schema = '{{ source("efo", "efo_terms").schema }}'
order by release_id desc
limit 1
{% endmacro %}
