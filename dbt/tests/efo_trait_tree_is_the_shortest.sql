{# An is_a edge that would lead to a term in fewer steps, or to one that is missing from the tree. #}
{{ config(meta={'dagster': {'ref': {'name': 'efo_trait_tree'}}}) }}

select above.root_id, e.parent_id, e.child_id
from {{ ref('efo_trait_tree') }} as above
join {{ source('efo', 'efo_parent_edges') }} as e
    on e.parent_id = above.term_id and e.predicate = 'is_a'
join {{ source('efo', 'efo_terms') }} as t
    on t.id = e.child_id and not t.is_obsolete and t.removed_in is null
left join {{ ref('efo_trait_tree') }} as below
    on below.root_id = above.root_id and below.term_id = e.child_id
where below.depth is null or below.depth > above.depth + 1
