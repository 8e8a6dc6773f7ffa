-- Twenty-one questions that curators ask, on generated sample data; each is printed before its answer.
-- After `make demo`:
--   .venv/bin/efo-assets --demo psql -f docs/queries.sql

\echo '1. Which current terms carry this name, as label or synonym, whatever its case and punctuation?'
select l.curie, l.label, l.matched, l.kind, l.is_ambiguous
from efo_lookup('RIGIDITY of rib, unilateral') as l;

\echo '2. ClinVar: to which one current term does an exact label lead, if to one?'
select l.iri, l.curie, l.label
from efo_lookup('Secondary thymus measurement') as l
where l.kind = 'label' and not l.is_ambiguous;

\echo '3. GWAS Catalog: which of its traits are at or below a trait? (The first five of all.)'
select t.curie, t.label, d.distance, count(*) over () as of_all
from (
    select s.id, 0 as distance
    from efo_terms as s
    where s.curie = 'TRAIT:0000043'
    union all
    select b.term_id, b.distance
    from efo_descendants('TRAIT:0000043') as b
) as d
join efo_terms as t on t.id = d.id
where t.is_gwas_trait
order by d.distance, t.curie
limit 5;

\echo '4. GWAS Catalog: what are these obsolete ids today?'
select t.curie as obsolete, r.status, n.curie, n.label, r.hops
from efo_terms as t
join efo_replacements as r on r.term_id = t.id
left join efo_terms as n on n.id = r.target_id
where t.curie in ('CELL:0002995', 'SAMPLE:0004663', 'SAMPLE:0006865', 'SAMPLE:0010513')
order by t.curie, r.ordinal;

\echo '5. GWAS Catalog: what was relabelled since a release?'
\echo '   (Empty after one release alone; for a second: efo-assets demo --release 2)'
select t.curie, c.before, c.after, c.release_id
from efo_changes as c
join efo_terms as t on t.id = c.term_id
where c.release_id > 1 and c.kind = 'relabelled'
order by c.release_id, t.curie
limit 5;

\echo '6. Open Targets: the ancestors and the children of a term, as arrays.'
select
    t.curie,
    array(
        select a.curie from efo_ancestors_of(t.iri) as a order by a.distance, a.curie limit 5
    ) as ancestors,
    array(
        select d.curie from efo_descendants(t.iri) as d where d.distance = 1 order by d.curie limit 5
    ) as children
from efo_terms as t
where t.curie = 'DISEASE:0000048';

\echo '7. Open Targets: the synonyms of a term by scope, as arrays.'
select s.scope, array_agg(s.synonym order by s.synonym) as synonyms
from efo_synonyms as s
join efo_terms as t on t.id = s.term_id
where t.curie = 'CHEMICAL:0000413'
group by s.scope
order by s.scope;

\echo '8. Open Targets: which obsolete ids does a term replace?'
select n.curie, array_agg(o.curie order by o.curie) as replaces
from efo_terms as n
join efo_replacements as r on r.target_id = n.id and r.kind = 'replaced_by'
join efo_terms as o on o.id = r.term_id
where n.curie in ('SAMPLE:0000086', 'CELL:0000352')
group by n.id
order by n.curie;

\echo '9. Expression Atlas: the labels and the number of ancestors of a list of ids, with the topmost.'
select
    t.curie,
    t.label,
    count(a.ancestor_id) as ancestors,
    array_agg(distinct r.label) filter (where r.is_root) as roots
from unnest(array['CHEMICAL:0000146', 'CHEMICAL:0002426', 'CELL:0000352']) as sample (curie)
join efo_terms as t on t.curie = sample.curie
left join efo_ancestors as a on a.term_id = t.id
left join efo_terms as r on r.id = a.ancestor_id
group by t.id
order by t.curie;

\echo '10. Which terms does a MeSH id lead to, and how strongly?'
select m.mesh_id, t.curie, t.label, m.relation, m.is_own, m.is_only_term
from efo_mesh_terms as m
join efo_terms as t on t.id = m.term_id
where m.mesh_id in ('D000011', 'D000092')
order by m.mesh_id, t.curie;

\echo '11. Which one MeSH id stands for each of these terms, one for one and exactly?'
select t.curie, m.mesh_id, m.mesh_kind
from efo_terms as t
join efo_mesh_terms as m on m.term_id = t.id
where t.curie in ('CHEMICAL:0000074', 'CHEMICAL:0000246', 'CHEMICAL:0000282', 'CHEMICAL:0000413')
    and m.relation = 'exact' and m.is_only_term and m.is_only_mesh_id
