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

-- name: function_unaccented
create or replace function {schema}.{prefix}unaccented(text)
returns text
language plpgsql immutable strict parallel safe
as $body$
begin
    if pg_catalog.octet_length($1) operator(pg_catalog.=) pg_catalog.char_length($1) then
        return $1;
    end if;
    return pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(
        pg_catalog.translate($1, {accented}, {bare}), 'ß', 'ss'), 'æ', 'ae'), 'œ', 'oe');
end
$body$;
grant execute on function {schema}.{prefix}unaccented(text) to public

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
            r.considered,
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
                array_agg(coalesce(n.curie, n.iri) order by r.ordinal)
                filter (where r.kind = 'replaced_by') as names,
                array_agg(coalesce(n.curie, n.iri) order by r.ordinal)
                filter (where r.kind = 'consider') as considered
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
        coalesce(
            case l.status when 'ambiguous' then l.names when 'obsolete' then l.considered end, '{{}}'
        ),
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

-- name: function_as_of
create or replace function {schema}.{prefix}as_of(release bigint, ids text[] default null)
returns table (
    term_id bigint,
    iri text,
    curie text,
    label text,
    definition text,
    is_obsolete boolean,
    synonyms text[],
    parents text[],
    xrefs text[]
)
language plpgsql stable
set search_path = pg_catalog
as $body$
declare
    untold bigint;
begin
    if not exists (select from {schema}.{prefix}release as r where r.release_id = release) then
        raise exception 'The ledger has no release %; {prefix}release lists them.', release
            using errcode = 'no_data_found';
    end if;
    select r.release_id
    into untold
    from (
        select r.release_id, r.compared_with, lag(r.release_id) over (order by r.release_id) as prior
        from {schema}.{prefix}release as r
    ) as r
    where r.release_id > release and r.compared_with is distinct from r.prior
    order by r.release_id desc
    limit 1;
    if untold is not null then
        raise exception
            'What release % changed is not known, so neither is what stood before it: ask for a release from % on.',
            untold, untold
            using errcode = 'no_data_found';
    end if;
    return query
    select
        t.id,
        t.iri,
        t.curie,
        coalesce(renamed.label, t.label),
        case when redefined.is_so then redefined.definition else t.definition end,
        coalesce(status.was_obsolete, t.is_obsolete),
        held.synonyms,
        held.parents,
        held.xrefs
    from {schema}.{prefix}terms as t
    -- Whether it was listed, which the next coming or going tells.
    left join lateral (
        select c.release_id, c.kind = 'removed' as was_listed
        from {schema}.{prefix}changes as c
        where c.term_id = t.id and c.release_id > release
            and (c.kind in ('added', 'removed') or (c.kind = 'restored' and c.before is null))
        order by c.release_id
        limit 1
    ) as next on true
    left join lateral (
        select c.before as label
        from {schema}.{prefix}changes as c
        where c.term_id = t.id and c.release_id > release
            and c.kind in ('relabelled', 'obsoleted', 'restored', 'removed')
            and c.before is not null
        order by c.release_id
        limit 1
    ) as renamed on true
    left join lateral (
        select true as is_so, c.before as definition
        from {schema}.{prefix}changes as c
        where c.term_id = t.id and c.release_id > release and c.kind = 'redefined'
        order by c.release_id
        limit 1
    ) as redefined on true
    left join lateral (
        select c.kind = 'restored' as was_obsolete
        from {schema}.{prefix}changes as c
        where c.term_id = t.id and c.release_id > release
            and c.kind in ('obsoleted', 'restored') and c.before is not null
        order by c.release_id
        limit 1
    ) as status on true
    cross join lateral (
        with told as (
            -- The first change of each value since: what stood before it, stood then.
            select distinct on (each.what, each.value) each.what, each.value, each.before
            from (
                select
                    split_part(c.kind, ' ', 1) as what,
                    case
                        when c.kind like 'synonym %'
                            then substr(told.value, strpos(told.value, ': ') + 2)
                        else told.value
                    end as value,
                    c.before,
                    c.release_id
                from {schema}.{prefix}changes as c
                cross join lateral (select coalesce(c.before, c.after) as value) as told
                where c.term_id = t.id and c.release_id > release
                    and c.release_id <= coalesce(next.release_id, c.release_id)
                    and c.kind ~ '^(synonym|parent|xref) '
            ) as each
            order by each.what, each.value, each.release_id
        ),

        stands as (
            select
                'synonym' as what,
                s.synonym as value,
                string_agg(s.scope, ', ' order by s.scope collate "C") || ': ' || s.synonym as text
            from {schema}.{prefix}synonyms as s
            where s.term_id = t.id
            group by s.synonym
            union all
            select 'parent', e.predicate || ' ' || p.iri, e.predicate || ' ' || p.iri
            from {schema}.{prefix}parent_edges as e
            join {schema}.{prefix}terms as p on p.id = e.parent_id
            where e.child_id = t.id
            union all
            select 'xref', x.prefix || ':' || x.accession, x.prefix || ':' || x.accession
            from {schema}.{prefix}xrefs as x
            where x.term_id = t.id
        ),

        held as (
            select told.what, told.before as text from told where told.before is not null
            union all
            select s.what, s.text
            from stands as s
            where next.release_id is null
                and not exists (
                    select from told where told.what = s.what and told.value = s.value
                )
        )

        select
            coalesce(array_agg(h.text order by h.text collate "C") filter (where h.what = 'synonym'), '{{}}')
            as synonyms,
            coalesce(array_agg(h.text order by h.text collate "C") filter (where h.what = 'parent'), '{{}}')
            as parents,
            coalesce(array_agg(h.text order by h.text collate "C") filter (where h.what = 'xref'), '{{}}')
            as xrefs
        from held as h
    ) as held
    where (ids is null or t.iri = any(ids) or t.curie = any(ids))
        and t.first_release <= release
        and coalesce(next.was_listed, t.removed_in is null);
