-- name: offenders
-- The rows of a check's query, counted, and some of them.
with offender as (
    {query}
)

select
    coalesce(sum({weight}), 0)::bigint,
    (select jsonb_agg(to_jsonb(s)) from (select * from offender limit {samples}) as s)
from offender

-- name: check_terms_are_complete
select l.expected_terms as announced, t.staged
from efo_meta.loads as l
cross join (select count(*) as staged from {load}.terms) as t
where l.load_id = %(load_id)s and l.expected_terms <> t.staged

-- name: check_terms_have_labels
-- A term without a label has the last part of its IRI for one.
select coalesce(label, iri) as short_form
from {load}.terms
where label is null or right(iri, char_length(label) + 1) in ('/' || label, '#' || label)
order by 1

-- name: check_values_are_well_formed
select k.kind, (k.value ->> 'count')::bigint as count, k.value -> 'samples' as samples
from efo_meta.loads as l
cross join jsonb_each(l.findings) as k (kind, value)
where l.load_id = %(load_id)s and k.kind <> 'owl_thing'

-- name: check_labels_are_unique
select label, count(*) as times, min(iri) as first_iri, max(iri) as last_iri
from {load}.terms
where not is_obsolete and label is not null
group by label
having count(*) > 1

-- name: check_iris_are_not_alike
select min(iri) as iri, max(iri) as like, count(*) as times
from (
    select
        iri,
        -- What is ASCII already has one Unicode form, and is folded many times as fast.
        case
            when octet_length(iri) = char_length(iri) then lower(btrim(iri) collate "C")
            else lower(btrim(translate(normalize(iri, nfc), {cased}, {uncased})) collate "C")
        end as folded
    from {load}.terms
) as t
group by folded
having min(iri collate "C") <> max(iri collate "C")

-- name: check_edges_are_not_dangling
select child_iri, parent_iri from {load}.dangling_edges

-- name: check_replacements_are_of_every_obsolete_class
select t.iri
from {load}.terms as t
where t.is_obsolete <> exists (select from {load}.replacements as r where r.iri = t.iri)
union all
select r.iri
from {load}.replacements as r
where not exists (select from {load}.terms as t where t.iri = r.iri)

-- name: check_mesh_terms_are_current
select m.mesh_id, m.iri
from {load}.mesh_terms as m
where not exists (select from {load}.terms as t where t.iri = m.iri and not t.is_obsolete)

-- name: check_mesh_ids_are_well_formed
select x.iri, x.accession
from {load}.xrefs as x
where x.prefix = 'mesh' and not upper(btrim(x.accession)) ~ {mesh_id}
order by x.iri

-- name: check_ancestors_are_others
select t.iri
from {load}.ancestors as a
left join {load}.terms as t on t.number = a.term_number
where a.term_number = a.ancestor_number

-- name: check_ancestors_follow_every_edge
select e.child_iri, e.parent_iri, e.predicate
from {load}.parent_edges as e
join {load}.terms as c on c.iri = e.child_iri
join {load}.terms as p on p.iri = e.parent_iri
left join {load}.ancestors as a
    on a.term_number = c.number and a.ancestor_number = p.number and a.distance = 1
where e.predicate = any({closure_predicates})
    and a.distance is null

-- name: check_sql_means_what_it_says
-- One known answer for each kind of expression that derivations, keys and functions rest on.
select k.expression, k.given, k.wanted
from (
    values
    ('a backslash', length('\\')::text, '2'),
    ('null = null', ((null::text = null) is null)::text, 'true'),
    ('a null in an array', (('{{NULL}}'::text[])[1] is null)::text, 'true'),
    ('MeSH ids', (upper(btrim(' d006973 ')) ~ {mesh_id} and not 'C14.907' ~ {mesh_id})::text, 'true'),
    (
        'names in a text',
        (
            select string_agg(rtrim(found[1], '.,;)'), ' ')
            from regexp_matches(
                translate('see http://x.org/A_1, or HP_0045074' || chr(160) || 'or EFO:1; note.', {blanks}, {spaces})
                collate "C",
                {names},
                'g'
            ) as found
        ),
        'http://x.org/A_1 HP_0045074 EFO:1'
    ),
    ('short forms', regexp_replace('HP_0045074', '_', ':'), 'HP:0045074'),
    (
        'punctuation',
        regexp_replace('a' || chr(92) || 'b ' || chr(8211) || 's,.c', {punctuation}, ' ', 'g'),
        'a b s c'
    ),
    ('letters in lower case', lower(translate('SJ' || chr(214) || 'GREN', {cased}, {uncased}) collate "C"), 'sj' || chr(246) || 'gren'),
    ('order', array_to_string(array(select x from unnest(array['b', 'A', 'a', 'B']) as x order by x collate "C"), ''), 'ABab')
) as k (expression, given, wanted)
where k.given is distinct from k.wanted

-- name: shrinkage
select
    (
        select (r.counts ->> %(table)s)::bigint
        from efo_meta.releases as r
        where r.target_schema = %(schema)s and not r.is_partial
        order by r.release_id desc
        limit 1
    ),
    (select count(*) from {staged})

-- name: loops_published
select t.iri
from {schema}.efo_replacements as r
join {schema}.efo_terms as t on t.id = r.term_id
where r.status = 'cycle'

-- name: loops_staged
select distinct on (r.iri) r.iri, r.path
from {load}.replacements as r
where r.status = 'cycle'
order by r.iri, r.ordinal

-- name: kinds_halved
select p.kind, p.rows, coalesce(s.rows, 0)
from (select {column} as kind, count(*) as rows from {published} group by {column}) as p
left join (select {column} as kind, count(*) as rows from {staged} group by {column}) as s
    on s.kind = p.kind
where p.rows >= %(few)s and coalesce(s.rows, 0) * 2 < p.rows
order by p.kind
