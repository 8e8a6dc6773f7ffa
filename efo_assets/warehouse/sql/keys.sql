select array_agg(a.attname::text order by a.attname::text collate "C")
from pg_index as i
join pg_class as c on c.oid = i.indrelid
join pg_namespace as n on n.oid = c.relnamespace
join pg_attribute as a on a.attrelid = c.oid and a.attnum = any (i.indkey)
where n.nspname = %(schema)s and c.relname = %(table)s and i.indisunique and i.indisvalid and i.indpred is null
group by i.indexrelid