end
$body$;
grant execute on function {schema}.{prefix}as_of(bigint, text[]) to public

-- name: function_diff
create or replace function {schema}.{prefix}diff(earlier bigint, later bigint)
returns table (iri text, curie text, label text, kind text, before text, after text)
language plpgsql stable
set search_path = pg_catalog
as $body$
declare
    touched text[];
begin
    if earlier > later then
        raise exception 'Release % is not earlier than %: name the earlier one first.', earlier, later
            using errcode = 'invalid_parameter_value';
    end if;
    -- Here, since psql shows the whole statement in which a function raises.
    perform from {schema}.{prefix}as_of(earlier, '{{}}');
    perform from {schema}.{prefix}as_of(later, '{{}}');
    select array_agg(distinct t.iri)
    into touched
    from {schema}.{prefix}changes as c
    join {schema}.{prefix}terms as t on t.id = c.term_id
    where c.release_id > earlier and c.release_id <= later;
    return query
    with pairs as materialized (
        select t.id, t.iri, t.curie, t.first_release, b as was, a as now
        from {schema}.{prefix}as_of(earlier, coalesce(touched, '{{}}')) as b
        full join {schema}.{prefix}as_of(later, coalesce(touched, '{{}}')) as a
            on a.term_id = b.term_id
        join {schema}.{prefix}terms as t on t.id = coalesce(a.term_id, b.term_id)
    ),

    -- Of a class that is new nothing else is told.
    lists as (
        select p.id, l.what, l.befores, l.afters
        from pairs as p
        cross join lateral (
            values
            ('synonym', (p.was).synonyms, (p.now).synonyms),
            ('xref', (p.was).xrefs, (p.now).xrefs),
            ('parent', (p.was).parents, (p.now).parents)
        ) as l (what, befores, afters)
        where (p.was).term_id is not null
    ),

    items as (
        select
            l.id,
            l.what,
            case
                when l.what = 'synonym' then substr(i.value, strpos(i.value, ': ') + 2)
                else i.value
            end as value,
            i.value as told,
            i.is_after
        from lists as l
        cross join lateral (
            select b.value, false as is_after from unnest(l.befores) as b (value)
            union all
            select a.value, true from unnest(l.afters) as a (value)
        ) as i
    ),

    values_of as (
        select
            i.id,
            i.what,
            max(i.told) filter (where not i.is_after) as before,
            max(i.told) filter (where i.is_after) as after
        from items as i
        group by i.id, i.what, i.value
    ),

    found as (
        select
            p.id,
            k.kind,
            case when k.kind = 'redefined' then (p.was).definition else (p.was).label end as before,
            case when k.kind = 'redefined' then (p.now).definition else (p.now).label end as after
        from pairs as p
        cross join lateral (
            values
            ('added', (p.was).term_id is null and p.first_release > earlier),
            ('removed', (p.now).term_id is null),
            (
                'restored',
                ((p.was).term_id is null and p.first_release <= earlier)
                or ((p.was).is_obsolete and not (p.now).is_obsolete)
            ),
            ('obsoleted', (p.now).is_obsolete and not (p.was).is_obsolete),
            (
                'relabelled',
                (p.was).is_obsolete = (p.now).is_obsolete and (p.was).label <> (p.now).label
            ),
            (
                'redefined',
                (p.was).term_id is not null and (p.now).term_id is not null
                and (p.was).definition is distinct from (p.now).definition
            )
        ) as k (kind, is_so)
        where k.is_so
        union all
        select
            v.id,
            v.what || case
                when v.before is null then ' added' when v.after is null then ' removed'
                else ' scope moved'
            end,
            v.before,
            v.after
        from values_of as v
        where v.before is distinct from v.after
        union all
        select r.id, 'replacement changed', r.before, r.after
        from (
            select
                p.id,
                (array_agg(c.before order by c.release_id))[1] as before,
                (array_agg(c.after order by c.release_id desc))[1] as after
            from pairs as p
            join {schema}.{prefix}changes as c on c.term_id = p.id
            where c.kind = 'replacement changed' and c.release_id > earlier
                and c.release_id <= later
                and (p.was).is_obsolete and (p.now).is_obsolete
            group by p.id
        ) as r
        where r.before is distinct from r.after
    )

    select p.iri, p.curie, coalesce((p.now).label, (p.was).label), f.kind, f.before, f.after
    from found as f
    join pairs as p on p.id = f.id
    order by
        p.iri collate "C", f.kind collate "C", f.before collate "C" nulls first,
        f.after collate "C" nulls first;
