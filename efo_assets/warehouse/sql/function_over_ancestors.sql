create or replace function {schema}.{function}(
    term text, over_parts boolean default false
)
returns table (term_id bigint, iri text, curie text, label text, distance smallint)
language sql stable parallel safe
begin atomic
    select t.id, t.iri, t.curie, t.label, case when $2 then a.distance else a.is_a_distance end
    from {schema}.efo_ancestors as a
    join {schema}.efo_terms as t on t.id = a.{found}
    where ($2 or a.is_a_distance is not null)
        and a.{given} = (
            select named.id
            from {schema}.efo_terms as named
            where named.iri = $1 or named.curie = $1
            order by named.iri <> $1, named.removed_in is not null, named.is_obsolete, named.id
            limit 1
        );
end
