create table efo_meta.failures (
    target_schema text not null,
    ontology text not null,
    failed_at timestamptz not null default now(),
    sentence text not null,
    run_id text,
    primary key (target_schema, ontology)
);
comment on table efo_meta.failures is 'Ontologies whose newest run failed, by the schema that they were to be published in: when and why. The next publication deletes the row.';

create or replace view efo_meta.ontologies as
with known as (
    select
        s.target_schema as schema_name,
        coalesce(r.ontology, l.ontology) as ontology,
        case
            when
                cardinality(v.refused_by) > 0
                and v.audited_at > coalesce(r.published_at, '-infinity')
                then 'refused'
            when r.release_id is null then 'never published'
            else 'published'
        end as state,
        r.release_id,
        r.version,
        r.is_partial,
        r.published_at,
        r.counts,
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
    ) as v on true
)

select
    coalesce(k.schema_name, f.target_schema) as schema_name,
    coalesce(k.ontology, f.ontology) as ontology,
    case
        when
            k.state is distinct from 'refused'
            and f.failed_at > coalesce(k.published_at, '-infinity')
            then 'failed'
        else k.state
    end as state,
    k.release_id,
    k.version,
    k.is_partial,
    k.published_at,
    now() - k.published_at as age,
    (k.counts ->> 'terms')::bigint as terms,
    (select sum(c.value::bigint)::bigint from jsonb_each_text(k.counts) as c) as row_count,
    k.audited_at,
    k.audited_version,
    k.refused_by,
    f.failed_at,
    f.sentence as failure
from known as k
full join efo_meta.failures as f on f.target_schema = k.schema_name and f.ontology = k.ontology;
comment on view efo_meta.ontologies is 'Each schema that was ever loaded into, or was to be: the release that stands there, what the newest audit said, and why the newest run failed, if it did. One that was never published has no release.';
comment on column efo_meta.ontologies.state is 'published; refused: the newest audit, later than the release, let its load not pass; failed: the newest run did, later than the release, and what stands still does; never published.';
comment on column efo_meta.ontologies.failure is 'The sentence of the newest run, if it failed; null once one was published.'
