"""Publication: whole, proven, incremental, and the same again changes nothing."""

import psycopg
import pytest

from efo_assets.errors import AuditNotPassed, NothingStaged, PublicationRefused, WarehouseError
from efo_assets.warehouse.ledger import Changes
from efo_assets.warehouse.tables import TABLES
from efo_assets.warehouse.warehouse import Warehouse
from efo_assets_tests.warehouse.loads import (
    Rows,
    ask,
    copy,
    edge,
    iri,
    key,
    publish,
    stage,
    synonym,
    term,
    xref,
)

MAJORS = (18, 16)
ALLOW_SHRINK = True
NAMES = ("a", "b", "c")
FIRST: Rows = {
    "terms": [term(name) for name in NAMES],
    "synonyms": [synonym("a", "first", "exact", "X:1"), synonym("a", "second"), synonym("b", "b")],
    "edges": [edge("b", "a"), edge("c", "a"), edge("c", "b", "part_of")],
    "xrefs": [xref("a", "mesh", "D1"), xref("b", "mesh", "D1"), xref("c", "umls", "C1")],
}


def published(warehouse: Warehouse) -> dict[str, set[object]]:
    return {
        "terms": set(ask(warehouse, "select curie, label, removed_in is null from efo_terms")),
        "synonyms": set(
            ask(
                warehouse,
                "select curie, synonym, scope, array_to_string(sources, ' ') from efo_synonyms"
                " join efo_terms on id = term_id",
            )
        ),
        "edges": set(
            ask(
                warehouse,
                "select c.curie, p.curie, predicate from efo_parent_edges"
                " join efo_terms as c on c.id = child_id join efo_terms as p on p.id = parent_id",
            )
        ),
        "xrefs": set(
            ask(
                warehouse,
                "select curie, prefix, accession from efo_xrefs join efo_terms on id = term_id",
            )
        ),
    }


def test_the_first_release_is_published_as_staged(warehouse: Warehouse) -> None:
    done = publish(warehouse, **FIRST)
    assert done.is_new
    assert done.rows == {
        "efo_terms": 3,
        "efo_synonyms": 3,
        "efo_parent_edges": 3,
        "efo_xrefs": 3,
        "efo_replacements": 0,
        "efo_ancestors": 3,
        "efo_mesh_terms": 0,
        "efo_changes": 0,
    }
    assert {name: change.inserted for name, change in done.changes.items()} == done.rows
    assert done.written == sum(done.rows.values())
    assert published(warehouse) == {
        "terms": {(f"EX:{name}", f"label of {name}", True) for name in NAMES},
        "synonyms": {
            ("EX:a", "first", "exact", "X:1"),
            ("EX:a", "second", "exact", ""),
            ("EX:b", "b", "exact", ""),
        },
        "edges": {
            ("EX:b", "EX:a", "is_a"),
            ("EX:c", "EX:a", "is_a"),
            ("EX:c", "EX:b", "part_of"),
        },
        "xrefs": {("EX:a", "mesh", "D1"), ("EX:b", "mesh", "D1"), ("EX:c", "umls", "C1")},
    }


def test_new_tables_are_vacuumed_and_changed_ones_left_to_postgres(warehouse: Warehouse) -> None:
    vacuumed = (
        "select pg_stat_get_vacuum_count(oid) from pg_class"
        " where relname in ('efo_terms', 'efo_ancestors', 'efo_xrefs')"
    )
    publish(warehouse, **FIRST)
    assert ask(warehouse, vacuumed) == [(1,), (1,), (1,)]
    publish(warehouse, **FIRST | {"terms": [*FIRST["terms"], term("d")]})
    assert ask(warehouse, vacuumed) == [(1,), (1,), (1,)]


