delete from {published} as t
where {which}
    and not exists (select from pg_temp.efo_incoming as s where ({theirs}) = ({ours}))
