-- name: load_insert
insert into efo_meta.loads (
    load_id, target_schema, ontology, version, version_iri, loaded, fingerprint, source_url,
    format_version, is_partial, class_limit, expected_terms, state, run_id, totals,
    staged_by, ancestors
) values (
    %(load_id)s, %(target_schema)s, %(ontology)s, %(version)s, %(version_iri)s, %(loaded)s,
    %(fingerprint)s, %(source_url)s, %(format_version)s, %(is_partial)s, %(class_limit)s,
    %(expected_terms)s, %(state)s, %(run_id)s, %(totals)s, %(staged_by)s,
    %(ancestors)s
)

-- name: refuse_code_before
update efo_meta.schema_version set oldest_code = %(version)s where oldest_code < %(version)s

-- name: resolve_parents
with resolved as materialized (
    select e.child_id, p.id as parent_id, e.parent_iri, e.predicate
    from {load}.copied_parent_edges as e
    left join {load}.terms as p on p.iri = e.parent_iri
),

listed as (
    insert into {load}.parent_edges (child_id, parent_id, predicate)
    select child_id, parent_id, predicate from resolved where parent_id is not null
)

insert into {load}.dangling_edges (child_id, parent_iri, predicate)
select child_id, parent_iri, predicate from resolved where parent_id is null

-- name: load_seal
update efo_meta.loads
set
    state = 'staged',
    counts = %(counts)s,
    findings = %(findings)s,
    base_release = %(base_release)s,
    sealed = %(sealed)s,
    staged_at = now()
where load_id = %(load_id)s

-- name: load_filled
update efo_meta.loads
set
    copied = %(copied)s,
    counts = %(counts)s,
    findings = %(findings)s,
    expected_terms = %(expected_terms)s
where load_id = %(load_id)s

-- name: load_ties
select copied from efo_meta.loads where load_id = %(load_id)s

-- name: load_latest
select
    load_id, target_schema, state, expected_terms, counts, findings, base_release, sealed,
    ontology, version, version_iri, loaded, fingerprint, source_url, class_limit, totals, ancestors
from efo_meta.loads
where target_schema = %(schema)s
    and format_version = %(format_version)s
    and state = any(%(states)s)
    and (state <> 'staging' or copied ?& %(copied)s)
    and to_regnamespace('efo_load_' || load_id) is not null
order by coalesce(staged_at, created_at) desc
limit 1

-- name: staged_by_another
select coalesce(to_jsonb(l) ->> 'staged_by', 'another efo_assets'), l.format_version
from efo_meta.loads as l
where l.target_schema = %(schema)s
    and l.format_version <> %(format_version)s
    and l.state in ('staged', 'published')
    and to_regnamespace('efo_load_' || l.load_id) is not null
order by l.staged_at desc
limit 1

-- name: load_leftovers
with standing as (
    select
        load_id,
        state,
        format_version,
        row_number() over (partition by state order by created_at desc) as age
    from efo_meta.loads
    where target_schema = %(schema)s and state <> 'dropped' and load_id <> %(keep)s
)

select load_id
from standing
where state = 'staging'
    or (state = 'published' and (age > 1 or format_version <> %(format_version)s))
    or (state = 'staged' and age > %(kept)s)

-- name: keys_given
-- The key of every term that the target schema knows, in the order of hashes of the IRIs, as texts of
-- integers; terms that come get higher ones.
select string_agg(hash, '' order by hash), string_agg(int8send(id), '' order by hash)
from (
    select hash, id, (row_number() over (order by hash) - 1) / 65536 as piece
    from (
        select substr(sha256(convert_to(iri, 'UTF8')), 1, 8) as hash, id from {terms}
    ) as hashed
) as numbered
group by piece
order by piece

-- name: last_key
select greatest(
    (select max(id) from {terms}),
    (select pg_sequence_last_value(pg_get_serial_sequence(%(terms)s, 'id')::regclass))
)

-- name: keys_of_others
-- Staged terms whose key another term has in the target schema, or that have another key there.
select s.iri
from {staged} as s
join {terms} as t on t.id = s.id and t.iri <> s.iri
union all
select s.iri
from {staged} as s
join {terms} as t on t.iri = s.iri
where not exists (select from {terms} as k where k.id = s.id)
limit 1
