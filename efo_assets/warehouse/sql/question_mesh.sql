select m.mesh_id, m.curie, m.label, m.relation
from {schema}.efo_mesh_xrefs as m
where m.mesh_id = %(mesh_id)s
order by m.relation, m.curie
limit 5
