-- Two roles without superuser rights: the loader owns a schema of its own, the reader reads it.
-- Run by an administrator in the database that EFO goes to; again changes nothing:
--   psql -d efo -v schema=efo -v loader=efo_loader -v reader=efo_reader -f docs/operations/roles.sql
-- Then give each a password (\password efo_loader) and load with EFO_SCHEMA=efo.
\set ON_ERROR_STOP on
\set QUIET on

select format('create role %I login nosuperuser nocreatedb nocreaterole noreplication', wanted.name)
from unnest(array[:'loader', :'reader']) as wanted (name)
where not exists (select from pg_roles as r where r.rolname = wanted.name)
\gexec

-- Each load gets a schema of its own in this database, and the ledger is in efo_meta.
select format('grant connect, create on database %I to %I', current_database(), :'loader')
\gexec

select format('grant connect on database %I to %I', current_database(), :'reader')
\gexec

create schema if not exists :"schema" authorization :"loader";

-- The reader sees the published tables, those of later versions included, and nothing else.
grant usage on schema :"schema" to :"reader";
grant select on all tables in schema :"schema" to :"reader";
alter default privileges for role :"loader" in schema :"schema" grant select on tables to :"reader";
