create view efo_meta.ontologies as
select
    s.target_schema as schema_name,
    coalesce(r.ontology, l.ontology) as ontology,
    case
        when cardinality(v.refused_by) > 0 and v.audited_at > coalesce(r.published_at, '-infinity')
            then 'refused'
        when r.release_id is null then 'never published'
        else 'published'
    end as state,
    r.release_id,
    r.version,
    r.is_partial,
    r.published_at,
    now() - r.published_at as age,
    (r.counts ->> 'terms')::bigint as terms,
    (select sum(c.value::bigint)::bigint from jsonb_each_text(r.counts) as c) as row_count,
    v.audited_at,
    v.version as audited_version,
    v.refused_by
from (
    select target_schema from efo_meta.loads
    union
    select target_schema from efo_meta.releases
) as s
left join lateral (
    select
        each.ontology, each.release_id, each.version, each.is_partial, each.published_at,
        each.counts
    from efo_meta.releases as each
    where each.target_schema = s.target_schema
    order by each.release_id desc
    limit 1
) as r on true
left join lateral (
    select each.ontology
    from efo_meta.loads as each
    where each.target_schema = s.target_schema
    order by each.created_at desc
    limit 1
) as l on true
left join lateral (
    select
        audited.version,
        max(each.checked_at) as audited_at,
        coalesce(
            array_agg(each.check_name order by each.check_name)
                filter (where each.blocking and not each.passed),
            array[]::text[]
        ) as refused_by
    from efo_meta.verdicts as each
    join efo_meta.loads as audited on audited.load_id = each.load_id
    where audited.target_schema = s.target_schema
    group by audited.load_id, audited.version
    order by audited_at desc
    limit 1
) as v on true;
comment on view efo_meta.ontologies is 'Each schema that was ever loaded into: the release that stands there, and what the newest audit said. One that was refused before it was ever published has no release.';
comment on column efo_meta.ontologies.state is 'published; refused: the newest audit, later than the release, let its load not pass; never published.';
comment on column efo_meta.ontologies.row_count is 'Of all tables, as published.';
comment on column efo_meta.ontologies.refused_by is 'The blocking checks that failed in the newest audit; empty where it passed, null where there was none.'
