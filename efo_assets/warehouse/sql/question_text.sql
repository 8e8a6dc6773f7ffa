select l.curie, l.label, l.kind, l.matched
from {schema}.efo_lookup(%(text)s) as l
limit 5
