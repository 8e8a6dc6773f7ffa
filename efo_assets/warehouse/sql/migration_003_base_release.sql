alter table efo_meta.loads add column base_release bigint;
comment on column efo_meta.loads.base_release is 'The release that its changes are counted against; null where there was none to compare with.'
