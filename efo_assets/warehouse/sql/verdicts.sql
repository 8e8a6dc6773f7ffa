-- name: verdict_upsert
insert into efo_meta.verdicts (
    load_id, check_name, blocking, passed, content_hash, offenders, detail
) values (
    %(load_id)s, %(check_name)s, %(blocking)s, %(passed)s, %(content_hash)s, %(offenders)s,
    %(detail)s
)
on conflict (load_id, check_name) do update set
    blocking = excluded.blocking,
    passed = excluded.passed,
    content_hash = excluded.content_hash,
    offenders = excluded.offenders,
    detail = excluded.detail,
    checked_at = now()

-- name: last_findings
with newest as (
    select distinct on (l.target_schema) l.target_schema, l.ontology, l.load_id
    from efo_meta.loads as l
    -- All verdicts of a load are of one audit: any of them tells when that was.
    cross join lateral (
        select each.checked_at
        from efo_meta.verdicts as each
        where each.load_id = l.load_id
        limit 1
    ) as v
    order by l.target_schema, v.checked_at desc
)

select
    newest.target_schema,
    newest.ontology,
    v.check_name,
    v.blocking,
    v.passed,
    v.offenders,
    extract(epoch from v.checked_at)::double precision
from efo_meta.verdicts as v
join newest on newest.load_id = v.load_id
order by newest.target_schema, v.check_name

-- name: verdicts_of_load
select check_name, content_hash, blocking, passed, offenders, detail
from efo_meta.verdicts
where load_id = %(load_id)s
order by checked_at

-- name: release_profiles
select v.check_name, v.detail -> 'profile'
from efo_meta.verdicts as v
join efo_meta.releases as r on r.load_id = v.load_id
where r.release_id = %(release_id)s and v.detail ? 'profile'
