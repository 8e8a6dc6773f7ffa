alter table efo_meta.schema_version add column applied_by text;
alter table efo_meta.schema_version add column oldest_code integer;
comment on column efo_meta.schema_version.applied_by is 'The version of efo_assets that applied it; null in rows older than this column.';
comment on column efo_meta.schema_version.oldest_code is 'The lowest version of these tables whose code can still load into them.';

alter table efo_meta.loads add column staged_by text;
comment on column efo_meta.loads.staged_by is 'The version of efo_assets that made the load; null in loads older than this column.'
