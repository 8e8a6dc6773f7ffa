update efo_meta.releases
set totals = %(totals)s
where release_id = %(release_id)s and totals is distinct from %(totals)s
