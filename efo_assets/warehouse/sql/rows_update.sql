update {published} as t
set ({values}) = row({their_values})
from pg_temp.efo_incoming as s
where ({theirs}) = ({ours}) and row({our_values}) is distinct from row({their_values})
