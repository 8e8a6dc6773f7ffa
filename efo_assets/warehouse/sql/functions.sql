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

-- name: function_resolve_all
create or replace function {schema}.{prefix}resolve(ids text[])
returns table (
    ordinal bigint,
    id text,
    status text,
    term_id bigint,
    iri text,
    curie text,
    label text,
    found_iri text,
    found_label text,
    candidates text[],
    removed_in bigint
)
language sql stable parallel safe
begin atomic
    with asked as (
        select u.ordinal, u.id, btrim(translate(u.id, {blanks}, {spaces}), E' \t\n\r') as sought
        from unnest($1) with ordinality as u (id, ordinal)
    ),

    named as (
        select
            a.*,
            strpos(a.sought, '/') > 0 as is_iri,
            lower(regexp_replace(a.sought, '^.*[/#]', '') collate "C") as local_name
        from asked as a
    ),

    bare as materialized (
        select t.id, lower(regexp_replace(t.iri, '^.*[/#]', '') collate "C") as local_name
        from {schema}.{prefix}terms as t
        where t.curie is null
    ),

    matches as (
        select n.ordinal, t.id
        from named as n
        join {schema}.{prefix}terms as t on t.iri = any(array[n.id, n.sought])
        union all
        select n.ordinal, t.id
        from named as n
        join {schema}.{prefix}terms as t on t.curie = any(array[n.id, n.sought])
        union all
        select n.ordinal, t.id
        from named as n
        join {schema}.{prefix}terms as t on {curie_key} = translate(n.local_name, '_', ':')
        where not n.is_iri or lower(t.iri collate "C") = lower(n.sought collate "C")
        union all
        select n.ordinal, t.id
        from named as n
        join bare as b on b.local_name = translate(n.local_name, ':', '_')
        join {schema}.{prefix}terms as t on t.id = b.id
        where not n.is_iri or lower(t.iri collate "C") = lower(n.sought collate "C")
    ),

    best as (
        select distinct on (n.ordinal)
            n.ordinal, t.id, t.iri, t.curie, t.label, t.is_obsolete, t.removed_in
        from matches as m
        join named as n on n.ordinal = m.ordinal
        join {schema}.{prefix}terms as t on t.id = m.id
        order by
            n.ordinal,
            t.iri <> n.id,
            t.curie is distinct from n.id,
            t.iri <> n.sought,
            t.curie is distinct from n.sought,
            t.removed_in is not null,
            t.is_obsolete,
            t.id
    ),

    led as (
        select
            b.*,
            r.targets,
            r.names,
            case
                when b.removed_in is not null then 'vanished'
                when cardinality(r.targets) = 1 then 'replaced'
                when cardinality(r.targets) > 1 then 'ambiguous'
                when b.is_obsolete then 'obsolete'
                else 'current'
            end as status
        from best as b
        cross join lateral (
            select
                array_agg(r.target_id order by r.ordinal)
                filter (where r.kind = 'replaced_by') as targets,
                array_agg(coalesce(n.curie, n.iri) order by r.ordinal) as names
            from {schema}.{prefix}replacements as r
            join {schema}.{prefix}terms as n on n.id = r.target_id
            where r.term_id = b.id and r.status in ('resolved', 'ambiguous')
        ) as r
    )

    select
        a.ordinal,
        a.id,
        coalesce(l.status, 'unknown'),
        t.id,
        t.iri,
        t.curie,
        t.label,
        l.iri,
        l.label,
        case when l.status in ('ambiguous', 'obsolete') then coalesce(l.names, '{{}}') else '{{}}' end,
        l.removed_in
    from asked as a
    left join led as l on l.ordinal = a.ordinal
    left join {schema}.{prefix}terms as t
        on t.id = case l.status when 'current' then l.id when 'replaced' then l.targets[1] end
    order by a.ordinal;
end

-- name: function_resolve
create or replace function {schema}.{prefix}resolve(id text)
returns table (term_id bigint, followed_from text)
language plpgsql stable strict parallel safe rows 1
set search_path = pg_catalog
as $body$
declare
    shown constant text := left(btrim(translate(id, {blanks}, {spaces}), E' \t\n\r'), 200);
    led record;
begin
    select * into led from {schema}.{prefix}resolve(array[id]);
    if led.status = 'unknown' then
        raise exception
            'No class has the IRI, CURIE or short form "%"; {prefix}lookup finds classes by name.', shown
            using errcode = 'no_data_found';
    end if;
    if led.status = 'vanished' then
        raise exception
            'The class "%" vanished from the ontology in release %.', shown, led.removed_in
            using errcode = 'no_data_found';
    end if;
    if led.status = 'ambiguous' then
        raise exception
            'The class "%" was replaced by several: ask for one of %.',
            shown, array_to_string(led.candidates, ', ')
            using errcode = 'cardinality_violation';
    end if;
    return query
    select t.id, case led.status when 'replaced' then led.found_iri end
    from {schema}.{prefix}terms as t
    where t.iri = coalesce(led.iri, led.found_iri);
end
$body$;
grant execute on function {schema}.{prefix}resolve(text) to public

-- name: function_check
create or replace function {schema}.{prefix}check(curie_or_iri text, label text)
returns table (
    status text,
    agreement text,
    term_id bigint,
    iri text,
    curie text,
    today text,
    found_iri text,
    found_label text,
    candidates text[]
)
language sql stable parallel safe
begin atomic
    select
        r.status,
        case
            when f.id is null or $2 is null then null
            when $2 in (f.label, r.label) then 'exact'
            when {schema}.{prefix}normalised($2) = '' then 'none'
            when {schema}.{prefix}normalised(f.label) = any(n.spellings)
                or {schema}.{prefix}normalised(r.label) = any(n.spellings) then 'normalised'
            when exists (
                select
                from {schema}.{prefix}synonyms as s
                where s.term_id = any(array[f.id, r.term_id])
                    and {schema}.{prefix}normalised(s.synonym) = any(n.spellings)
            ) or exists (
                select
                from {schema}.{prefix}terms as t
                cross join lateral unnest(t.other_labels) as o (label)
                where t.id = any(array[f.id, r.term_id])
                    and {schema}.{prefix}normalised(o.label) = any(n.spellings)
            ) then 'synonym'
            else 'none'
        end,
        r.term_id,
        r.iri,
        r.curie,
        r.label,
        r.found_iri,
        r.found_label,
        r.candidates
    from {schema}.{prefix}resolve(array[$1]) as r
    left join {schema}.{prefix}terms as f on f.iri = r.found_iri
    -- An obsolete class may bear the mark before the name that it had.
    cross join lateral (
        select array[{schema}.{prefix}normalised($2), 'obsolete ' || {schema}.{prefix}normalised($2)]
        as spellings
    ) as n;
end

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

-- name: function_over_ancestor_edges
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
    with recursive walk as (
        select named.term_id as id, 0 as distance, named.followed_from
        from {schema}.{prefix}resolve($1) as named
        union
        select e.{result}, w.distance + 1, w.followed_from
        from walk as w
        join {schema}.{prefix}ancestor_edges as e on e.{start} = w.id
        where $2 or e.is_a_distance is not null
    ),

    nearest as (
        select w.id, min(w.distance)::smallint as distance, w.followed_from
        from walk as w
        where w.distance > 0
        group by w.id, w.followed_from
    )

    select t.id, t.iri, t.curie, t.label, n.distance, n.followed_from
    from nearest as n
    join {schema}.{prefix}terms as t on t.id = n.id;
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
