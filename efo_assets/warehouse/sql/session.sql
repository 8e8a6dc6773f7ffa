-- name: transaction_settings
-- First, since the limit of a role holds until then.
set local statement_timeout = 0;
set transaction isolation level read committed;
-- Names are always qualified: a function planted in a schema on the path is never ours.
set local search_path = pg_catalog, pg_temp;
-- What the text of a statement means, whatever server, database or role say.
set local standard_conforming_strings = on;
set local backslash_quote = safe_encoding;
set local transform_null_equals = off;
set local array_nulls = on;
set local check_function_bodies = on;
-- How values are written: psycopg reads dates in ISO form alone, and types are compared by name.
set local client_encoding = 'UTF8';
set local datestyle = 'ISO, MDY';
set local intervalstyle = 'postgres';
set local bytea_output = 'hex';
set local extra_float_digits = 1;
set local quote_all_identifiers = off;
-- A failed statement must not end the session.
set local exit_on_error = off;
set local application_name = {session_name};
set local timezone = 'UTC';
set local lock_timeout = {lock_timeout_ms};
set local idle_in_transaction_session_timeout = {idle_timeout_ms};
-- Rows that a policy hides from us are an error, not a difference.
set local row_security = off;
-- A client whose machine vanished is noticed within two minutes; over a Unix socket it can't.
set local tcp_keepalives_idle = {keepalive_idle_s};
set local tcp_keepalives_interval = {keepalive_interval_s};
set local tcp_keepalives_count = {keepalive_count};
set local tcp_user_timeout = {user_timeout_ms}

-- name: bulk_session
set local work_mem = '128MB';
set local maintenance_work_mem = '256MB';
set local jit = off;
-- One helper for scans and hashes. Shared memory, of which a container has 64 MB, is taken in bulk
-- by shared hash tables and bitmaps alone; index builds need little.
set local max_parallel_workers_per_gather = 1;
set local enable_parallel_hash = off;
set local enable_bitmapscan = off;
set local max_parallel_maintenance_workers = 2

-- name: left_behind_end
select pg_terminate_backend(a.pid, 10000)
from pg_stat_activity as a
where a.application_name = %(name)s and a.pid <> pg_backend_pid()