def test_the_next_release_writes_the_rows_that_differ_and_no_others(warehouse: Warehouse) -> None:
    publish(warehouse, **FIRST)
    ids = dict(ask(warehouse, "select curie, id from efo_terms"))
    done = publish(
        warehouse,
        "2",
        terms=[term("a"), term("b", "relabelled"), term("d")],
        synonyms=[synonym("a", "first", "exact", "X:2"), synonym("a", "second", "related")],
        edges=[edge("b", "a"), edge("d", "b")],
        xrefs=[xref("a", "mesh", "D1"), xref("b", "mesh", "D2")],
    )
    assert done.changes == {
        "efo_terms": Changes(inserted=1, changed=1, removed=1, unchanged=1),
        "efo_synonyms": Changes(inserted=1, changed=1, removed=2, unchanged=0),
        "efo_parent_edges": Changes(inserted=1, changed=0, removed=2, unchanged=1),
        "efo_xrefs": Changes(inserted=1, changed=0, removed=2, unchanged=1),
        "efo_replacements": Changes(),
        "efo_ancestors": Changes(inserted=2, changed=0, removed=2, unchanged=1),
        "efo_mesh_terms": Changes(),
        "efo_changes": Changes(inserted=10),
    }
    assert published(warehouse)["terms"] == {
        ("EX:a", "label of a", True),
        ("EX:b", "relabelled", True),
        ("EX:c", "label of c", False),
        ("EX:d", "label of d", True),
    }
    assert {("EX:a", "first", "exact", "X:2"), ("EX:a", "second", "related", "")} == published(
        warehouse
    )["synonyms"]
    now = dict(ask(warehouse, "select curie, id from efo_terms"))
    assert {name: now[name] for name in ids} == ids, "surrogate keys survive"
    assert ask(
        warehouse,
        "select curie, first_release, changed_release, removed_in from efo_terms order by curie",
    ) == [
        ("EX:a", 1, 1, None),
        ("EX:b", 1, 2, None),
        ("EX:c", 1, 2, 2),
        ("EX:d", 2, 2, None),
    ]


def test_a_class_that_comes_back_is_the_same_row(warehouse: Warehouse) -> None:
    publish(warehouse, "1", terms=[term("a"), term("b")])
    before = ask(warehouse, "select id from efo_terms where curie = 'EX:b'")
    publish(warehouse, "2", terms=[term("a")])
    done = publish(warehouse, "3", terms=[term("a"), term("b")])
    assert done.changes["efo_terms"] == Changes(changed=1, unchanged=1)
    assert (
        ask(warehouse, "select id from efo_terms where curie = 'EX:b' and removed_in is null")
        == before
    )


@pytest.mark.fault("D41")
def test_keys_go_on_where_a_crash_took_their_sequence_back(warehouse: Warehouse) -> None:
    publish(warehouse, "1", terms=[term("a"), term("b")])
    ask(warehouse, "select setval(pg_get_serial_sequence('efo_terms', 'id'), 1)")
    ((highest,),) = ask(warehouse, "select max(id) from efo_terms")
    assert warehouse.term_keys()[2] == highest + 1
    publish(warehouse, "2", terms=[term("a"), term("b"), term("c")])
    next_one = "select nextval(pg_get_serial_sequence('efo_terms', 'id')) - max(id) from efo_terms"
    assert ask(warehouse, next_one) == [(1,)]


def test_keys_that_became_others_since_they_were_given_are_refused(warehouse: Warehouse) -> None:
    publish(warehouse, "1", terms=[term("a")], limit=1)
    late = stage(warehouse, "2", terms=[term("a"), term("b")], limit=2)
    warehouse.audit(late)
    key_of_b = key(iri("b"))
    ask(
        warehouse,
        "insert into efo_terms (id, iri, label, is_obsolete, is_root, is_defining, first_release,"
        f" changed_release) select {key_of_b}, 'http://example.org/c', label, is_obsolete, is_root,"
        " is_defining, first_release, changed_release from efo_terms returning id",
    )
    with pytest.raises(
        PublicationRefused, match=r"had other keys \(http://example.org/b\): nothing"
    ):
        warehouse.publish(late)
    publish(warehouse, "2", terms=[term("a"), term("b")], limit=2)
    found = ask(warehouse, f"select iri, removed_in is null from efo_terms where id = {key_of_b}")
    assert found == [("http://example.org/c", False)]


