insert into {load}.mesh_terms (
    term_id, mesh_id, mesh_kind, relation, is_own, via, sources, is_only_term, is_only_mesh_id
)
with carried as (
    select x.term_id, upper(btrim(x.accession)) as mesh_id, x.relation, x.sources
    from {load}.xrefs as x
    where x.prefix = 'mesh' and upper(btrim(x.accession)) ~ {mesh_id}
),

led as (
    select c.mesh_id, c.term_id, c.relation, c.sources, null::text as via
    from carried as c
    join {load}.terms as t on t.id = c.term_id
    where not t.is_obsolete
    union all
    select c.mesh_id, r.target_id, c.relation, c.sources, o.iri
    from carried as c
    join {load}.replacements as r on r.term_id = c.term_id
    join {load}.terms as o on o.id = c.term_id
    where r.kind = 'replaced_by' and r.status = 'resolved'
),

pairs as (
    select
        l.term_id,
        l.mesh_id,
        min(array_position(
            array['exact', 'close', 'narrow', 'broad', 'related', 'xref'], l.relation
        )) as strength,
        bool_or(l.via is null) as is_own,
        coalesce(
            array_agg(distinct l.via collate "C") filter (where l.via is not null), '{{}}'
        ) as via,
        coalesce(
            array_agg(distinct s.source collate "C") filter (where s.source is not null), '{{}}'
        ) as sources
    from led as l
    left join lateral unnest(l.sources) as s (source) on true
    group by l.term_id, l.mesh_id
)

select
    term_id,
    mesh_id,
    case left(mesh_id, 1) when 'D' then 'descriptor' when 'C' then 'supplementary'
        else 'qualifier' end,
    (array['exact', 'close', 'narrow', 'broad', 'related', 'xref'])[strength],
    is_own,
    via,
    sources,
    count(*) over (partition by mesh_id) = 1,
    count(*) over (partition by term_id) = 1
from pairs
