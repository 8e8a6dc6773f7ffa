-- Ten questions that curators ask, on the demo's tables (generated sample data). After `make demo`:
--   EFO_DATA_DIR=.efo/demo .venv/bin/python -m efo_assets psql -f docs/queries.sql

-- 1. Which terms carry this name, as label or as synonym, in any case?
select t.curie, t.label, 'label' as found_as
from efo_terms as t
where lower(t.label) = lower('Rigidity of rib unilateral')
    and not t.is_obsolete and t.removed_in is null
union all
select t.curie, t.label, s.scope || ' synonym'
from efo_synonyms as s
join efo_terms as t on t.id = s.term_id
where lower(s.synonym) = lower('Rigidity of rib unilateral')
    and not t.is_obsolete and t.removed_in is null
order by 1, 3;

-- 2. Which terms are below a term, over any number of is_a steps? (The first five of all.)
with recursive below as (
    select t.id, 0 as steps
    from efo_terms as t
    where t.curie = 'MONDO:0000027'
    union
    select e.child_id, b.steps + 1
    from below as b
    join efo_parent_edges as e on e.parent_id = b.id and e.predicate = 'is_a'
)

select t.curie, t.label, min(b.steps) as steps, count(*) over () as of_all
from below as b
join efo_terms as t on t.id = b.id
where b.steps > 0
group by t.id
order by steps, t.curie
limit 5;

-- 3. Which terms are above a term, up to the root?
with recursive above as (
    select t.id, 0 as steps
    from efo_terms as t
    where t.curie = 'CHEBI:0000486'
    union
    select e.parent_id, a.steps + 1
    from above as a
    join efo_parent_edges as e on e.child_id = a.id and e.predicate = 'is_a'
)

select t.curie, t.label, min(a.steps) as steps, t.is_root
from above as a
join efo_terms as t on t.id = a.id
where a.steps > 0
group by t.id
order by steps, t.curie;

-- 4. What are all parents of a term, and by which relation?
select p.curie, p.label, e.predicate
from efo_parent_edges as e
join efo_terms as c on c.id = e.child_id
join efo_terms as p on p.id = e.parent_id
where c.curie = 'CHEBI:0000486'
order by e.predicate, p.curie;

-- 5. Which terms does a MeSH heading lead to?
select m.mesh_id, m.curie, m.label, m.relation
from efo_mesh_xrefs as m
where m.mesh_id = 'D008692'
order by m.curie;

-- 6. How many of the terms below each root have a MeSH heading?
with recursive below as (
    select t.id as root, t.id
    from efo_terms as t
    where t.is_root and t.removed_in is null
    union
    select b.root, e.child_id
    from below as b
    join efo_parent_edges as e on e.parent_id = b.id and e.predicate = 'is_a'
)

select
    r.curie,
    r.label,
    count(*) as terms,
    count(*) filter (where exists (select from efo_mesh_xrefs as m where m.term_id = b.id))
        as with_mesh
from below as b
join efo_terms as r on r.id = b.root
group by r.id
order by terms desc, r.curie;

-- 7. Which of a study's annotations fall under a term?
with recursive above as (
    select t.curie as annotation, t.id
    from efo_terms as t
    where t.curie in ('CHEBI:0000146', 'CHEBI:0000486', 'CHEBI:0001206', 'CHEBI:0002090')
    union
    select a.annotation, e.parent_id
    from above as a
    join efo_parent_edges as e on e.child_id = a.id and e.predicate = 'is_a'
)

select a.annotation, t.label
from above as a
join efo_terms as u on u.id = a.id and u.curie = 'PR:0000013'
join efo_terms as t on t.curie = a.annotation
order by a.annotation;

-- 8. Which of a study's annotations are out of date?
select
    a.curie,
    case
        when t.id is null then 'never listed'
        when t.removed_in is not null then 'vanished in release ' || t.removed_in
        when t.is_obsolete then 'obsolete'
        else 'current'
    end as state,
    t.label
from unnest(array['CHEBI:0000486', 'CHEBI:0000452', 'EFO:9999999']) as a (curie)
left join efo_terms as t on t.curie = a.curie
order by a.curie;

-- 9. What did each release bring?
select
    r.release_id,
    r.ontology || ' ' || r.version as version,
    count(*) filter (where t.first_release = r.release_id) as new_terms,
    count(*) filter (
        where t.changed_release = r.release_id and t.first_release < r.release_id
            and t.removed_in is null
    ) as changed,
    count(*) filter (where t.removed_in = r.release_id) as vanished
from efo_meta.releases as r
join efo_terms as t on r.release_id in (t.first_release, t.changed_release, t.removed_in)
where r.target_schema = current_schema
group by r.release_id
order by r.release_id desc;

-- 10. How many cross references lead to each database, from how many terms?
select x.prefix, count(*) as xrefs, count(distinct x.term_id) as terms
from efo_xrefs as x
group by x.prefix
order by xrefs desc, x.prefix;
