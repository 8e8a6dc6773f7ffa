-- name: guest_make
create role {role} nosuperuser nocreatedb nocreaterole noreplication connection limit 20;
comment on role {role} is 'Reads, for programs on this machine, while `efo-assets serve` runs.';
grant pg_read_all_data to {role}

-- name: guest_login
alter role {role} login password {verifier};
-- A role may change its own settings, and make large objects.
alter role {role} reset all;
alter role {role} in database {database} reset all;
revoke execute on function lo_creat(integer), lo_create(oid), lo_from_bytea(oid, bytea) from public;
alter role {role} in database {database} set search_path = {schema}, efo_meta, public

-- name: guest_nologin
alter role {role} nologin

-- name: guest_sessions_end
select pg_terminate_backend(a.pid)
from pg_stat_activity as a
where a.usename = %(role)s
