select coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)
from pg_stat_user_tables
where schemaname = %(schema)s
    and relname in ('efo_terms', 'efo_synonyms', 'efo_parent_edges', 'efo_xrefs')
