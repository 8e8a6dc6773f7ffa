with recursive below as (
    select t.id
    from {schema}.efo_terms as t
    where t.curie = %(curie)s
    union
    select e.child_id
    from below
    join {schema}.efo_parent_edges as e on e.parent_id = below.id and e.predicate = 'is_a'
)

select t.curie, t.label, count(*) over () as of_all
from below
join {schema}.efo_terms as t on t.id = below.id
where t.curie <> %(curie)s
order by t.curie
limit 5
