select pg_try_advisory_lock(hashtext('efo_assets writer'), hashtext(%s))
