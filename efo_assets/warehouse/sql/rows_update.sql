update {published} as t
set ({values}) = row({their_values})
from pg_temp.efo_differing as s
where s.stands and s.comes and ({theirs}) = ({ours})
