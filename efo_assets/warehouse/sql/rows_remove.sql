delete from {published} as t
where not exists (select from pg_temp.efo_incoming as s where ({theirs}) = ({ours}))