order by t.curie;

\echo '12. What are the parents of a term, over which relation?'
select e.predicate, p.curie, p.label
from efo_terms as t
join efo_parent_edges as e on e.child_id = t.id
join efo_terms as p on p.id = e.parent_id
where t.curie = 'CHEMICAL:0002426'
order by e.predicate, p.curie;

\echo '13. Which of a study''s annotations fall under a term?'
select t.curie, t.label, a.is_a_distance
from efo_terms as t
join efo_ancestors as a on a.term_id = t.id
join efo_terms as u on u.id = a.ancestor_id
where t.curie in ('CHEMICAL:0000146', 'CHEMICAL:0000413', 'CHEMICAL:0001388', 'CHEMICAL:0002001')
    and u.curie = 'PROTEIN:0000013' and a.is_a_distance is not null
order by t.curie;

\echo '14. Which of a study''s annotations are out of date, and what should stand there?'
select
    r.id,
    r.status,
    coalesce(r.curie, array_to_string(r.candidates, ', ')) as today,
    r.label
from efo_resolve(array['CHEMICAL:0000413', 'sample_0004663', 'SAMPLE:9999999']) as r
order by r.ordinal;

\echo '15. What did each release change, by kind?'
\echo '   (Empty after one release alone; for a second: efo-assets demo --release 2)'
select d.release, d.kind, d.changes, d.terms
from efo_change_digest as d
order by d.release_id desc, d.changes desc, d.kind
limit 10;

\echo '16. What happened to one term, release by release?'
\echo '   (Empty after one release alone; for a second: efo-assets demo --release 2)'
select r.version, c.kind, c.before, c.after
from efo_changes as c
join efo_release as r on r.release_id = c.release_id
join efo_terms as t on t.id = c.term_id
where t.curie = 'SAMPLE:0004508'
order by c.release_id, c.ordinal;

\echo '17. What do two terms have in common, nearest first?'
select c.curie, c.label, a.is_a_distance as from_one, b.is_a_distance as from_other
from efo_terms as one
join efo_ancestors as a on a.term_id = one.id and a.is_a_distance is not null
join efo_terms as other on other.curie = 'CHEMICAL:0001388'
join efo_ancestors as b
    on b.term_id = other.id and b.ancestor_id = a.ancestor_id and b.is_a_distance is not null
join efo_terms as c on c.id = a.ancestor_id
where one.curie = 'CHEMICAL:0000146'
order by a.is_a_distance + b.is_a_distance, c.curie
limit 3;

\echo '18. Which terms of a subset are below a term? (The first five of all.)'
select d.curie, d.label, count(*) over () as of_all
from efo_descendants('TRAIT:0000043') as d
join efo_terms as t on t.id = d.term_id
where 'http://purl.obolibrary.org/obo/a#one' = any (t.subsets)
order by d.curie
limit 5;

\echo '19. Which terms are matched with an entry of another database, and how does EFO spell it?'
select t.curie, t.label, x.relation, x.found
from efo_xrefs as x
join efo_terms as t on t.id = x.term_id
where x.prefix = 'snomedct' and x.accession in ('19', '25', '31')
order by t.curie;

\echo '20. Which terms speak of these words, wherever they stand?'
select s.curie, s.label, s.matched, s.kind
from efo_search('nocturnal kidney fracture', 5) as s;

\echo '21. Which MeSH ids did a class that was replaced have, and to which term do they lead today?'
\echo '   (Those lost as it became obsolete are there after two releases: efo-assets demo --release 2)'
select o.curie as replaced, m.mesh_id, t.curie, t.label, null::bigint as lost_in
from efo_terms as o
join efo_replacements as r on r.term_id = o.id
join efo_mesh_terms as m on m.term_id = r.target_id and o.iri = any (m.via)
join efo_terms as t on t.id = m.term_id
where o.curie in ('CELL:0002652', 'TRAIT:0013861')
union all
select o.curie, x.accession, t.curie, t.label, x.lost_in
from efo_terms as o
join efo_inherited_xrefs as x on x.inherited_from = o.iri and x.prefix = 'mesh'
join efo_terms as t on t.id = x.term_id
where o.curie in ('CELL:0002652', 'TRAIT:0013861')
order by replaced, mesh_id;
