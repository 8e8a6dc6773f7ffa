create or replace view {schema}.efo_change_digest as
select
    c.release_id,
    concat_ws(' ', r.ontology, r.version) as release,
    c.kind,
    count(*) as changes,
    count(distinct c.term_id) as terms
from {schema}.efo_changes as c
join efo_meta.releases as r on r.release_id = c.release_id
group by c.release_id, r.ontology, r.version, c.kind
