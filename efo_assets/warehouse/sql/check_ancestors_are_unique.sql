with repeated as (
    select term_number, ancestor_number, count(*) as times
    from {load}.ancestors
    group by term_number, ancestor_number
    having count(*) > 1
)

select
    count(*),
    (select jsonb_agg(to_jsonb(s)) from (select * from repeated limit 10) as s)
from repeated
