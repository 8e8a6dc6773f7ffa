alter table efo_meta.loads add column ancestors text not null default 'table';
comment on column efo_meta.loads.ancestors is 'How the ancestors of its terms are given: by a table of all, or by a function along the edges that lead to them.'
