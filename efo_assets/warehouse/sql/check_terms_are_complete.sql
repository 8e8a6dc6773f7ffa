select
    abs(l.expected_terms - t.found),
    case when l.expected_terms <> t.found then
        jsonb_build_array(jsonb_build_object('announced', l.expected_terms, 'staged', t.found))
    end
from efo_meta.loads as l
cross join (select count(*) as found from {load}.terms) as t
where l.load_id = %(load_id)s
