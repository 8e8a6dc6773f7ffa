create temporary table efo_differing on commit drop as
select
    {selected},
    t.stands is not null as stands,
    s.comes is not null as comes
from (select true as stands, {columns} from {published} as t where {which}) as t
full join (select true as comes, incoming.* from ({rows}) as incoming) as s on ({theirs}) = ({ours})
where t.stands is null or s.comes is null or {is_changed};
analyze pg_temp.efo_differing