@pytest.mark.fault("D27")
@pytest.mark.fault("H24")
def test_the_same_release_again_writes_no_row(warehouse: Warehouse) -> None:
    first = publish(warehouse, **FIRST)
    written = (
        "select sum(n_tup_ins + n_tup_upd + n_tup_del) from pg_stat_user_tables"
        " where relname like 'efo_%'"
    )
    before = ask(warehouse, written)
    again = publish(warehouse, **FIRST)
    assert (again.is_new, again.written, again.release_id) == (False, 0, first.release_id)
    assert ask(warehouse, written) == before
    assert ask(warehouse, "select count(*) from releases") == [(1,)]


def test_a_published_load_is_used_again_only_while_its_content_stands(
    warehouse: Warehouse,
) -> None:
    publish(warehouse, "1", terms=[term("a")])
    publish(warehouse, "2", **FIRST)
    load = warehouse.latest()
    assert warehouse.reusable(load.source) == load
    # As after a version that hashes otherwise was in between.
    ask(
        warehouse,
        "update releases set content_hash = 'terms=3:1' where release_id = 2 returning 1",
    )
    assert warehouse.reusable(load.source) is None
    assert publish(warehouse, "2", **FIRST).is_new


def test_the_same_load_again_is_one_publication(warehouse: Warehouse) -> None:
    load = stage(warehouse, **FIRST)
    warehouse.audit(load)
    assert warehouse.publish(load).is_new
    assert not warehouse.publish(load).is_new
    assert ask(warehouse, "select count(*) from releases") == [(1,)]


def test_rows_that_someone_changed_are_put_right_by_the_same_release(warehouse: Warehouse) -> None:
    publish(warehouse, **FIRST)
    ask(warehouse, "delete from efo_xrefs where prefix = 'umls' returning 1")
    ask(warehouse, "update efo_terms set label = 'vandalised' where curie = 'EX:a' returning 1")
    again = publish(warehouse, **FIRST)
    assert not again.is_new
    assert again.written == 2
    assert ("EX:a", "label of a", True) in published(warehouse)["terms"]


@pytest.mark.fault("O13")
@pytest.mark.fault("O14")
def test_a_load_that_was_never_audited_is_refused(warehouse: Warehouse) -> None:
    load = stage(warehouse, **FIRST)
    with pytest.raises(AuditNotPassed, match=r"no verdict .* terms_are_complete"):
        warehouse.publish(load)
    assert ask(warehouse, "select to_regclass('public.efo_terms')") == [(None,)]


def test_a_load_that_failed_its_audit_is_refused_and_the_old_release_stays(
    warehouse: Warehouse,
) -> None:
    publish(warehouse, **FIRST)
    before = published(warehouse)
    load = stage(warehouse, "2", terms=[term("a"), term("a")], expected_terms=2)
    assert not all(verdict.passed for verdict in warehouse.audit(load))
    with pytest.raises(AuditNotPassed, match="terms_are_unique"):
        warehouse.publish(load)
    assert published(warehouse) == before


@pytest.mark.fault("O12")
@pytest.mark.parametrize(
    "change",
    [
        "update {}.synonyms set synonym = 'else' where synonym = 'b'",
        "delete from {}.xrefs",
        "insert into {0}.synonyms (term_id, synonym, scope) select id, 'else', '' from {0}.terms",
        "insert into {0}.ancestors select ancestor_id, term_id, 1, 1 from {0}.ancestors",
        "update {}.terms set label = null",
        "update {}.parent_edges set parent_id = child_id",
        "update {}.ancestors set distance = distance + 1",
    ],
)
def test_rows_changed_after_the_audit_are_refused(warehouse: Warehouse, change: str) -> None:
    load = stage(warehouse, **FIRST)
    warehouse.audit(load)
    assert ask(warehouse, f"{change.format(load.schema)} returning 1")
    with pytest.raises(AuditNotPassed, match="present content"):
        warehouse.publish(load)
    assert ask(warehouse, "select to_regclass('public.efo_terms')") == [(None,)]


