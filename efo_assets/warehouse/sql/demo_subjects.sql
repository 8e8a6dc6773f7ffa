-- What the demo asks about: a synonym, a term with many terms below it, and a MeSH identifier.
select
    (
        select s.synonym
        from {schema}.efo_synonyms as s
        join {schema}.efo_terms as t on t.id = s.term_id
        where s.scope = 'exact' and not t.is_obsolete and t.removed_in is null
            and s.synonym ~ '^[a-z]+ [a-z]+ [a-z ]+$'
        order by s.synonym
        limit 1
    ),
    (
        select t.curie
        from {schema}.efo_terms as t
        where t.curie is not null and not t.is_root and not t.is_obsolete and t.removed_in is null
        order by (
            select count(*)
            from {schema}.efo_parent_edges as e
            where e.parent_id = t.id and e.predicate = 'is_a'
        ) desc, t.curie
        limit 1
    ),
    (
        select m.mesh_id
        from {schema}.efo_mesh_terms as m
        order by m.mesh_id
        limit 1
    )
