with alike as (
    select
        lower(normalize(btrim(iri), nfc)) as folded,
        count(distinct iri) as times,
        min(iri) as first_iri,
        max(iri) as last_iri
    from {load}.terms
    group by lower(normalize(btrim(iri), nfc))
    having count(distinct iri) > 1
)

select
    count(*),
    (
        select jsonb_agg(jsonb_build_object('iri', first_iri, 'like', last_iri, 'times', times))
        from (select * from alike limit 10) as s
    )
from alike
