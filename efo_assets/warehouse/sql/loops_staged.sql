select distinct on (r.iri) r.iri, r.path
from {load}.replacements as r
where r.status = 'cycle'
order by r.iri, r.ordinal
