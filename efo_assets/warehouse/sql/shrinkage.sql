select
    (
        select (r.counts ->> %(table)s)::bigint
        from efo_meta.releases as r
        where r.target_schema = %(schema)s and not r.is_partial
        order by r.release_id desc
        limit 1
    ),
    (select count(*) from {staged})
