-- name: reader_settings
set transaction isolation level repeatable read read only;
set local statement_timeout = {timeout_ms}

-- name: told_release
select
    r.ontology,
    r.version,
    r.release_id as number,
    to_char(r.published_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') as published_at,
    r.is_partial
from {schema}.{prefix}release as r
where r.is_current

-- name: told_id
select r.status, r.iri, r.curie, r.label, r.found_iri, r.found_label, r.candidates, r.removed_in
from {schema}.{prefix}resolve(array[%(id)s]) as r

-- name: told_lookup
select
    l.curie,
    l.iri,
    l.label,
    l.matched,
    l.kind,
    l.inherited_from,
    l.is_ambiguous,
    count(*) over () as of_all
from {schema}.{prefix}lookup(%(name)s) with ordinality as l
order by l.ordinality
limit %(most)s

-- name: told_search
select s.curie, s.iri, s.label, s.matched, s.kind, s.score, count(*) over () as of_all
from {schema}.{prefix}search(%(words)s, 1000) with ordinality as s
order by s.ordinality
limit %(most)s

-- name: told_check
select
    c.status,
    c.agreement,
    c.curie,
    c.iri,
    c.today as label,
    c.found_iri,
    c.found_label,
    c.candidates
from {schema}.{prefix}check(%(id)s, %(label)s) as c

-- name: told_term
select
    t.curie,
    t.iri,
    t.label,
    t.other_labels,
    t.definition,
    t.is_obsolete,
    t.removed_in is not null as has_vanished,
    t.is_root,
    t.subsets,
    t.obsolescence_reason,
    array(
        select s.scope || ': ' || s.synonym
        from {schema}.{prefix}synonyms as s
        where s.term_id = t.id
        order by s.scope, s.synonym
    ) as synonyms,
    array(
        select concat_ws(' ', e.predicate, coalesce(p.curie, p.iri), '(' || p.label || ')')
        from {schema}.{prefix}parent_edges as e
        join {schema}.{prefix}terms as p on p.id = e.parent_id
        where e.child_id = t.id
        order by e.predicate, p.iri
    ) as parents,
    (
        select count(distinct e.child_id)
        from {schema}.{prefix}parent_edges as e
        where e.parent_id = t.id
    ) as children,
    array(
        select concat_ws(' ', x.relation, x.prefix || ':' || x.accession)
        from {schema}.{prefix}xrefs as x
        where x.term_id = t.id
        order by x.prefix, x.accession
    ) as xrefs
from {schema}.{prefix}terms as t
where t.iri = %(iri)s

-- name: told_ancestors
select a.curie, a.iri, a.label, a.distance, count(*) over () as of_all
from {schema}.{prefix}ancestors_of(%(iri)s, %(over_parts)s) as a
order by a.distance, a.iri
limit %(most)s

-- name: told_descendants
select d.curie, d.iri, d.label, d.distance, count(*) over () as of_all
from {schema}.{prefix}descendants(%(iri)s, %(over_parts)s) as d
order by d.distance, d.iri
limit %(most)s

-- name: told_replacements
select
    n.curie,
    r.target as iri,
    n.label,
    r.kind,
    r.status,
    r.hops,
    r.path,
    r.evidence,
    count(*) over () as of_all
from {schema}.{prefix}terms as t
join {schema}.{prefix}replacements as r on r.term_id = t.id
left join {schema}.{prefix}terms as n on n.id = r.target_id
where t.iri = %(iri)s
order by r.ordinal
limit %(most)s

-- name: told_releases
select
    r.release_id as number,
    r.version,
    to_char(r.published_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') as published_at,
    r.is_partial,
    r.compared_with,
    (
        select jsonb_object_agg(d.kind, d.changes)
        from {schema}.{prefix}change_digest as d
        where d.release_id = r.release_id
    ) as changes,
    count(*) over () as of_all
from {schema}.{prefix}release as r
order by r.release_id desc
limit %(most)s

-- name: told_numbers
select
    count(*) as releases,
    coalesce(bool_or(r.release_id = %(release)s), false) as is_known,
    (array_agg(r.release_id order by r.release_id desc))[:%(most)s] as numbers
from {schema}.{prefix}release as r

-- name: told_changes
select
    c.release_id as release,
    t.curie,
    t.iri,
    t.label,
    c.kind,
    c.before,
    c.after,
    count(*) over () as of_all
from {schema}.{prefix}changes as c
join {schema}.{prefix}terms as t on t.id = c.term_id
where
    (%(release)s::bigint is null or c.release_id = %(release)s)
    and (
        %(iri)s::text is null
        or c.term_id = (select o.id from {schema}.{prefix}terms as o where o.iri = %(iri)s)
    )
    and (%(kind)s::text is null or c.kind = %(kind)s)
order by c.release_id desc, c.ordinal
limit %(most)s

-- name: told_diff
select d.curie, d.iri, d.label, d.kind, d.before, d.after, count(*) over () as of_all
from {schema}.{prefix}diff(%(earlier)s, %(later)s) with ordinality as d
where
    (%(iri)s::text is null or d.iri = %(iri)s)
    and (%(kind)s::text is null or d.kind = %(kind)s)
order by d.ordinality
limit %(most)s

-- name: told_mesh
with led as (
    select
        m.mesh_id,
        m.term_id,
        m.relation,
        m.is_own,
        m.via,
        m.is_only_term,
        m.is_only_mesh_id,
        null::bigint as lost_in
    from {schema}.{prefix}mesh_terms as m
    union all
    select
        upper(btrim(x.accession)),
        x.term_id,
        null,
        false,
        array[x.inherited_from],
        null,
        null,
        x.lost_in
    from {schema}.{prefix}inherited_xrefs as x
    where x.prefix = 'mesh' and upper(btrim(x.accession)) ~ {mesh_id}
        and not exists (
            select from {schema}.{prefix}mesh_terms as m
            where m.term_id = x.term_id and m.mesh_id = upper(btrim(x.accession))
        )
)

select
    l.mesh_id,
    t.curie,
    t.iri,
    t.label,
    l.relation,
    l.is_own,
    l.via,
    l.is_only_term,
    l.is_only_mesh_id,
    l.lost_in,
    count(*) over () as of_all
from led as l
join {schema}.{prefix}terms as t on t.id = l.term_id
where
    l.mesh_id = %(mesh_id)s
    or l.term_id = (select o.id from {schema}.{prefix}terms as o where o.iri = %(iri)s)
order by l.lost_in is not null, l.mesh_id, t.iri
limit %(most)s
