insert into {load}.changes (term_id, ordinal, kind, before, after)
with terms as (
    select
        s.id,
        s.iri,
        p.label as label_before,
        s.label as label_after,
        p.definition as definition_before,
        s.definition as definition_after,
        p.is_obsolete as was_obsolete,
        s.is_obsolete,
        p.id is null as is_added,
        p.removed_in is not null as is_back
    from {load}.terms as s
    left join {schema}.{prefix}terms as p on p.id = s.id
),

-- Whose synonyms, references and parents can be compared: classes that stand. One that vanishes
-- loses its own, and without them nothing would tell what it had.
synonyms_differing as (
    select distinct p.id
    from (select * from {schema}.{prefix}synonyms where {term_id}) as b
    full join (select * from {load}.synonyms where {term_id}) as a
        on a.term_id = b.term_id and a.synonym = b.synonym and a.scope = b.scope
    join {schema}.{prefix}terms as p on p.id = coalesce(a.term_id, b.term_id)
    where a.term_id is distinct from b.term_id and p.removed_in is null
),

synonyms_before as (
    select d.id, s.synonym, string_agg(s.scope, ', ' order by s.scope collate "C") as scopes
    from {schema}.{prefix}synonyms as s
    join synonyms_differing as d on d.id = s.term_id
    group by d.id, s.synonym
),

synonyms_after as (
    select d.id, s.synonym, string_agg(s.scope, ', ' order by s.scope collate "C") as scopes
    from {load}.synonyms as s
    join synonyms_differing as d on d.id = s.term_id
    group by d.id, s.synonym
),

xrefs_differing as (
    select
        coalesce(a.term_id, b.term_id) as id,
        b.term_id is null as is_added,
        b.prefix || ':' || b.accession as before,
        a.prefix || ':' || a.accession as after
    from (select * from {schema}.{prefix}xrefs where {term_id}) as b
    full join (select * from {load}.xrefs where {term_id}) as a
        on a.term_id = b.term_id and a.prefix = b.prefix and a.accession = b.accession
    where a.term_id is distinct from b.term_id
),

parents_differing as (
    select
        coalesce(a.child_id, b.child_id) as id,
        b.child_id is null as is_added,
        b.predicate || ' ' || pb.iri as before,
        a.predicate || ' ' || pa.iri as after
    from (select * from {schema}.{prefix}parent_edges where {child_id}) as b
    full join (select * from {load}.parent_edges where {child_id}) as a
        on a.child_id = b.child_id and a.predicate = b.predicate and a.parent_id = b.parent_id
    left join {schema}.{prefix}terms as pb on pb.id = b.parent_id
    left join {load}.terms as pa on pa.id = a.parent_id
    where a.child_id is distinct from b.child_id
),

replacements_before as (
    select
        k.id,
        string_agg(r.kind || ' ' || r.target, '; ' order by r.kind, r.target collate "C") as targets
    from {schema}.{prefix}replacements as r
    join terms as k on k.id = r.term_id
    where k.was_obsolete and k.is_obsolete and not k.is_back
    group by k.id
),

replacements_after as (
    select
        k.id,
        string_agg(r.kind || ' ' || r.target, '; ' order by r.kind, r.target collate "C") as targets
    from {load}.replacements as r
    join terms as k on k.id = r.term_id
    where k.was_obsolete and k.is_obsolete and not k.is_back
    group by k.id
),

found (id, kind, before, after) as (
    select id, 'added', null, label_after from terms where is_added
    union all
    select id, 'restored', null, label_after from terms where is_back
    union all
    select id, 'restored', label_before, label_after
    from terms
    where was_obsolete and not is_obsolete
    union all
    select p.id, 'removed', p.label, null
    from {schema}.{prefix}terms as p
    where p.removed_in is null and not exists (select from {load}.terms as s where s.id = p.id)
    union all
    select id, 'obsoleted', label_before, label_after
    from terms
    where is_obsolete and not was_obsolete
    union all
    -- The label of a class that becomes obsolete changes by that alone.
    select id, 'relabelled', label_before, label_after
    from terms
    where not is_back and label_before <> label_after and was_obsolete = is_obsolete
    union all
    select id, 'redefined', definition_before, definition_after
    from terms
    where not is_added and definition_before is distinct from definition_after
    union all
    select a.id, 'replacement changed', b.targets, a.targets
    from replacements_after as a
    join replacements_before as b on b.id = a.id
    where a.targets is distinct from b.targets
    union all
    select
        coalesce(a.id, b.id),
        case
            when b.id is null then 'synonym added'
            when a.id is null then 'synonym removed'
            else 'synonym scope moved'
        end,
        b.scopes || ': ' || b.synonym,
        a.scopes || ': ' || a.synonym
    from synonyms_before as b
    full join synonyms_after as a on a.id = b.id and a.synonym = b.synonym
    where a.scopes is distinct from b.scopes
    union all
    select p.id, case when is_added then 'xref added' else 'xref removed' end, before, after
    from xrefs_differing as d
    join {schema}.{prefix}terms as p on p.id = d.id and p.removed_in is null
    union all
    select p.id, case when is_added then 'parent added' else 'parent removed' end, before, after
    from parents_differing as d
    join {schema}.{prefix}terms as p on p.id = d.id and p.removed_in is null
)

select
    f.id,
    row_number() over (
        order by
            coalesce(s.iri, p.iri) collate "C", kind collate "C",
            before collate "C" nulls first, after collate "C" nulls first
    ),
    kind,
    before,
    after
from found as f
left join {load}.terms as s on s.id = f.id
left join {schema}.{prefix}terms as p on p.id = f.id
