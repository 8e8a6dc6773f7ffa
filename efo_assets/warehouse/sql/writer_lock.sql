select pg_try_advisory_xact_lock(hashtext('efo_assets writer'), hashtext(%(schema)s))
