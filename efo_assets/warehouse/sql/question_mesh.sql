select m.mesh_id, t.curie, t.label, m.relation
from {schema}.efo_mesh_terms as m
join {schema}.efo_terms as t on t.id = m.term_id
where m.mesh_id = %(mesh_id)s
order by m.relation, t.curie
limit 5
