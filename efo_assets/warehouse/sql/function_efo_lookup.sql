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
    with hits as (
        select
            l.term_id,
            l.text,
            l.kind,
            l.inherited_from,
            case l.kind when 'label' then 1 when 'other label' then 2 when 'exact' then 3 else 4 end
            as place
        from {schema}.efo_labels as l
        where l.normalised = {sought}
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
