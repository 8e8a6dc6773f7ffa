set local work_mem = '128MB';
set local maintenance_work_mem = '256MB';
set local jit = off;
-- Parallel queries take shared memory, of which a container has 64 MB; index builds need little.
set local max_parallel_workers_per_gather = 0;
set local max_parallel_maintenance_workers = 2
