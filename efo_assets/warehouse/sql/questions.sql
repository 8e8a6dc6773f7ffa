-- name: change_examples
select d.kind, d.changes, d.terms, e.examples
from {schema}.{prefix}change_digest as d
cross join lateral (
    select jsonb_agg(
        jsonb_build_object(
            'curie', coalesce(t.curie, t.iri), 'label', t.label, 'before', c.before,
            'after', c.after
        )
        order by c.ordinal
    ) as examples
    from (
        select c.term_id, c.ordinal, c.before, c.after
        from {schema}.{prefix}changes as c
        where c.release_id = d.release_id and c.kind = d.kind
        order by c.ordinal
        limit %(examples)s
    ) as c
    join {schema}.{prefix}terms as t on t.id = c.term_id
) as e
where d.release_id = %(release_id)s
order by d.changes desc, d.kind

-- name: rows_written
select coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)
from pg_stat_user_tables
where schemaname = %(schema)s
    and relname = any(%(tables)s)

-- name: demo_subjects
-- What the demo asks about: a synonym, a term with many terms below it, and a MeSH identifier.
select
    (
        select s.synonym
        from {schema}.{prefix}synonyms as s
        join {schema}.{prefix}terms as t on t.id = s.term_id
        where s.scope = 'exact' and not t.is_obsolete and t.removed_in is null
            and s.synonym ~ '^[a-z]+ [a-z]+ [a-z ]+$'
        order by s.synonym
        limit 1
    ),
    (
        select t.curie
        from {schema}.{prefix}terms as t
        where t.curie is not null and not t.is_root and not t.is_obsolete and t.removed_in is null
        order by (
            select count(*)
            from {schema}.{prefix}parent_edges as e
            where e.parent_id = t.id and e.predicate = 'is_a'
        ) desc, t.curie
        limit 1
    ),
    (
        select m.mesh_id
        from {schema}.{prefix}mesh_terms as m
        order by m.mesh_id
        limit 1
    )

-- name: question_text
select l.curie, l.label, l.kind, l.matched
from {schema}.{prefix}lookup(%(text)s) as l
limit 5

-- name: question_descendants
select d.curie, d.label, d.distance, count(*) over () as of_all
from {schema}.{prefix}descendants(%(curie)s) as d
order by d.distance, d.curie
limit 5

-- name: question_mesh
select m.mesh_id, t.curie, t.label, m.relation
from {schema}.{prefix}mesh_terms as m
join {schema}.{prefix}terms as t on t.id = m.term_id
where m.mesh_id = %(mesh_id)s
order by m.relation, t.curie
limit 5

-- name: resolved
select
    r.id,
    r.status,
    r.curie,
    r.label,
    r.iri,
    case when r.found_iri is distinct from r.iri then r.found_label end as was,
    nullif(array_to_string(r.candidates, ' '), '') as candidates
from {schema}.{prefix}resolve(%(ids)s::text[]) as r
order by r.ordinal
