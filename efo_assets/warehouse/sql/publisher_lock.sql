select pg_advisory_xact_lock(hashtext('efo_assets publisher'), hashtext(%(schema)s))
