select t.iri
from {schema}.efo_replacements as r
join {schema}.efo_terms as t on t.id = r.term_id
where r.status = 'cycle'
