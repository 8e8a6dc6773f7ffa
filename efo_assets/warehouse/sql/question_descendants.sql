select d.curie, d.label, d.distance, count(*) over () as of_all
from {schema}.efo_descendants(%(curie)s) as d
order by d.distance, d.curie
limit 5
