alter table efo_meta.loads add column copied jsonb not null default '{{}}';
comment on column efo_meta.loads.copied is 'Rows and hash of each copied table, from the transaction of its COPY.';

alter table efo_meta.loads add column sealed jsonb;
comment on column efo_meta.loads.sealed is 'Rows and hash of each staged table once all were derived, which the audit wants to find again; null before, and in loads older than this column.'
