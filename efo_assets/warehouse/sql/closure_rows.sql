insert into {load}.ancestors (term_number, ancestor_number, distance, is_a_distance)
select c.term, above.ancestor, above.distance, above.is_a_distance
from pg_temp.efo_closure as c
cross join lateral unnest(c.ancestors, c.distances, c.is_a_distances)
as above (ancestor, distance, is_a_distance)
