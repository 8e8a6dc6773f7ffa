-- name: published_release
-- Of one schema, or of each.
select
    r.release_id,
    r.ontology,
    r.version,
    r.version_iri,
    r.load_id,
    r.is_partial,
    r.content_hash,
    -- Readers don't migrate, and before migration 2 there is no such column.
    to_jsonb(r) -> 'totals',
    extract(epoch from r.published_at)::double precision,
    r.counts,
    r.changes,
    r.target_schema
from efo_meta.releases as r
where r.release_id in (
    select max(each.release_id)
    from efo_meta.releases as each
    where each.target_schema = coalesce(%(schema)s, each.target_schema)
        and each.load_id = coalesce(%(load_id)s, each.load_id)
    group by each.target_schema
)

-- name: release_intervals
-- Seconds between the last six publications of a schema, the longest; from the third one on.
select lasted.target_schema, extract(epoch from max(lasted.since_the_one_before))::double precision
from (
    select
        r.target_schema,
        r.published_at - lag(r.published_at) over publications as since_the_one_before,
        count(*) over (publications rows between current row and unbounded following) as newer
    from efo_meta.releases as r
    window publications as (partition by r.target_schema order by r.release_id)
) as lasted
where lasted.newer <= 5
group by lasted.target_schema
having count(lasted.since_the_one_before) > 1

-- name: releases
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
    r.load_id,
    l.source_url
from efo_meta.releases as r
join efo_meta.loads as l on l.load_id = r.load_id
where r.target_schema = %(schema)s
order by r.release_id desc

-- name: ontologies
select
    o.schema_name,
    concat_ws(' ', o.ontology, o.version, case when o.is_partial then '(partial)' end),
    o.state,
    case
        when o.age >= interval '1 day' then extract(day from o.age) || ' days'
        else to_char(o.age, 'FMHH24 "h" FMMI "min"')
    end,
    o.row_count,
    case
        when o.refused_by is null then 'none'
        when cardinality(o.refused_by) = 0 then 'passed'
        when cardinality(o.refused_by) > 3
            then concat(
                'refused by ', array_to_string(o.refused_by[1:3], ', '), ' and ',
                cardinality(o.refused_by) - 3, ' more'
            )
        else 'refused by ' || array_to_string(o.refused_by, ', ')
    end
from efo_meta.ontologies as o
order by o.schema_name

-- name: ledger_releases
-- For programs, newest first.
select coalesce(jsonb_agg(to_jsonb(r) order by r.release_id desc), '[]')
from efo_meta.releases as r
where r.target_schema = %(schema)s

-- name: ledger_ontologies
-- For programs, by schema.
select
    coalesce(
        jsonb_agg(
            to_jsonb(o) - 'age' || jsonb_build_object('age_s', extract(epoch from o.age))
            order by o.schema_name
        ),
        '[]'
    )
from efo_meta.ontologies as o

-- name: failures
select
    f.target_schema,
    f.ontology,
    to_char(f.failed_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI'),
    f.sentence
from efo_meta.failures as f
order by f.target_schema, f.ontology

-- name: failure_upsert
insert into efo_meta.failures as f (target_schema, ontology, sentence, run_id)
values (%(schema)s, %(ontology)s, %(sentence)s, %(run_id)s)
on conflict (target_schema, ontology) do update
set failed_at = now(), sentence = excluded.sentence, run_id = excluded.run_id

-- name: release_contents
select r.release_id, r.ontology, r.version, r.content_hash, l.format_version
from efo_meta.releases as r
join efo_meta.loads as l on l.load_id = r.load_id
where r.target_schema = %(schema)s

-- name: release_content
select content_hash from efo_meta.releases where release_id = %(release_id)s

-- name: comparable_release
select r.release_id
from efo_meta.releases as r
join efo_meta.loads as l on l.load_id = r.load_id
where r.release_id = (
        select max(newest.release_id)
        from efo_meta.releases as newest
        where newest.target_schema = %(schema)s
    )
    and not r.is_partial
    and r.ontology = %(ontology)s
    and l.format_version between %(oldest)s and %(newest)s
    and not exists (
        select from unnest(%(tables)s::text[]) as published (name)
        where to_regclass(format('%%I.%%I', %(schema)s::text, published.name)) is null
    )

-- name: release_known
select release_id
from efo_meta.releases
where target_schema = %(target_schema)s
    and version is not distinct from %(version)s
    and version_iri is not distinct from %(version_iri)s
    and not is_partial
limit 1

-- name: release_insert
insert into efo_meta.releases (
    target_schema, ontology, version, version_iri, loaded, fingerprint, load_id, is_partial,
    counts, changes, content_hash, allowed_shrink, run_id, totals
) values (
    %(target_schema)s, %(ontology)s, %(version)s, %(version_iri)s, %(loaded)s, %(fingerprint)s,
    %(load_id)s, %(is_partial)s, %(counts)s, '{{}}', %(content_hash)s, %(allowed_shrink)s,
    %(run_id)s, %(totals)s
)
returning release_id

-- name: releases_clear
delete from efo_meta.releases
where target_schema = %(schema)s and release_id <> %(release_id)s

-- name: release_totals
update efo_meta.releases
set totals = %(totals)s
where release_id = %(release_id)s and totals is distinct from %(totals)s

-- name: sizes
-- Bytes with indexes and TOAST: of each published table, of all staged loads, and of our own records.
select
    case when n.nspname = %(schema)s then c.relname when n.nspname = 'efo_meta' then 'efo_meta'
        else 'staged loads' end,
    sum(pg_total_relation_size(c.oid))::bigint
from pg_class as c
join pg_namespace as n on n.oid = c.relnamespace
where c.relkind in ('r', 'p')
    and (
        n.nspname = 'efo_meta'
        or (n.nspname = %(schema)s and c.relname = any(%(tables)s))
        or n.nspname in (
            select 'efo_load_' || l.load_id
            from efo_meta.loads as l
            where l.target_schema = %(schema)s
        )
    )
group by 1

-- name: standing_releases
select distinct on (r.target_schema)
    r.target_schema, r.ontology, r.version, r.version_iri, r.is_partial
from efo_meta.releases as r
order by r.target_schema, r.release_id desc
