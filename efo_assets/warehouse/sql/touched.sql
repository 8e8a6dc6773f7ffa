-- name: base_load
-- The published load whose copied rows are those of the release that stands, if it kept their hashes.
select l.load_id, l.sealed ->> {class_hashes}
from efo_meta.loads as l
join efo_meta.releases as r on r.release_id = %(base_release)s
where l.target_schema = r.target_schema
    and l.state = 'published'
    and l.format_version = %(format_version)s
    and to_regclass(format('efo_load_%%s.%%I', l.load_id, {class_hashes})) is not null
    and l.sealed ? {class_hashes}
    and not exists (
        select from unnest(%(copied)s::text[]) as t (name)
        where strpos(
            ' ' || r.content_hash || ' ', ' ' || t.name || '=' || (l.sealed ->> t.name) || ' '
        ) = 0
    )
order by l.staged_at desc
limit 1

-- name: touched_make
-- Terms whose copied or resolved rows differ from those of the release that stands: an edge is
-- dangling or not as its parent goes or comes.
create temporary table efo_touched on commit drop as
with differing as (
    select
        coalesce(a.term_id, b.term_id) as term_id,
        a.term_id is null or b.term_id is null as is_other
    from {load}.{class_hashes} as a
    full join {base}.{class_hashes} as b on b.term_id = a.term_id
    where a.hash is distinct from b.hash
)

select term_id from differing
union
select e.child_id
from {load}.parent_edges as e
join differing as d on d.term_id = e.parent_id and d.is_other
union
select e.child_id
from {parent_edges} as e
join differing as d on d.term_id = e.parent_id and d.is_other;
analyze pg_temp.efo_touched

-- name: moved_make
-- Terms with another edge, and all below them: on the way up from any other there is none, so that
-- its ancestors can differ only where edges on a cycle are left out.
create temporary table efo_moved on commit drop as
with moved as (
    select coalesce(a.child_id, b.child_id) as term_id
    from (
        select child_id, parent_id, predicate
        from {load}.parent_edges
        where child_id in (select term_id from pg_temp.efo_touched)
    ) as a
    full join (
        select child_id, parent_id, predicate
        from {parent_edges}
        where child_id in (select term_id from pg_temp.efo_touched)
    ) as b on (a.child_id, a.parent_id, a.predicate) = (b.child_id, b.parent_id, b.predicate)
    where a.child_id is null or b.child_id is null
)

select term_id from moved
union
select term_id from {ancestors} where ancestor_id in (select term_id from moved);
analyze pg_temp.efo_moved
