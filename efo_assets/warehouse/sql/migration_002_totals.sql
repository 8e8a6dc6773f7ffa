alter table efo_meta.loads add column totals jsonb;
comment on column efo_meta.loads.totals is 'Classes as OLS announced them (current, obsolete, all); null in loads older than this column.';

alter table efo_meta.releases add column totals jsonb;
comment on column efo_meta.releases.totals is 'Classes as OLS announced them (current, obsolete, all); with version and version_iri the identity of the release; null in rows older than this column.'
