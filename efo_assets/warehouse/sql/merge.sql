-- name: terms_insert
insert into {terms} (id, {columns}, first_release, changed_release)
select s.id, {columns}, {release}, {release}
from {staged} as s
where not exists (select from {terms} as t where t.id = s.id)

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
where s.id = t.id
    and (t.removed_in is not null or row({ours}) is distinct from row({theirs}))

-- name: terms_remove
update {terms} as t
set removed_in = {release}, changed_release = {release}
where t.removed_in is null and not exists (select from {staged} as s where s.id = t.id)

-- name: rows_differing
create temporary table efo_differing on commit drop as
select
    {selected},
    t.stands is not null as stands,
    s.comes is not null as comes
from (select true as stands, {columns} from {published} as t where {which}) as t
full join (select true as comes, incoming.* from ({rows}) as incoming) as s on ({theirs}) = ({ours})
where t.stands is null or s.comes is null or {is_changed};
analyze pg_temp.efo_differing

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
