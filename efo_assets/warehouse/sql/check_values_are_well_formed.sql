with kinds as (
    select k.kind, (k.found ->> 'count')::bigint as times, k.found -> 'samples' as samples
    from efo_meta.loads as l
    cross join jsonb_each(l.findings) as k (kind, found)
    where l.load_id = %(load_id)s and k.kind <> 'owl_thing'
)

select
    coalesce(sum(times), 0),
    jsonb_agg(jsonb_build_object('kind', kind, 'count', times, 'samples', samples))
from kinds
