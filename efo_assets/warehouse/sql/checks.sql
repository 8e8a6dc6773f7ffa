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

-- name: check_values_are_well_formed
select k.kind, (k.value ->> 'count')::bigint as count, k.value -> 'samples' as samples
from efo_meta.loads as l
cross join jsonb_each(l.findings) as k (kind, value)
where l.load_id = %(load_id)s and k.kind not in ('owl_thing', 'no_label')

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
select t.iri as child_iri, d.parent_iri
from {load}.dangling_edges as d
left join {load}.terms as t on t.id = d.child_id

-- name: edges_named
select c.iri as child_iri, p.iri as parent_iri
from unnest({children}::bigint[], {parents}::bigint[]) as e (child, parent)
join {load}.terms as c on c.id = e.child
join {load}.terms as p on p.id = e.parent

-- name: check_replacements_are_of_every_obsolete_class
select t.iri
from {load}.terms as t
where t.is_obsolete <> exists (select from {load}.replacements as r where r.term_id = t.id)
union all
select r.path[1]
from {load}.replacements as r
where not exists (select from {load}.terms as t where t.id = r.term_id)

-- name: check_replacements_lead_where_they_say
select r.path[1] as iri, r.status, r.target
from {load}.replacements as r
left join {load}.terms as o on o.id = r.term_id
left join {load}.terms as t on t.id = r.target_id
where r.path[1] is distinct from o.iri
    or r.hops is distinct from cardinality(r.path) - 1
    or r.path[r.hops + 1] is distinct from coalesce(r.target, o.iri)
    or t.iri <> r.target
    or case r.status
        when 'resolved' then t.is_obsolete is not false
        when 'ambiguous' then t.is_obsolete is not false
        when 'dead_end' then t.is_obsolete is not true
        when 'cycle' then not r.target = any (r.path[: r.hops])
        else r.target_id is not null
    end
union
select o.iri, r.status, t.iri
from {load}.replacements as r
join {load}.terms as o on o.id = r.term_id
cross join lateral unnest(o.replaced_by || o.consider || r.target) as stated (value)
join {load}.terms as t on t.iri = stated.value
where r.status in ('no_replacement', 'target_missing')
    -- What a class names itself, or what its row says is missing.
    and (r.status = 'no_replacement' or stated.value = r.target)

-- name: check_mesh_terms_follow_from_xrefs
with carried as materialized (
    select term_id, upper(btrim(accession)) as mesh_id
    from {load}.xrefs
    where prefix = 'mesh' and upper(btrim(accession)) ~ {mesh_id}
),

reached as (
    select c.term_id, c.mesh_id, true as is_own
    from carried as c
    join {load}.terms as t on t.id = c.term_id and not t.is_obsolete
    union
    select r.target_id, c.mesh_id, false
    from carried as c
    join {load}.replacements as r
        on r.term_id = c.term_id and r.kind = 'replaced_by' and r.status = 'resolved'
),

wanted as (
    select
        term_id,
        mesh_id,
        bool_or(is_own) as is_own,
        count(*) over (partition by mesh_id) = 1 as is_only_term,
        count(*) over (partition by term_id) = 1 as is_only_mesh_id
    from reached
    group by term_id, mesh_id
)

select t.iri, coalesce(w.mesh_id, m.mesh_id) as mesh_id
from wanted as w
full join {load}.mesh_terms as m on m.term_id = w.term_id and m.mesh_id = w.mesh_id
left join {load}.terms as t on t.id = coalesce(w.term_id, m.term_id)
where w.term_id is null
    or m.term_id is null
    or (w.is_own, w.is_only_term, w.is_only_mesh_id)
        is distinct from (m.is_own, m.is_only_term, m.is_only_mesh_id)

-- name: check_mesh_terms_are_current
select m.mesh_id, t.iri
from {load}.mesh_terms as m
left join {load}.terms as t on t.id = m.term_id
where t.is_obsolete is not false

-- name: check_mesh_ids_are_well_formed
with malformed as materialized (
    select term_id, accession
    from {load}.xrefs
    where prefix = 'mesh' and not upper(btrim(accession)) ~ {mesh_id}
)

select t.iri, m.accession
from malformed as m
left join {load}.terms as t on t.id = m.term_id
order by t.iri

-- name: check_ancestors_are_others
select t.iri
from {load}.ancestors as a
left join {load}.terms as t on t.id = a.term_id
where a.term_id = a.ancestor_id

-- name: followed_edges
-- The edges that make ancestors, and whether the derivation followed them.
create temporary table if not exists efo_followed_edges on commit drop as
select e.child, e.parent, e.is_a, a.distance is not null as is_followed
from (
    select e.child_id as child, e.parent_id as parent, bool_or(e.predicate = 'is_a') as is_a
    from {load}.parent_edges as e
    where e.predicate = any({closure_predicates})
    group by e.child_id, e.parent_id
) as e
left join {load}.ancestors as a
    on a.term_id = e.child and a.ancestor_id = e.parent and a.distance = 1;
analyze pg_temp.efo_followed_edges

-- name: edges_not_followed
select c.iri as child_iri, p.iri as parent_iri, e.predicate
from {load}.parent_edges as e
join pg_temp.efo_followed_edges as f on f.child = e.child_id and f.parent = e.parent_id
join {load}.terms as c on c.id = e.child_id
join {load}.terms as p on p.id = e.parent_id
where not f.is_followed and e.predicate = any({closure_predicates})

