with repeated as (
    select iri, count(*) as times from {load}.terms group by iri having count(*) > 1
)

select
    coalesce(sum(times - 1), 0),
    (
        select jsonb_agg(jsonb_build_object('iri', iri, 'times', times))
        from (select * from repeated limit 10) as s
    )
from repeated
