update efo_meta.releases set changes = %(changes)s where release_id = %(release_id)s