@pytest.mark.fault("O18")
@pytest.mark.parametrize(
    ("moment", "change"),
    [
        ("decoded", "delete from {}.synonyms"),
        ("decoded", "update {}.terms set label = 'else'"),
        ("derived", "update {}.synonyms set sources = '{{X:2}}'"),
        ("derived", "delete from {}.ancestors where distance = 1"),
    ],
)
def test_rows_changed_before_the_audit_are_refused(
    warehouse: Warehouse, moment: str, change: str
) -> None:
    load = copy(warehouse, **FIRST)
    if moment == "derived":
        load = warehouse.seal(load, {})
    assert ask(warehouse, f"{change.format(load.schema)} returning 1")
    step = warehouse.audit if moment == "derived" else lambda staging: warehouse.seal(staging, {})
    with pytest.raises(AuditNotPassed, match=f"after they were {moment}"):
        step(load)
    assert warehouse.reusable(load.source) is None
    assert publish(warehouse, **FIRST).rows["efo_synonyms"] == 3


@pytest.mark.fault("O12")
def test_published_rows_are_not_mended_from_staged_rows_that_were_changed_too(
    warehouse: Warehouse,
) -> None:
    publish(warehouse, "0", terms=[term("a")])
    load = stage(warehouse, **FIRST)
    warehouse.audit(load)
    warehouse.publish(load)
    before = published(warehouse)
    ask(warehouse, f"update {load.schema}.synonyms set synonym = 'else' returning 1")
    load = warehouse.latest()
    assert warehouse.publish(load).written == 0, "what stands is what was audited"
    ask(warehouse, "update public.efo_synonyms set sources = '{X:9}' returning 1")
    changed = published(warehouse)
    assert changed != before
    with pytest.raises(AuditNotPassed, match="present content"):
        warehouse.publish(load)
    assert published(warehouse) == changed


def test_a_part_of_an_ontology_does_not_replace_the_whole(warehouse: Warehouse) -> None:
    publish(warehouse, **FIRST)
    load = stage(warehouse, "2", terms=[term("a")], limit=1)
    warehouse.audit(load)
    with pytest.raises(PublicationRefused, match="first 1 classes only"):
        warehouse.publish(load)
    assert len(published(warehouse)["terms"]) == 3


def test_the_whole_replaces_a_part(warehouse: Warehouse) -> None:
    part = publish(warehouse, terms=[term("a")], limit=1)
    whole = publish(warehouse, **FIRST)
    assert (part.release_id, whole.release_id) == (1, 2)
    assert ask(warehouse, "select is_partial from releases order by release_id") == [
        (True,),
        (False,),
    ]


def test_another_ontology_does_not_replace_this_one(warehouse: Warehouse) -> None:
    publish(warehouse, **FIRST)
    load = stage(warehouse, "9", terms=[term("m")], ontology="mondo")
    warehouse.audit(load)
    with pytest.raises(PublicationRefused, match="holds efo, and the load is mondo"):
        warehouse.publish(load)


SAMPLE_IRI = "http://example.org/sample/releases/v901.0/sample.owl"


@pytest.mark.fault("D40")
def test_another_ontology_begins_anew_where_sample_data_stand(warehouse: Warehouse) -> None:
    many = {"terms": [term(f"s{number}") for number in range(50)], "edges": [edge("s1", "s0")]}
    for number in (901, 902):
        rows = many | {"synonyms": [synonym("s1", f"of {number}")]}
        publish(warehouse, f"{number}.0", version_iri=SAMPLE_IRI, ontology="sample", **rows)
    with warehouse.connect() as connection:
        connection.execute("create view public.labels as select label from public.efo_terms")
    efo = publish(warehouse, "3.92.0", **FIRST)
    assert efo.is_new
    assert len(published(warehouse)["terms"]) == 3
    assert ask(warehouse, "select count(*) from labels") == [(3,)]
    assert ask(warehouse, "select count(removed_in), max(changed_release) from efo_terms") == [
        (0, efo.release_id)
    ]
    assert ask(warehouse, "select count(*) from efo_changes") == [(0,)]
    assert ask(warehouse, "select ontology, version from releases") == [("efo", "3.92.0")]
    assert publish(warehouse, "3.93.0", **FIRST).release_id == efo.release_id + 1


