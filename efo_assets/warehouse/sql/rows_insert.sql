insert into {published} ({columns})
select {selected}
from pg_temp.efo_incoming as s
where not exists (select from {published} as t where ({theirs}) = ({ours}))
