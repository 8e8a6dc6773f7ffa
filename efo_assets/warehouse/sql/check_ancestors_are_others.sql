with own as (
    select a.term_number
    from {load}.ancestors as a
    where a.term_number = a.ancestor_number
)

select
    count(*),
    (
        select jsonb_agg(t.iri)
        from (select term_number from own limit 10) as s
        join {load}.terms as t on t.number = s.term_number
    )
from own