end
$body$;
grant execute on function {schema}.{prefix}diff(bigint, bigint) to public

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
        -- By the key, however many names PostgreSQL expects to be found.
        cross join lateral (
            select o.id, o.iri, o.curie, o.label
            from {schema}.{prefix}terms as o
            where o.id = h.term_id and not o.is_obsolete
            offset 0
        ) as t
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
-- Of each word that is in no index PostgreSQL would say so.
set client_min_messages = warning
as $body$
declare
    -- Negations within each other are more than a tsquery takes from 32 on.
    heard constant text := regexp_replace(left(coalesce(sought, ''), 1000), '-\s*(-\s*)+', ' ', 'g');
    wanted constant text := regexp_replace(heard, '(^|\s)-("[^"]*"|\S+)', ' ', 'g');
    normal constant text := left({schema}.{prefix}normalised(wanted), 200);
    bare constant text := {schema}.{prefix}unaccented(normal);
    pairs constant text[] := array(
        select distinct substr(' ' || bare || ' ', i, 2)
        from generate_series(1, length(bare) + 1) as i
    );
    -- Quotation marks, a minus and "or" say how the words are meant.
    is_worded constant boolean := heard !~ '"|(^|\s)-\S' and normal !~ '\mor\M';
    typed tsquery := websearch_to_tsquery('pg_catalog.english', {schema}.{prefix}folded(heard));
    wide tsquery := typed;
    queries tsquery[];
    gains real[];