@pytest.mark.parametrize("version_iri", ["http://elsewhere.org/sample/1", None])
def test_an_ontology_that_is_called_sample_is_not_replaced(
    warehouse: Warehouse, version_iri: str | None
) -> None:
    publish(warehouse, "9", version_iri=version_iri, ontology="sample", **FIRST)
    load = stage(warehouse, "3.92.0", **FIRST)
    warehouse.audit(load)
    with pytest.raises(PublicationRefused, match="holds sample, and the load is efo"):
        warehouse.publish(load)


def test_sample_data_do_not_replace_an_ontology(warehouse: Warehouse) -> None:
    publish(warehouse, "3.92.0", **FIRST)
    load = stage(warehouse, "901.0", version_iri=SAMPLE_IRI, ontology="sample", **FIRST)
    warehouse.audit(load)
    with pytest.raises(PublicationRefused, match="holds efo, and the load is sample"):
        warehouse.publish(load)


def test_with_nothing_staged_the_error_names_the_command(warehouse: Warehouse) -> None:
    with pytest.raises(NothingStaged, match=r"dagster asset materialize .*'\*efo_terms'"):
        warehouse.latest()


def test_a_trigger_that_alters_rows_is_found_out(warehouse: Warehouse) -> None:
    publish(warehouse, **FIRST)
    with warehouse.connect() as connection:
        connection.execute(
            "create function public.spoil() returns trigger language plpgsql as"
            " $$begin new.synonym := 'spoilt'; return new; end$$"
        )
        connection.execute(
            "create trigger spoil before insert on public.efo_synonyms"
            " for each row execute function public.spoil()"
        )
    before = published(warehouse)
    load = stage(warehouse, "2", **FIRST | {"synonyms": [synonym("c", "new")]})
    warehouse.audit(load)
    with pytest.raises(WarehouseError, match="trigger or rule"):
        warehouse.publish(load)
    assert published(warehouse) == before


def test_the_tables_have_their_keys_comments_and_view(warehouse: Warehouse) -> None:
    publish(warehouse, **FIRST)
    for table in TABLES:
        found = ask(
            warehouse,
            f"select a.attname, col_description(a.attrelid, a.attnum) from pg_attribute as a"
            f" where a.attrelid = 'public.{table.name}'::regclass and a.attnum > 0",
        )
        assert found == [(column.name, column.comment) for column in table.published_columns]
    assert ask(warehouse, "select mesh_id, curie from efo_mesh_xrefs order by curie") == [
        ("D1", "EX:a"),
        ("D1", "EX:b"),
    ]
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        ask(warehouse, "insert into efo_synonyms values (99, 'x', 'exact') returning 1")
    with pytest.raises(psycopg.errors.UniqueViolation):
        ask(
            warehouse,
            "insert into efo_synonyms select * from efo_synonyms returning 1",
        )


def test_a_load_that_was_compared_with_another_release_is_refused(warehouse: Warehouse) -> None:
    publish(warehouse, **FIRST)
    loads = [stage(warehouse, version, terms=FIRST["terms"]) for version in ("2", "3")]
    for load in loads:
        warehouse.audit(load)
    assert warehouse.publish(loads[0]).changes["efo_changes"].inserted > 0
    with pytest.raises(PublicationRefused, match=r"another release stood.*'\*efo_terms'"):
        warehouse.publish(loads[1])
    assert warehouse.reusable(loads[1].source) is None, "the next run stages it anew"
    again = publish(warehouse, "3", terms=FIRST["terms"])
    assert (again.is_new, again.changes["efo_changes"]) == (True, Changes())


