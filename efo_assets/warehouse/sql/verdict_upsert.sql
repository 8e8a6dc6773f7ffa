insert into efo_meta.verdicts (
    load_id, check_name, blocking, passed, content_hash, offenders, detail
) values (
    %(load_id)s, %(check_name)s, %(blocking)s, %(passed)s, %(content_hash)s, %(offenders)s,
    %(detail)s
)
on conflict (load_id, check_name) do update set
    blocking = excluded.blocking,
    passed = excluded.passed,
    content_hash = excluded.content_hash,
    offenders = excluded.offenders,
    detail = excluded.detail,
    checked_at = now()
