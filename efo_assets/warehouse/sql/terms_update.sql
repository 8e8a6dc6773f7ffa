update {terms} as t
set ({columns}, changed_release, removed_in) = row({theirs}, {release}, null)
from {staged} as s
where s.iri = t.iri
    and (t.removed_in is not null or row({ours}) is distinct from row({theirs}))
