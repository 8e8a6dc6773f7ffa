update efo_meta.loads
set state = 'published'
where load_id = %(load_id)s and state <> 'published'
