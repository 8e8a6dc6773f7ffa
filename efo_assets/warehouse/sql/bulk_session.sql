set local work_mem = '128MB';
set local maintenance_work_mem = '256MB';
set local jit = off;
-- One helper for scans and hashes. Shared memory, of which a container has 64 MB, is taken in bulk
-- by shared hash tables and bitmaps alone; index builds need little.
set local max_parallel_workers_per_gather = 1;
set local enable_parallel_hash = off;
set local enable_bitmapscan = off;
set local max_parallel_maintenance_workers = 2
