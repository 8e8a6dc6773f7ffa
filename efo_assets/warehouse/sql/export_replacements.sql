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
from {schema}.efo_replacements as r
join {schema}.efo_terms as t on t.id = r.term_id
left join {schema}.efo_terms as n on n.id = r.target_id
order by t.iri collate "C", r.ordinal
