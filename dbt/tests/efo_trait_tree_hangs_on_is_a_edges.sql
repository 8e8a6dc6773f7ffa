{# A term that hangs on a parent that isn't its is_a parent, or isn't one step above it. #}
{{ config(meta={'dagster': {'ref': {'name': 'efo_trait_tree'}}}) }}

select below.root_id, below.term_id, below.parent_id
from {{ ref('efo_trait_tree') }} as below
left join {{ ref('efo_trait_tree') }} as above
    on above.root_id = below.root_id and above.term_id = below.parent_id
left join {{ source('efo', 'efo_parent_edges') }} as e
    on e.child_id = below.term_id and e.parent_id = below.parent_id and e.predicate = 'is_a'
where below.depth > 0
    and (e.child_id is null or above.depth is distinct from below.depth - 1)
