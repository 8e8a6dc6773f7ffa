update {terms} as t
set removed_in = {release}, changed_release = {release}
where t.removed_in is null and not exists (select from {staged} as s where s.iri = t.iri)
