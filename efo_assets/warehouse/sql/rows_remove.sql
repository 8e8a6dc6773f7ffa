delete from {published} as t
using pg_temp.efo_differing as s
where not s.comes and ({theirs}) = ({ours})
