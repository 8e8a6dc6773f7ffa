select t.curie, t.label, 'label' as found_as
from {schema}.efo_terms as t
where lower(t.label) = lower(%(text)s) and not t.is_obsolete and t.removed_in is null
union
select t.curie, t.label, s.scope || ' synonym'
from {schema}.efo_synonyms as s
join {schema}.efo_terms as t on t.id = s.term_id
where lower(s.synonym) = lower(%(text)s) and not t.is_obsolete and t.removed_in is null
order by 1, 3
limit 5
