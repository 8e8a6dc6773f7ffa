create or replace view {schema}.efo_labels as
-- Not materialized, so that a text that is sought is found by the indexes.
with texts as not materialized (
    select t.id as term_id, 'label' as kind, t.label as text, {term_label} as normalised
    from {schema}.efo_terms as t
    where t.removed_in is null
    union all
    select t.id, 'other label', o.label, {other_label}
    from {schema}.efo_terms as t
    cross join lateral unnest(t.other_labels) as o (label)
    where t.removed_in is null and t.other_labels <> '{{}}'
    union all
    select s.term_id, s.scope, s.synonym, {synonym}
    from {schema}.efo_synonyms as s
)

select
    x.term_id,
    x.text,
    x.kind,
    null::text as inherited_from,
    x.normalised
from texts as x
union all
select r.target_id, x.text, x.kind, t.iri, x.normalised
from texts as x
join {schema}.efo_replacements as r on r.term_id = x.term_id
join {schema}.efo_terms as t on t.id = x.term_id
where r.kind = 'replaced_by' and r.status = 'resolved'