begin
    if normal = '' then
        return;
    end if;
    -- A word that is known is taken for what was meant, unless nothing is found so. Where still
    -- nothing is found, a name may lack words: rare ones tell most.
    for pass in 0..is_worded::integer * 2 loop
        if is_worded then
            select
                string_agg('(' || m.typed || ')', ' & '),
                string_agg('(' || m.wide || ')', case when pass < 2 then ' & ' else ' | ' end)
                filter (where pass < 2 or m.is_told and (m.before = 0 or m.before + 2 ^ m.weight < 1024)),
                array_agg(m.wide::tsquery) filter (where pass = 2 and m.is_told),
                array_agg(18 - m.weight) filter (where pass = 2 and m.is_told)
            into typed, wide, queries, gains
            from (
                select
                    n.*,
                    concat_ws(' | ', n.typed, n.begun, n.alike) as wide,
                    n.is_known or n.alike is not null as is_told,
                    -- Names that those before it are in, of the rarest first.
                    coalesce(sum(2 ^ n.weight) filter (where n.is_known or n.alike is not null) over (
                        order by n.weight, n.place rows between unbounded preceding and 1 preceding
                    ), 0) as before
                from (
                    select
                        x.place,
                        spelled.typed,
                        spelled.is_known,
                        spelled.weight,
                        case when x.is_last and length(x.word) > 2
                            then to_tsquery('pg_catalog.english', quote_literal(x.word) || ':*')::text
                        end as begun,
                        case when length(x.plain) > 3 and x.word !~ '[0-9]'
                            and (pass = 1 or not spelled.is_known) then (
                            -- "over" and its like are in no index.
                            select string_agg(
                                nullif(plainto_tsquery('pg_catalog.english', a.word)::text, ''), ' | '
                            )
                            from (
                                select w.word
                                from {schema}.{prefix}words as w
                                cross join lateral (
                                    select count(*)::real as number
                                    from unnest(x.pairs) as p (pair)
                                    where strpos(' ' || w.plain || ' ', p.pair) > 0
                                ) as shared
                                where (
                                    (
                                        w.plain >= left(x.plain, 2) collate "C"
                                        and w.plain < (left(x.plain, 2) || chr(1114111)) collate "C"
                                    ) or (
                                        reverse(w.plain) >= reverse(right(x.plain, 2)) collate "C"
                                        and reverse(w.plain)
                                        < (reverse(right(x.plain, 2)) || chr(1114111)) collate "C"
                                    )
                                )
                                and length(w.plain) between length(x.plain) - 2 and length(x.plain) + 2
                                and shared.number * 3 >= cardinality(x.pairs)
                                order by
                                    shared.number
                                    / (cardinality(x.pairs) + length(w.plain) + 1 - shared.number)
                                    - 0.08 * abs(length(w.plain) - length(x.plain)) + 0.015 * w.weight desc,
                                    w.word
                                limit 10
                            ) as a
                        ) end as alike
                    from (
                        select
                            u.word,
                            u.place,
                            {schema}.{prefix}unaccented(u.word) as plain,
                            u.place = max(u.place) over () as is_last,
                            array(
                                select distinct substr(' ' || {schema}.{prefix}unaccented(u.word) || ' ', i, 2)
                                from generate_series(1, length({schema}.{prefix}unaccented(u.word)) + 1) as i
                            ) as pairs
                        from unnest(string_to_array(normal, ' ')) with ordinality as u (word, place)
                        limit 12
                    ) as x
                    cross join lateral (
                        select
                            string_agg(distinct nullif(q.query, ''), ' | ') as typed,
                            bool_or(q.is_known) as is_known,
                            max(q.weight) as weight
                        from (
                            select plainto_tsquery('pg_catalog.english', x.word)::text, false, 0
                            union all
                            select plainto_tsquery('pg_catalog.english', w.word)::text, true, w.weight
                            from {schema}.{prefix}words as w
                            where w.plain = x.plain
                        ) as q (query, is_known, weight)
                    ) as spelled
                    -- "of" and its like are in no index.
                    where spelled.typed is not null
                ) as n
            ) as m;
        end if;
        return query
        with hits (id, matched, kind) as (
            (
                select t.id, t.label, 'label'
                from {schema}.{prefix}terms as t
                where to_tsvector('pg_catalog.english', {schema}.{prefix}folded(t.label)) @@ wide
                    and not t.is_obsolete and t.removed_in is null
                order by
                    case when pass = 2 then (
                        select -sum(q.gain)
                        from to_tsvector('pg_catalog.english', {schema}.{prefix}folded(t.label)) as l
                        join unnest(queries, gains) as q (query, gain) on l @@ q.query
                    ) end,
                    length(t.label)
                limit 150
            )
            union all
            select s.term_id, s.synonym, s.scope
            from (
                select s.term_id, s.synonym, s.scope
                from {schema}.{prefix}synonyms as s
                where to_tsvector('pg_catalog.english', {schema}.{prefix}folded(s.synonym)) @@ wide
                order by
                    case when pass = 2 then (
                        select -sum(q.gain)
                        from to_tsvector('pg_catalog.english', {schema}.{prefix}folded(s.synonym)) as l
                        join unnest(queries, gains) as q (query, gain) on l @@ q.query
                    ) end,
                    length(s.synonym)
                limit 300
            ) as s
            join {schema}.{prefix}terms as t on t.id = s.term_id
            where not t.is_obsolete and t.removed_in is null
            union all
            -- An abbreviation may be no word to the index, such as ALL.
            select t.id, t.label, 'label'
            from {schema}.{prefix}terms as t
            where {schema}.{prefix}normalised(t.label) = nullif(normal, '')
            union all
            select s.term_id, s.synonym, s.scope
            from {schema}.{prefix}synonyms as s
            where {schema}.{prefix}normalised(s.synonym) = nullif(normal, '')
            union all
            select n.term_id, n.synonym, n.scope || ' (inherited)'
            from (
                select n.term_id, n.synonym, n.scope
                from {schema}.{prefix}inherited_synonyms as n
                where to_tsvector('pg_catalog.english', {schema}.{prefix}folded(n.synonym)) @@ wide
                order by length(n.synonym)
                limit 150
            ) as n
            union all
            select n.term_id, n.synonym, n.scope || ' (inherited)'
            from {schema}.{prefix}inherited_synonyms as n
            where {schema}.{prefix}normalised(n.synonym) = nullif(normal, '')
        ),

        -- Materialized, so that it is worked out once for each.
        spelled as materialized (
            select
                h.*, {schema}.{prefix}unaccented({schema}.{prefix}normalised(h.matched)) as plain
            from hits as h
        ),

        compared as (
            select
                h.id,
                h.matched,
                h.kind,
                case
                    when h.plain = bare then 4
                    when starts_with(h.plain, bare) then 3
                    when to_tsvector('pg_catalog.english', {schema}.{prefix}folded(h.matched)) @@ typed
                        then 2
                    when pass = 2 then (
                        select sum(q.gain) filter (where l @@ q.query) / sum(q.gain)
                        from to_tsvector('pg_catalog.english', {schema}.{prefix}folded(h.matched)) as l
                        cross join unnest(queries, gains) as q (query, gain)
                    )
                    else 1
                end as likeness,
                shared.number / (cardinality(pairs) + length(h.plain) + 1 - shared.number) as closeness
            from spelled as h
            cross join lateral (
                select count(*)::real as number
                from unnest(pairs) as p (pair)
                where strpos(' ' || h.plain || ' ', p.pair) > 0
            ) as shared
        ),

        best as (
            select distinct on (c.id)
                c.id,
                c.matched,
                c.kind || case
                    when c.likeness >= 2 then ''
                    when pass = 2 then ' (part)'
                    else ' (fuzzy)'
                end as kind,
                case when pass = 2 then
                    c.likeness * 0.4 + c.closeness * 0.8
                    + case c.kind when 'label' then 0.03 when 'exact' then 0.015 else 0 end
                else
                    c.likeness + c.closeness * 0.7
                    + case c.kind when 'label' then 0.29 when 'exact' then 0.15 else 0 end
                end as rating
            from compared as c
            order by c.id, rating desc, c.matched
        )

        select t.id, t.iri, t.curie, t.label, b.matched, b.kind, b.rating::real
        from best as b
        join {schema}.{prefix}terms as t on t.id = b.id
        where not t.is_obsolete and t.removed_in is null
        order by b.rating desc, length(b.matched), t.iri
        limit case when most < 0 then 0 else most end;
        exit when found;
    end loop;
end
$body$
