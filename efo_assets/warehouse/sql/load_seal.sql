update efo_meta.loads
set state = 'staged', counts = %s, findings = %s, base_release = %s, staged_at = now()
where load_id = %s
