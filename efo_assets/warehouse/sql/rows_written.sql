select coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)
from pg_stat_user_tables
where schemaname = %(schema)s
    and relname = any(%(tables)s)
