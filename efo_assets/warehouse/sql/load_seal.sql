update efo_meta.loads
set state = 'staged', counts = %(counts)s, findings = %(findings)s, base_release = %(base_release)s, staged_at = now()
where load_id = %(load_id)s