@pytest.mark.parametrize("dropped", ["efo_changes", "efo_xrefs", "efo_replacements"])
def test_a_table_that_was_dropped_is_made_again(warehouse: Warehouse, dropped: str) -> None:
    publish(warehouse, **FIRST)
    with warehouse.connect() as connection:
        connection.execute(f"drop table public.{dropped} cascade")
    done = publish(warehouse, "2", **FIRST | {"xrefs": [xref("a", "mesh", "D1")]})
    assert done.changes["efo_changes"] == Changes(), "there was nothing whole to compare with"
    assert published(warehouse)["xrefs"] == {("EX:a", "mesh", "D1")}
    assert ask(warehouse, "select count(*) from efo_labels") == [(6,)]


@pytest.mark.fault("D17")
@pytest.mark.fault("D18")
@pytest.mark.fault("D19")
def test_what_users_built_on_the_tables_goes_on_working(warehouse: Warehouse) -> None:
    publish(warehouse, **FIRST)
    with warehouse.connect() as connection:
        for made in (
            "create table public.studies (trait bigint references public.efo_terms)",
            "insert into public.studies select id from public.efo_terms where curie = 'EX:c'",
            "create view public.labels as select curie, label from public.efo_terms",
            "create materialized view public.counted as select count(*) from public.efo_synonyms",
            "grant select on public.efo_terms to public",
        ):
            connection.execute(made)
    facts = (
        "select c.oid, relname, relacl::text, relpersistence from pg_class as c"
        " where relnamespace = 'public'::regnamespace order by 1"
    )
    before = ask(warehouse, facts)
    publish(warehouse, "2", terms=[term("a"), term("b", "new label")])
    assert ask(warehouse, facts) == before
    assert ("EX:b", "new label") in ask(warehouse, "select * from public.labels")
    assert ask(warehouse, "select curie from studies join efo_terms on id = trait") == [("EX:c",)]


@pytest.mark.fault("D22")
def test_every_table_of_ours_survives_a_crash(warehouse: Warehouse) -> None:
    publish(warehouse, **FIRST)
    assert ask(
        warehouse,
        "select distinct relpersistence from pg_class as c"
        " join pg_namespace as n on n.oid = relnamespace"
        " where relkind = 'r' and (nspname like 'efo%' or relname like 'efo%')",
    ) == [("p",)]


@pytest.mark.fault("D29")
def test_leftovers_are_bounded(warehouse: Warehouse) -> None:
    publish(warehouse, "0", **FIRST)
    for version in range(1, 8):
        stage(warehouse, str(version), terms=[term("a")])
    schemas = ask(warehouse, "select nspname from pg_namespace where nspname like 'efo_load_%'")
    assert len(schemas) <= 4, "the published load, the newest, and two kept for diagnosis"
    publish(warehouse, "9", **FIRST)
    assert warehouse.latest().source.version == "9"


@pytest.mark.fault("D25")
def test_a_reader_with_a_snapshot_sees_the_old_release_whole(warehouse: Warehouse) -> None:
    publish(warehouse, **FIRST)
    before = published(warehouse)
    with warehouse.connect() as reader, reader.transaction():
        reader.execute("set transaction isolation level repeatable read")
        count = "select count(*) from public.efo_terms where removed_in is null"
        assert reader.execute(count).fetchone() == (3,)
        publish(warehouse, "2", terms=[term("a")])
        assert reader.execute(count).fetchone() == (3,)
    assert published(warehouse) != before


@pytest.mark.fault("D07")
def test_a_reader_that_stays_does_not_delay_a_publication(warehouse: Warehouse) -> None:
    publish(warehouse, **FIRST)
    with warehouse.connect() as reader, reader.transaction():
        reader.execute("select count(*) from public.efo_synonyms")
        assert publish(warehouse, "2", **{**FIRST, "synonyms": []}).is_new