-- name: edges_left_out
-- Edges that were not followed and close no cycle.
select c.iri as child, p.iri as parent
from pg_temp.efo_followed_edges as e
join {load}.terms as c on c.id = e.child
join {load}.terms as p on p.id = e.parent
left join unnest({children}::bigint[], {parents}::bigint[]) as cyclic (child, parent)
    on cyclic.child = e.child and cyclic.parent = e.parent
where not e.is_followed and cyclic.child is null

-- name: ancestors_astray
-- Ancestors of every so manieth term that a walk along the followed edges doesn't find, or finds
-- elsewhere, and those that it finds alone.
with recursive walk as (
    select e.child as term, e.parent as ancestor, 1 as distance, e.is_a
    from pg_temp.efo_followed_edges as e
    where e.is_followed and mod(e.child, {step}) = 0
    union
    select w.term, e.parent, w.distance + 1, w.is_a and e.is_a
    from walk as w
    join pg_temp.efo_followed_edges as e on e.child = w.ancestor and e.is_followed
    where w.distance <= {most_levels}
),

wanted as (
    select
        term, ancestor, min(distance) as distance, min(distance) filter (where is_a) as is_a_distance
    from walk
    group by term, ancestor
)

select c.iri as term, p.iri as ancestor
from wanted as w
full join (select * from {load}.ancestors where mod(term_id, {step}) = 0) as a
    on a.term_id = w.term and a.ancestor_id = w.ancestor
left join {load}.terms as c on c.id = coalesce(w.term, a.term_id)
left join {load}.terms as p on p.id = coalesce(w.ancestor, a.ancestor_id)
where w.term is null
    or a.term_id is null
    or (w.distance, w.is_a_distance) is distinct from (a.distance, a.is_a_distance)

-- name: changes_miscounted
-- Kinds of changes of terms of which the two releases, side by side, show another number.
with pairs as (
    select
        p.iri is null as is_added,
        s.iri is null as is_gone,
        p.removed_in is not null as was_gone,
        p.is_obsolete as was_obsolete,
        s.is_obsolete,
        p.label <> s.label as is_relabelled,
        p.definition is distinct from s.definition as is_redefined
    from {schema}.{prefix}terms as p
    full join {load}.terms as s on s.id = p.id
),

counted as (
    select
        count(*) filter (where is_added) as added,
        count(*) filter (where is_gone and not was_gone) as removed,
        count(*) filter (where not is_gone and was_gone)
        + count(*) filter (where was_obsolete and not is_obsolete) as restored,
        count(*) filter (where is_obsolete and not was_obsolete) as obsoleted,
        count(*) filter (where not was_gone and was_obsolete = is_obsolete and is_relabelled) as relabelled,
        count(*) filter (where not is_added and not is_gone and is_redefined) as redefined
    from pairs
),

told as (
    select kind, count(*) as rows from {load}.changes group by kind
)

select k.kind, coalesce(t.rows, 0) as told, k.rows as found
from counted as c
cross join lateral (
    values
    ('added', c.added),
    ('removed', c.removed),
    ('restored', c.restored),
    ('obsoleted', c.obsoleted),
    ('relabelled', c.relabelled),
    ('redefined', c.redefined)
) as k (kind, rows)
left join told as t on t.kind = k.kind
where coalesce(t.rows, 0) <> k.rows

-- name: changes_without_base
select t.iri, c.kind
from {load}.changes as c
left join {load}.terms as t on t.id = c.term_id

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
        where r.target_schema = %(schema)s and r.ontology = %(ontology)s and not r.is_partial
        order by r.release_id desc
        limit 1
    ),
    (select count(*) from {staged})

-- name: loops_published
select t.iri
from {schema}.{prefix}replacements as r
join {schema}.{prefix}terms as t on t.id = r.term_id
where r.status = 'cycle'

-- name: loops_staged
select distinct on (r.term_id) r.path[1], r.path
from {load}.replacements as r
where r.status = 'cycle'
order by r.term_id, r.ordinal

-- name: touched
-- Classes that stood when the load was compared, and those of them that it changes.
select
    (
        select (r.counts ->> 'terms')::bigint
        from efo_meta.releases as r
        where r.release_id = %(base_release)s
    ),
    (select count(*) from (select term_id from {load}.changes where kind <> 'added' group by term_id) as t)

-- name: has_key
-- Whether no two rows of a staged table can be alike in these columns, by an index.
select exists (
    select from pg_index as i
    where i.indrelid = t.relation
        and i.indisunique and i.indisvalid and i.indimmediate
        and i.indpred is null and i.indexprs is null
        and array(
            select a.attname::text from pg_attribute as a
            where a.attrelid = i.indrelid and a.attnum = any(i.indkey)
        ) <@ %(columns)s::text[]
)
and not exists (
    select from pg_attribute as a
    where a.attrelid = t.relation and a.attname = any(%(columns)s::text[]) and not a.attnotnull
)
from (select to_regclass(format('%%I.%%I', %(load)s::text, %(table)s::text)) as relation) as t

-- name: has_references
-- Whether foreign keys on these columns of a staged table have been found to lead to staged terms.
select array(
    select a.attname::text
    from pg_constraint as k
    join pg_attribute as a on a.attrelid = k.conrelid and k.conkey = array[a.attnum]
    join pg_attribute as b on b.attrelid = k.confrelid and k.confkey = array[b.attnum]
    where k.contype = 'f' and k.convalidated
        and k.conrelid = to_regclass(format('%%I.%%I', %(load)s::text, %(table)s::text))
        and k.confrelid = to_regclass(format('%%I.terms', %(load)s::text))
        and b.attname = 'id'
) @> %(columns)s::text[]
