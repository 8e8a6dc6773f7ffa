select r.release_id
from efo_meta.releases as r
join efo_meta.loads as l on l.load_id = r.load_id
where r.release_id = (
        select max(newest.release_id)
        from efo_meta.releases as newest
        where newest.target_schema = %(schema)s
    )
    and not r.is_partial
    and r.ontology = %(ontology)s
    and l.format_version = %(format_version)s
    and not exists (
        select from unnest(%(tables)s::text[]) as published (name)
        where to_regclass(format('%%I.%%I', %(schema)s::text, published.name)) is null
    )
