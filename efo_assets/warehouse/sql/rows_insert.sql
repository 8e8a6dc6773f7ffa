insert into {published} ({columns})
select {columns}
from pg_temp.efo_differing
where not stands
