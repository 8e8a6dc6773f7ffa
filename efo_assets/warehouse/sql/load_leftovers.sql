with standing as (
    select
        load_id,
        state,
        row_number() over (partition by state order by created_at desc) as age
    from efo_meta.loads
    where target_schema = %(schema)s and state <> 'dropped' and load_id <> %(keep)s
)

select load_id
from standing
where state = 'staging'
    or (state = 'published' and age > 1)
    or (state = 'staged' and age > %(kept)s)
