select l.format_version
from efo_meta.releases as r
join efo_meta.loads as l on l.load_id = r.load_id
where r.target_schema = %(schema)s
order by r.release_id desc
limit 1
