with aside as (
    delete from {load}.parent_edges as e
    where not exists (select from {load}.terms as t where t.iri = e.parent_iri)
    returning e.*
)

insert into {load}.dangling_edges
select * from aside
