update efo_meta.loads set state = 'dropped' where load_id = %(load_id)s
