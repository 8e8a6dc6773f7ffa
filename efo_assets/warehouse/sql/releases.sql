select
    r.release_id,
    concat_ws(' ', r.ontology, r.version, case when r.is_partial then '(partial)' end),
    to_char(r.published_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI'),
    (r.counts ->> 'terms')::bigint,
    (
        select sum((c.value ->> 'inserted')::bigint + (c.value ->> 'changed')::bigint
            + (c.value ->> 'removed')::bigint)
        from jsonb_each(r.changes) as c
    )::bigint,
    r.load_id
from efo_meta.releases as r
where r.target_schema = %(schema)s
order by r.release_id desc
