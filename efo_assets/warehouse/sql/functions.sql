-- name: folded
-- Most texts are ASCII, which needs no mapping. What `lower` does to others depends on the collation.
pg_catalog.lower(
    case
        when pg_catalog.octet_length($1) operator(pg_catalog.=) pg_catalog.char_length($1) then $1
        else pg_catalog.translate(pg_catalog.normalize($1, 'NFC'), {cased}, {uncased})
    end collate "C"
)

-- name: function_folded
-- Indexes hold what it gives: another definition takes another name, and so do its indexes.
create or replace function {schema}.{prefix}folded(text)
returns text
language plpgsql immutable strict parallel safe
as $body$
begin
    return {folded};
end
$body$;
grant execute on function {schema}.{prefix}folded(text) to public

-- name: function_normalised
-- As for `efo_folded`, which it doesn't call, since the schema may be renamed.
create or replace function {schema}.{prefix}normalised(text)
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
grant execute on function {schema}.{prefix}normalised(text) to public

-- name: function_resolve
create or replace function {schema}.{prefix}resolve(id text)
returns table (term_id bigint, followed_from text)
language plpgsql stable strict parallel safe rows 1
set search_path = pg_catalog
as $body$
declare
    sought constant text := btrim(translate(id, {blanks}, {spaces}), E' \t\n\r');
    shown constant text := left(sought, 200);
    is_iri constant boolean := strpos(sought, '/') > 0;
    local_name constant text := regexp_replace(sought, '^.*[/#]', '');
    found_term record;
    targets bigint[];
    target_names text;
begin
    select t.id, t.iri, t.removed_in
    into found_term
    from {schema}.{prefix}terms as t
    where t.iri in ($1, sought)
        or t.curie in ($1, sought)
        or (
            (
                {curie_key} = lower(translate(local_name, '_', ':') collate "C")
                or (
                    t.curie is null
                    and lower(regexp_replace(t.iri, '^.*[/#]', '') collate "C")
                    = lower(translate(local_name, ':', '_') collate "C")
                )
            )
            and (not is_iri or lower(t.iri collate "C") = lower(sought collate "C"))
        )
    order by
        t.iri <> $1,
        t.curie is distinct from $1,
        t.iri <> sought,
        t.curie is distinct from sought,
        t.removed_in is not null,
        t.is_obsolete,
        t.id
    limit 1;
    if not found then
        raise exception
            'No class has the IRI, CURIE or short form "%"; {prefix}lookup finds classes by name.', shown
            using errcode = 'no_data_found';
    end if;
    if found_term.removed_in is not null then
        raise exception
            'The class "%" vanished from the ontology in release %.', shown, found_term.removed_in
            using errcode = 'no_data_found';
    end if;
    select
        array_agg(n.id order by r.ordinal),
        string_agg(coalesce(n.curie, n.iri), ', ' order by r.ordinal)
    into targets, target_names
    from {schema}.{prefix}replacements as r
    join {schema}.{prefix}terms as n on n.id = r.target_id
    where r.term_id = found_term.id
        and r.kind = 'replaced_by'
        and r.status in ('resolved', 'ambiguous');
    if cardinality(targets) > 1 then
        raise exception
            'The class "%" was replaced by several: ask for one of %.', shown, target_names
            using errcode = 'cardinality_violation';
    end if;
    term_id := coalesce(targets[1], found_term.id);
    followed_from := case when targets is not null then found_term.iri end;
    return next;
end
$body$;
grant execute on function {schema}.{prefix}resolve(text) to public

-- name: function_grants
-- Who may execute a function, where somebody has said so.
select
    format(
        'grant execute on function %%s to %%s%%s',
        p.oid::regprocedure,
        case a.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end,
        case when a.is_grantable then ' with grant option' else '' end
    )
from pg_proc as p
cross join lateral aclexplode(p.proacl) as a
where p.oid = to_regprocedure(
        format('%%I.%%I(%%s)', %(schema)s::text, %(name)s::text, %(arguments)s::text)
    )
    and a.grantee <> p.proowner

-- name: function_over_ancestors
create or replace function {schema}.{function}(
    term text, over_parts boolean default false
)
returns table (
    term_id bigint,
    iri text,
    curie text,
    label text,
    distance smallint,
    followed_from text
)
language sql stable parallel safe
begin atomic
    select
        t.id,
        t.iri,
        t.curie,
        t.label,
        case when $2 then a.distance else a.is_a_distance end,
        named.followed_from
    from {schema}.{prefix}resolve($1) as named
    join {schema}.{prefix}ancestors as a on a.{start} = named.term_id
    join {schema}.{prefix}terms as t on t.id = a.{result}
    where $2 or a.is_a_distance is not null;
end

-- name: function_lookup
create or replace function {schema}.{prefix}lookup(sought text)
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
        select {schema}.{prefix}normalised($1) as normalised
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
        join {schema}.{prefix}labels as l
            on l.normalised = any(array[sought.normalised, 'obsolete ' || sought.normalised])
        where sought.normalised <> ''
            and (l.normalised = sought.normalised or l.inherited_from is not null)
    ),

    best as (
        select distinct on (t.id)
            t.id, t.iri, t.curie, t.label, h.text, h.kind, h.inherited_from, h.place
        from hits as h
        join {schema}.{prefix}terms as t on t.id = h.term_id
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

-- name: function_search
create or replace function {schema}.{prefix}search(sought text, most integer default 20)
returns table (
    term_id bigint, iri text, curie text, label text, matched text, kind text, score real
)
language plpgsql stable
-- A reader's own may hide functions, or limit what an index finds.
set search_path = pg_catalog, pg_temp
set gin_fuzzy_search_limit = 0
as $body$
declare
    fuzzy text;
begin
    select format(
        $query$
        union all
        select t.id, t.label, 'label (fuzzy)', %1$I.similarity(t.label, $1)
        from %2$I.{prefix}terms as t
        where t.label operator(%1$I.%%) $1
        union all
        select s.term_id, s.synonym, s.scope || ' (fuzzy)', %1$I.similarity(s.synonym, $1) * 0.9
        from %2$I.{prefix}synonyms as s
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
            select websearch_to_tsquery('pg_catalog.english', %1$I.{prefix}folded($1)) as words
        ),

        hits (id, matched, kind, score) as (
            select t.id, t.label, 'label', 1 + ts_rank(
                to_tsvector('pg_catalog.english', %1$I.{prefix}folded(t.label)), sought.words, 1
            )
            from sought
            join %1$I.{prefix}terms as t
                on to_tsvector('pg_catalog.english', %1$I.{prefix}folded(t.label)) @@ sought.words
            union all
            select s.term_id, s.synonym, s.scope, 0.9 + ts_rank(
                to_tsvector('pg_catalog.english', %1$I.{prefix}folded(s.synonym)), sought.words, 1
            )
            from sought
            join %1$I.{prefix}synonyms as s
                on to_tsvector('pg_catalog.english', %1$I.{prefix}folded(s.synonym)) @@ sought.words
            %2$s
        ),

        best as (
            select distinct on (h.id) h.*
            from hits as h
            order by h.id, h.score desc, h.matched
        )

        select t.id, t.iri, t.curie, t.label, b.matched, b.kind, b.score::real
        from best as b
        join %1$I.{prefix}terms as t on t.id = b.id
        where not t.is_obsolete and t.removed_in is null
        order by b.score desc, length(b.matched), t.iri
        limit $2
        $query$,
        {schema_name}, coalesce(fuzzy, '')
    ) using sought, most;
end
$body$
