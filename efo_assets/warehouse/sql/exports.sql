-- name: export_iris
copy (select iri from {schema}.{prefix}terms order by iri collate "C") to stdout (format csv)

-- name: export_table
copy (
    with placed as (
        select id, row_number() over (order by iri collate "C") - 1 as place
        from {schema}.{prefix}terms
    )
    select {columns}
    from {table} as t{joins}
    where {listed}
    order by {order}
) to stdout (format csv)

-- name: export_replacements
select
    t.iri,
    t.curie,
    t.label,
    r.ordinal,
    r.kind,
    r.target,
    n.curie as target_curie,
    n.label as target_label,
    r.status,
    r.hops,
    array_to_string(r.path, '|') as path,
    r.evidence
from {schema}.{prefix}replacements as r
join {schema}.{prefix}terms as t on t.id = r.term_id
left join {schema}.{prefix}terms as n on n.id = r.target_id
order by t.iri collate "C", r.ordinal

-- name: export_sssom
select
    t.iri,
    t.curie,
    t.label as subject_label,
    case m.relation
        when 'exact' then 'skos:exactMatch'
        when 'close' then 'skos:closeMatch'
        when 'narrow' then 'skos:narrowMatch'
        when 'broad' then 'skos:broadMatch'
        when 'related' then 'skos:relatedMatch'
        else 'oboInOwl:hasDbXref'
    end as predicate_id,
    'mesh:' || m.mesh_id as object_id,
    'semapv:UnspecifiedMatching' as mapping_justification,
    m.sources as mapping_source,
    case when not m.is_own then 'by way of ' || array_to_string(m.via, ', ') end as comment
from {schema}.{prefix}mesh_terms as m
join {schema}.{prefix}terms as t on t.id = m.term_id
order by t.iri collate "C", m.mesh_id collate "C"
