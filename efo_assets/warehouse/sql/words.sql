-- name: words_make
create table {schema}.{prefix}words (
    word text collate "C" not null,
    plain text collate "C" not null,
    weight smallint not null,
    constraint {key} primary key (word)
);
create index {plain_index} on {schema}.{prefix}words (plain);
create index {ending_index} on {schema}.{prefix}words (pg_catalog.reverse(plain));
comment on table {schema}.{prefix}words is {comment}

-- name: words_grants
-- Who reads names reads their words, too.
select format(
    'grant select on %%I.%%I to %%s',
    %(schema)s::text,
    %(words)s::text,
    case a.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end
)
from pg_class as c
cross join lateral aclexplode(c.relacl) as a
where c.oid = to_regclass(format('%%I.%%I', %(schema)s::text, %(terms)s::text))
    and a.privilege_type = 'SELECT' and a.grantee <> c.relowner

-- name: words_now
-- Pieces first, each once: most are in many names, and `normalised` takes longest.
with pieces as (
    select p.piece, count(*) as names
    from (
        select string_to_table(t.label, ' ')
        from {schema}.{prefix}terms as t
        union all
        select string_to_table(o.label, ' ')
        from {schema}.{prefix}terms as t
        cross join lateral unnest(t.other_labels) as o (label)
        where t.other_labels <> '{{}}'
        union all
        select string_to_table(s.synonym, ' ')
        from {schema}.{prefix}synonyms as s
    ) as p (piece)
    group by p.piece
)

select
    w.word collate "C" as word,
    (length(ltrim(sum(p.names)::bigint::bit(32)::text, '0')) - 1)::smallint as weight
from pieces as p
cross join lateral string_to_table({schema}.{prefix}normalised(p.piece), ' ') as w (word)
-- Nobody mistypes a code into another one and means it.
where w.word !~ '[0-9]' and length(w.word) between 3 and 40
group by w.word collate "C"

-- name: words_renew
with now as materialized (
    {now}
),

gone as (
    delete from {schema}.{prefix}words as w
    where not exists (select from now as n where n.word = w.word)
)

insert into {schema}.{prefix}words as w (word, plain, weight)
select n.word, {schema}.{prefix}unaccented(n.word), n.weight
from now as n
on conflict (word) do update set weight = excluded.weight
where w.weight <> excluded.weight

-- name: words_differing
with now as materialized (
    {now}
)

select count(*)
from now as n
full join {schema}.{prefix}words as w on w.word = n.word
where n.weight is distinct from w.weight
