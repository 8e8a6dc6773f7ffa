insert into {terms} ({columns}, first_release, changed_release)
select {columns}, {release}, {release}
from {staged} as s
where not exists (select from {terms} as t where t.iri = s.iri)
order by s.iri
