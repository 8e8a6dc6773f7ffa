-- name: terms_insert
insert into {terms} (id, {columns}, first_release, changed_release)
select s.id, {columns}, {release}, {release}
from {staged} as s
where {of_touched} and not exists (select from {terms} as t where t.id = s.id)

-- name: keys_resume
select setval(k.sequence, t.highest)
from (select max(id) as highest from {terms}) as t
cross join (
    select s.oid::regclass as sequence
    from pg_depend as d
    join pg_class as s on s.oid = d.objid and s.relkind = 'S'
    join pg_class as c on c.oid = d.refobjid
    join pg_namespace as n on n.oid = c.relnamespace
    join pg_attribute as a on a.attrelid = c.oid and a.attnum = d.refobjsubid
    where d.classid = 'pg_class'::regclass
        and a.attname = 'id'
        and n.nspname = %(schema)s
        and c.relname = %(table)s
) as k
where t.highest > coalesce(pg_sequence_last_value(k.sequence), 0)

-- name: default_grants
-- What PostgreSQL would have granted on a table that is made in this schema.
select
    format(
        'grant %%s on table %%I.%%I to %%s%%s',
        a.privilege_type,
        %(schema)s::text,
        %(table)s::text,
        case a.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end,
        case when a.is_grantable then ' with grant option' else '' end
    )
from pg_default_acl as d
cross join lateral aclexplode(d.defaclacl) as a
where d.defaclnamespace = to_regnamespace(quote_ident(%(schema)s))
    and d.defaclobjtype = 'r'
    and d.defaclrole = (select r.oid from pg_roles as r where r.rolname = current_user)

-- name: terms_update
update {terms} as t
set ({columns}, changed_release, removed_in) = row({theirs}, {release}, null)
from {staged} as s
where s.id = t.id and {of_touched}
    and (t.removed_in is not null or row({ours}) is distinct from row({theirs}))

-- name: terms_remove
update {terms} as t
set removed_in = {release}, changed_release = {release}
where t.removed_in is null and {of_touched}
    and not exists (select from {staged} as s where s.id = t.id)

-- name: rows_differing
create temporary table efo_differing on commit drop as
with {differing}

select
    {selected},
    t.stands is not null as stands,
    s.comes is not null as comes
from (
    select true as stands, {columns}
    from {published} as t
    where {which} and t.{term} in (select term_id from differing)
) as t
full join (
    select true as comes, incoming.*
    from ({rows}) as incoming
    where incoming.{term} in (select term_id from differing)
) as s on ({theirs}) = ({ours})
where t.stands is null or s.comes is null or {is_changed};
analyze pg_temp.efo_differing

-- name: differing_by_hash
-- Terms whose rows, all together, have another hash; most have the same.
standing as (
    select t.{term}, {hash} as hash from {published} as t where {which} group by t.{term}
),

coming as (
    select t.{term}, {hash} as hash from ({rows}) as t group by t.{term}
),

differing as materialized (
    select coalesce(s.{term}, c.{term}) as term_id
    from standing as s
    full join coming as c on c.{term} = s.{term}
    where s.hash is distinct from c.hash
)

-- name: differing_known
differing as (select term_id from {touched})

-- name: rows_remove
delete from {published} as t
using pg_temp.efo_differing as s
where not s.comes and ({theirs}) = ({ours})

-- name: rows_update
update {published} as t
set ({values}) = row({their_values})
from pg_temp.efo_differing as s
where s.stands and s.comes and ({theirs}) = ({ours})

-- name: rows_insert
insert into {published} ({columns})
select {columns}
from pg_temp.efo_differing
where not stands

-- name: built
-- Indexes and constraints that a new table came with, and whether its statistics did.
select
    array(
        select c.relname::text
        from pg_index as i
        join pg_class as c on c.oid = i.indexrelid
        where i.indrelid = t.oid
        union
        select k.conname::text from pg_constraint as k where k.conrelid = t.oid
    ),
    coalesce(obj_description(t.oid, 'pg_class') = %(mark)s, false)
from pg_class as t
where t.oid = to_regclass(format('%%I.%%I', %(schema)s::text, %(table)s::text))

-- name: put_on_staged
-- What stands on staged tables, or was done to them, that efo_assets didn't do.
with staged as (
    select c.*
    from pg_class as c
    where c.relnamespace = to_regnamespace(%(load)s) and c.relname = any(%(tables)s::text[])
)

select pg_describe_object(d.classid, d.objid, d.objsubid)
from pg_depend as d
join staged as s on s.oid = d.refobjid and d.refclassid = 'pg_class'::regclass
left join pg_class as c on c.oid = d.objid and d.classid = 'pg_class'::regclass
left join pg_constraint as k on k.oid = d.objid and d.classid = 'pg_constraint'::regclass
where not coalesce(
    -- Its row type and its TOAST table.
    (d.classid = 'pg_type'::regclass and d.deptype = 'i')
    or c.relkind = 't'
    or (c.relnamespace = s.relnamespace and c.relname = any(%(built)s::text[]))
    or (k.connamespace = s.relnamespace and (k.contype = 'n' or k.conname = any(%(built)s::text[]))),
    false
)
union all
select format('owner, grants, policies or options of table %%s', s.oid::regclass)
from staged as s
join pg_roles as r on r.rolname = current_user
cross join lateral (select acldefault('r', s.relowner) as built_in) as a
left join pg_default_acl as d
    on d.defaclrole = s.relowner and d.defaclnamespace = 0 and d.defaclobjtype = 'r'
where s.relowner <> r.oid
    or array(select g::text from unnest(coalesce(s.relacl, a.built_in)) as g order by 1)
    <> array(select g::text from unnest(coalesce(d.defaclacl, a.built_in)) as g order by 1)
    or s.relrowsecurity or s.relforcerowsecurity
    or s.reloptions is not null
    or s.relpersistence <> 'p'
    or exists (select from pg_inherits as i where i.inhrelid = s.oid)
union all
select format('column %%s of table %%s', a.attname, s.oid::regclass)
from staged as s
join pg_attribute as a on a.attrelid = s.oid and a.attnum > 0
left join pg_type as t on t.oid = a.atttypid
where format('%%s.%%s %%s %%s', s.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull)
    <> all(%(columns)s::text[])
    or a.attisdropped
    or a.attacl is not null or a.attoptions is not null
    or coalesce(a.attstattarget, -1) <> -1
    or a.attstorage <> t.typstorage or a.attcompression <> ''
