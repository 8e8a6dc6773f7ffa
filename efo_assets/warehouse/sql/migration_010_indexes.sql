create index if not exists loads_of_schema on efo_meta.loads (target_schema, created_at desc);
create index if not exists releases_of_schema on efo_meta.releases (target_schema, release_id desc);
