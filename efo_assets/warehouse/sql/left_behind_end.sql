select pg_terminate_backend(a.pid, 10000)
from pg_stat_activity as a
where a.application_name = %(name)s and a.pid <> pg_backend_pid()
