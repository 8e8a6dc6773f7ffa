with cut as (
    select e.child_iri, e.parent_iri, e.predicate
    from {load}.parent_edges as e
    join {load}.terms as c on c.iri = e.child_iri
    join {load}.terms as p on p.iri = e.parent_iri
    left join {load}.ancestors as a
        on a.term_number = c.number and a.ancestor_number = p.number and a.distance = 1
    where e.predicate = any({closure_predicates})
        and a.distance is null
)

select
    count(*),
    (select jsonb_agg(to_jsonb(s)) from (select * from cut limit 10) as s)
from cut
