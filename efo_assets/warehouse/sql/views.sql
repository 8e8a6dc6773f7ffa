-- name: view_mesh_xrefs
create or replace view {schema}.{prefix}mesh_xrefs as
select
    x.accession as mesh_id,
    t.id as term_id,
    t.iri,
    t.curie,
    t.label,
    x.relation,
    x.sources,
    x.url
from {schema}.{prefix}xrefs as x
join {schema}.{prefix}terms as t on t.id = x.term_id
where x.prefix = 'mesh' and not t.is_obsolete and t.removed_in is null

-- name: view_inherited_synonyms
create or replace view {schema}.{prefix}inherited_synonyms as
select
    r.target_id as term_id,
    substr(c.before, strpos(c.before, ': ') + 2) as synonym,
    s.scope,
    t.iri as inherited_from,
    c.release_id as lost_in
from {schema}.{prefix}changes as c
cross join lateral unnest(string_to_array(split_part(c.before, ': ', 1), ', ')) as s (scope)
join {schema}.{prefix}replacements as r
    on r.term_id = c.term_id and r.kind = 'replaced_by' and r.status = 'resolved'
join {schema}.{prefix}terms as t on t.id = c.term_id
where
    c.kind = 'synonym removed'
    -- A class may have been obsolete before, and current in between.
    and c.release_id = (
        select max(o.release_id)
        from {schema}.{prefix}changes as o
        where o.term_id = c.term_id and o.kind = 'obsoleted'
    )
    and not exists (
        select
        from {schema}.{prefix}synonyms as h
        where h.term_id = c.term_id and h.scope = s.scope
            and h.synonym = substr(c.before, strpos(c.before, ': ') + 2)
    )

-- name: view_inherited_xrefs
create or replace view {schema}.{prefix}inherited_xrefs as
select
    r.target_id as term_id,
    split_part(c.before, ':', 1) as prefix,
    substr(c.before, strpos(c.before, ':') + 1) as accession,
    t.iri as inherited_from,
    c.release_id as lost_in
from {schema}.{prefix}changes as c
join {schema}.{prefix}replacements as r
    on r.term_id = c.term_id and r.kind = 'replaced_by' and r.status = 'resolved'
join {schema}.{prefix}terms as t on t.id = c.term_id
where
    c.kind = 'xref removed'
    -- A class may have been obsolete before, and current in between.
    and c.release_id = (
        select max(o.release_id)
        from {schema}.{prefix}changes as o
        where o.term_id = c.term_id and o.kind = 'obsoleted'
    )
    and not exists (
        select
        from {schema}.{prefix}xrefs as h
        where h.term_id = c.term_id and h.prefix = split_part(c.before, ':', 1)
            and h.accession = substr(c.before, strpos(c.before, ':') + 1)
    )

-- name: view_labels
create or replace view {schema}.{prefix}labels as
-- Not materialized, so that a text that is sought is found by the indexes.
with texts as not materialized (
    select t.id as term_id, 'label' as kind, t.label as text, {schema}.{prefix}normalised(t.label) as normalised
    from {schema}.{prefix}terms as t
    where t.removed_in is null
    union all
    select t.id, 'other label', o.label, {schema}.{prefix}normalised(o.label)
    from {schema}.{prefix}terms as t
    cross join lateral unnest(t.other_labels) as o (label)
    where t.removed_in is null and t.other_labels <> '{{}}'
    union all
    select s.term_id, s.scope, s.synonym, {schema}.{prefix}normalised(s.synonym)
    from {schema}.{prefix}synonyms as s
)

select
    x.term_id,
    x.text,
    x.kind,
    null::text as inherited_from,
    x.normalised,
    null::bigint as lost_in
from texts as x
union all
select r.target_id, x.text, x.kind, t.iri, x.normalised, null
from texts as x
join {schema}.{prefix}replacements as r on r.term_id = x.term_id
join {schema}.{prefix}terms as t on t.id = x.term_id
where r.kind = 'replaced_by' and r.status = 'resolved'
union all
select
    n.term_id,
    n.synonym,
    n.scope,
    n.inherited_from,
    {schema}.{prefix}normalised(n.synonym),
    n.lost_in
from {schema}.{prefix}inherited_synonyms as n

-- name: view_ancestors
-- A walk for each term, so that those of a term that is named are found without all others.
create or replace view {schema}.{prefix}ancestors as
select t.id as term_id, a.ancestor_id, a.distance, a.is_a_distance
from {schema}.{prefix}terms as t
cross join lateral (
    with recursive walk as (
        select e.ancestor_id, 1 as distance, e.is_a_distance is not null as is_a
        from {schema}.{prefix}ancestor_edges as e
        where e.term_id = t.id
        union
        select e.ancestor_id, w.distance + 1, w.is_a and e.is_a_distance is not null
        from walk as w
        join {schema}.{prefix}ancestor_edges as e on e.term_id = w.ancestor_id
    )

    select
        w.ancestor_id,
        min(w.distance)::smallint as distance,
        (min(w.distance) filter (where w.is_a))::smallint as is_a_distance
    from walk as w
    group by w.ancestor_id
) as a

-- name: view_release
create or replace view {schema}.{prefix}release as
select
    r.release_id,
    r.ontology,
    r.version,
    r.version_iri,
    r.published_at,
    l.source_url,
    r.is_partial,
    r.release_id = max(r.release_id) over () as is_current,
    (
        select jsonb_object_agg({prefix_text} || c.key, c.value)
        from jsonb_each(r.counts) as c
    ) as counts,
    r.content_hash,
    l.base_release as compared_with
from efo_meta.releases as r
join efo_meta.loads as l on l.load_id = r.load_id
where r.target_schema = {schema_name}

-- name: view_change_digest
create or replace view {schema}.{prefix}change_digest as
select
    c.release_id,
    concat_ws(' ', r.ontology, r.version) as release,
    c.kind,
    count(*) as changes,
    count(distinct c.term_id) as terms
from {schema}.{prefix}changes as c
join efo_meta.releases as r on r.release_id = c.release_id
group by c.release_id, r.ontology, r.version, c.kind

-- name: view_comment
select case
    when %(arguments)s::text is null
        then obj_description(
            to_regclass(format('%%I.%%I', %(schema)s::text, %(name)s::text)), 'pg_class'
        )
    else obj_description(
        to_regprocedure(
            format('%%I.%%I(%%s)', %(schema)s::text, %(name)s::text, %(arguments)s::text)
        ),
        'pg_proc'
    )
end
