with folded as (
    select
        iri,
        -- What is ASCII already has one Unicode form, and is folded many times as fast.
        case
            when octet_length(iri) = char_length(iri) then lower(btrim(iri) collate "C")
            else lower(normalize(btrim(iri), nfc))
        end as folded
    from {load}.terms
),

alike as (
    select folded, count(*) as times, min(iri) as first_iri, max(iri) as last_iri
    from folded
    group by folded
    having min(iri collate "C") <> max(iri collate "C")
)

select
    count(*),
    (
        select jsonb_agg(jsonb_build_object('iri', first_iri, 'like', last_iri, 'times', times))
        from (select * from alike limit 10) as s
    )
from alike
