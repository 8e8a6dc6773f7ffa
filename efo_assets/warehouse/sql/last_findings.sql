with newest as (
    select v.load_id
    from efo_meta.verdicts as v
    join efo_meta.loads as l on l.load_id = v.load_id
    where l.target_schema = %(schema)s
    order by v.checked_at desc
    limit 1
)

select
    v.check_name,
    v.blocking,
    v.passed,
    v.offenders,
    extract(epoch from v.checked_at)::double precision
from efo_meta.verdicts as v
join newest on newest.load_id = v.load_id
order by v.check_name
