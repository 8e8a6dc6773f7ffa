-- From the obsolete classes that were reached last, along their own replaced_by.
insert into pg_temp.efo_steps (start, kind, evidence, node, target, hops, path)
select distinct on (s.start, s.kind, v.target)
    s.start, s.kind, s.evidence, v.target_iri, v.target, s.hops + 1, s.path || v.target
from pg_temp.efo_steps as s
join pg_temp.efo_values as v on v.iri = s.node and v.kind = 'replaced_by'
where s.hops = %(hops)s
    and v.target is not null
    -- A step back to a class on the path is kept, and is the last one.
    and not s.target = any (s.path[: s.hops])
    and not exists (
        select from pg_temp.efo_steps as known
        where known.start = s.start and known.kind = s.kind and known.target = v.target
            and not v.target = any (s.path)
    )
order by s.start, s.kind, v.target, s.evidence collate "C"
