-- name: folded
-- Most texts are ASCII, which needs no mapping. What `lower` does to others depends on the collation.
pg_catalog.lower(
    case
        when pg_catalog.octet_length($1) operator(pg_catalog.=) pg_catalog.char_length($1) then $1
        else pg_catalog.translate(pg_catalog.normalize($1, 'NFC'), {cased}, {uncased})
    end collate "C"
)

-- name: function_efo_folded
-- Indexes hold what it gives: another definition takes another name, and so do its indexes.
create or replace function {schema}.efo_folded(text)
returns text
language plpgsql immutable strict parallel safe
as $body$
begin
    return {folded};
end
$body$;
grant execute on function {schema}.efo_folded(text) to public

-- name: function_efo_normalised
-- As for `efo_folded`, which it doesn't call, since the schema may be renamed.
create or replace function {schema}.efo_normalised(text)
returns text
language plpgsql immutable strict parallel safe
as $body$
begin
    return pg_catalog.btrim(
        pg_catalog.regexp_replace(
            {folded}, {punctuation}, ' ', 'g'
        )
    );
end
$body$;
grant execute on function {schema}.efo_normalised(text) to public

-- name: function_over_ancestors
create or replace function {schema}.{function}(
    term text, over_parts boolean default false
)
returns table (term_id bigint, iri text, curie text, label text, distance smallint)
language sql stable parallel safe
begin atomic
    select t.id, t.iri, t.curie, t.label, case when $2 then a.distance else a.is_a_distance end
    from {schema}.efo_ancestors as a
    join {schema}.efo_terms as t on t.id = a.{result}
    where ($2 or a.is_a_distance is not null)
        and a.{start} = (
            select named.id
            from {schema}.efo_terms as named
            where named.iri = $1 or named.curie = $1
            order by named.iri <> $1, named.removed_in is not null, named.is_obsolete, named.id
            limit 1
        );
end

-- name: function_efo_lookup
create or replace function {schema}.efo_lookup(sought text)
returns table (
    term_id bigint,
    iri text,
    curie text,
    label text,
    matched text,
    kind text,
    inherited_from text,
    is_ambiguous boolean
)
language sql stable parallel safe
begin atomic
    with sought as (
        select {schema}.efo_normalised($1) as normalised
    ),

    hits as (
        select
            l.term_id,
            l.text,
            l.kind,
            l.inherited_from,
            case l.kind when 'label' then 1 when 'other label' then 2 when 'exact' then 3 else 4 end
            as place
        from sought
        -- An obsolete class may bear the mark, in any spelling, before the name that it passes on.
        join {schema}.efo_labels as l
            on l.normalised = any(array[sought.normalised, 'obsolete ' || sought.normalised])
        where sought.normalised <> ''
            and (l.normalised = sought.normalised or l.inherited_from is not null)
    ),

    best as (
        select distinct on (t.id)
            t.id, t.iri, t.curie, t.label, h.text, h.kind, h.inherited_from, h.place
        from hits as h
        join {schema}.efo_terms as t on t.id = h.term_id
        where not t.is_obsolete
        order by t.id, h.place, h.inherited_from nulls first, h.text
    )

    select
        b.id,
        b.iri,
        b.curie,
        b.label,
        b.text,
        b.kind,
        b.inherited_from,
        count(*) over (partition by b.place, b.inherited_from is null) > 1
    from best as b
    order by b.place, b.inherited_from is not null, b.iri;
end

-- name: function_efo_search
create or replace function {schema}.efo_search(sought text, most integer default 20)
returns table (
    term_id bigint, iri text, curie text, label text, matched text, kind text, score real
)
language plpgsql stable
as $body$
declare
    fuzzy text;
begin
    select format(
        $query$
        union all
        select t.id, t.label, 'label (fuzzy)', %1$I.similarity(t.label, $1)
        from %2$I.efo_terms as t
        where t.label operator(%1$I.%%) $1
        union all
        select s.term_id, s.synonym, s.scope || ' (fuzzy)', %1$I.similarity(s.synonym, $1) * 0.9
        from %2$I.efo_synonyms as s
        where s.synonym operator(%1$I.%%) $1
        $query$,
        n.nspname, {schema_name}
    )
    into fuzzy
    from pg_catalog.pg_extension as e
    join pg_catalog.pg_namespace as n on n.oid = e.extnamespace
    where e.extname = 'pg_trgm';

    return query execute format(
        $query$
        with sought as (
            select websearch_to_tsquery('pg_catalog.english', %1$I.efo_folded($1)) as words
        ),

        hits (id, matched, kind, score) as (
            select t.id, t.label, 'label', 1 + ts_rank(
                to_tsvector('pg_catalog.english', %1$I.efo_folded(t.label)), sought.words, 1
            )
            from sought
            join %1$I.efo_terms as t
                on to_tsvector('pg_catalog.english', %1$I.efo_folded(t.label)) @@ sought.words
            union all
            select s.term_id, s.synonym, s.scope, 0.9 + ts_rank(
                to_tsvector('pg_catalog.english', %1$I.efo_folded(s.synonym)), sought.words, 1
            )
            from sought
            join %1$I.efo_synonyms as s
                on to_tsvector('pg_catalog.english', %1$I.efo_folded(s.synonym)) @@ sought.words
            %2$s
        ),

        best as (
            select distinct on (h.id) h.*
            from hits as h
            order by h.id, h.score desc, h.matched
        )

        select t.id, t.iri, t.curie, t.label, b.matched, b.kind, b.score::real
        from best as b
        join %1$I.efo_terms as t on t.id = b.id
        where not t.is_obsolete and t.removed_in is null
        order by b.score desc, length(b.matched), t.iri
        limit $2
        $query$,
        {schema_name}, coalesce(fuzzy, '')
    ) using sought, most;
end
$body$
