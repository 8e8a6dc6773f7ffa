select d.kind, d.changes, d.terms
from {schema}.efo_change_digest as d
where d.release_id = %(release_id)s
order by d.changes desc, d.kind
