-- Removes an ontology: its schema, whatever stands in it or depends on it, its staged loads and all
-- that efo_meta says of it. Run by the role that loads, or an administrator:
--   psql -d efo -v schema=mondo -f docs/operations/drop.sql
\set ON_ERROR_STOP on
\set QUIET on
begin;

select
    :'schema' = 'public'
    or not exists (select from efo_meta.loads where target_schema = :'schema')
    or not pg_try_advisory_xact_lock(hashtext('efo_assets writer'), hashtext(:'schema'))
    as is_refused
\gset
\if :is_refused
do $$begin
    raise 'Nothing was removed: efo_assets never loaded into this schema, or does so now, or it is public.';
end$$;
\endif

select format('drop schema if exists %I cascade', s.name)
from (
    select :'schema'
    union all
    select n.nspname
    from pg_namespace as n
    join pg_class as c on c.relnamespace = n.oid and c.relname = 'term_nodes'
    where n.nspname = :'schema' || '_semsql'
        and obj_description(c.oid, 'pg_class') like '%(efo_assets, definition %)'
    union all
    select 'efo_load_' || load_id from efo_meta.loads where target_schema = :'schema'
) as s (name)
\gexec

delete from efo_meta.failures where target_schema = :'schema';
delete from efo_meta.releases where target_schema = :'schema';
delete from efo_meta.loads where target_schema = :'schema';
commit;
