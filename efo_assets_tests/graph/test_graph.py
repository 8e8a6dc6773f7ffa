"""The graph end to end: generated releases through Dagster into PostgreSQL, row for row."""

from collections.abc import Callable, Sequence
from pathlib import Path

import dagster as dg
import pytest

from efo_assets.definitions import build_defs, defs
from efo_assets.graph.checks import PASSED_AUDIT
from efo_assets.sample.ontology import release
from efo_assets.sample.server import Sample
from efo_assets.warehouse.audit import CHECKS
from efo_assets.warehouse.tables import TABLES
from efo_assets_tests.faults.crash_points import listening
from efo_assets_tests.graph.materializing import (
    EXPORTS,
    NAMES,
    STAGED,
    Graph,
    failure,
    published_ancestors,
)
from efo_assets_tests.oracle.derived import (
    expected_ancestors,
    expected_as_of,
    expected_changes,
    expected_inherited_xrefs,
    expected_labels,
)
from efo_assets_tests.oracle.rows import expected_rows

CLASSES = 400
SEED = 7


def assert_published_is_release(graph: Graph, number: int) -> None:
    earlier = [expected_rows(release(CLASSES, SEED, n)) for n in range(1, number)]
    expected = expected_rows(release(CLASSES, SEED, number))
    published = graph.published()
    assert published.keys() >= {"terms", "synonyms", "parent_edges", "xrefs", "mesh_terms"}
    for name, rows in published.items():
        assert rows == getattr(expected, name), name
    assert published_ancestors(graph.ask) == expected_ancestors(expected.parent_edges)
    labels = graph.ask(
        "select t.iri, l.kind, l.text, l.inherited_from, l.lost_in from efo_labels as l"
        " join efo_terms as t on t.id = l.term_id where t.removed_in is null"
    )
    assert set(labels) == expected_labels(expected, earlier)
    assert len(labels) == len(set(labels))
    xrefs = graph.ask(
        "select t.iri, x.prefix, x.accession, x.inherited_from, x.lost_in"
        " from efo_inherited_xrefs as x join efo_terms as t on t.id = x.term_id"
    )
    assert set(xrefs) == expected_inherited_xrefs(expected, earlier)
    assert len(xrefs) == len(set(xrefs))


def test_first_and_next_release_equal_the_generators_expectation(
    graph: Graph, sample: Sample
) -> None:
    assert graph.materialize().success
    assert_published_is_release(graph, 1)
    sample.publish(2)
    assert graph.materialize().success
    assert_published_is_release(graph, 2)
    ledger = graph.ask("select version, is_partial from efo_meta.releases order by release_id")
    assert len(ledger) == 2
    assert not any(is_partial for _, is_partial in ledger)
    gone = graph.ask("select count(*) from efo_terms where removed_in = 2")
    assert gone[0][0] > 0


def test_three_releases_tell_what_each_changed(graph: Graph, sample: Sample) -> None:
    for number in (1, 2, 3):
        sample.publish(number)
        assert graph.materialize().success
        assert_published_is_release(graph, number)
    made = [expected_rows(release(CLASSES, SEED, number)) for number in (1, 2, 3)]
    for number in (2, 3):
        found = graph.ask(
            "select t.iri, c.kind, c.before, c.after from efo_changes as c"
            f" join efo_terms as t on t.id = c.term_id where c.release_id = {number}"
        )
        expected = expected_changes(made[number - 2], made[number - 1])
        assert len(found) == len(expected)
        assert set(found) == expected
    kinds = {row[0] for row in graph.ask("select kind from efo_changes")}
    assert kinds >= {"added", "removed", "obsoleted", "relabelled", "redefined", "xref added"}
    assert graph.ask("select count(*) from efo_changes where release_id = 1") == [(0,)]
    with dg.DagsterInstance.ephemeral() as instance:
        assert graph.materialize("efo_changes", instance=instance).success
        event = instance.get_latest_materialization_event(dg.AssetKey("efo_changes"))
    assert event is not None
    assert event.asset_materialization is not None
    metadata = event.asset_materialization.metadata
    digest = metadata["digest"]
    assert isinstance(digest, dg.TableMetadataValue)
    told = {record.data["kind"]: record.data["changes"] for record in digest.records}
    assert told == dict(
        graph.ask("select kind, changes from efo_change_digest where release_id = 3")
    )
    assert str(metadata["digest_chart"].value).count("█") >= len(told)
    touched = "select count(distinct term_id) from efo_changes where release_id = 3"
    assert graph.ask(f"{touched} and kind <> 'added'") == [
        (metadata["profile: touched terms"].value,)
    ]
    changes = graph.ask("select sum(changes) from efo_change_digest where release_id = 2")
    assert changes == graph.ask("select count(*) from efo_changes where release_id = 2")


def test_every_term_can_be_seen_as_it_was_at_each_of_five_releases(
    graph: Graph, sample: Sample
) -> None:
    made = {number: expected_rows(release(CLASSES, SEED, number)) for number in range(1, 6)}
    for number in made:
        sample.publish(number)
        assert graph.materialize().success
    for number, expected in made.items():
        found = graph.ask(
            "select iri, label, definition, is_obsolete, synonyms, parents, xrefs"
            f" from efo_as_of({number})"
        )
        rows = {tuple(tuple(v) if isinstance(v, list) else v for v in row) for row in found}
        assert len(found) == len(rows)
        assert rows == expected_as_of(expected), number
    ((label, curie),) = graph.ask(
        "select before, curie from efo_changes join efo_terms on id = term_id"
        " where kind = 'relabelled' and release_id = 3 limit 1"
    )
    assert graph.ask(f"select label from efo_as_of(2, array['{curie}'])") == [(label,)]
    for earlier, later in ((1, 5), (2, 4), (4, 5), (3, 3)):
        found = graph.ask(f"select iri, kind, before, after from efo_diff({earlier}, {later})")
        assert len(found) == len(set(found))
        assert set(found) == expected_changes(made[earlier], made[later]), (earlier, later)


def test_the_next_release_writes_only_what_differs(graph: Graph, sample: Sample) -> None:
    graph.materialize()
    sample.publish(2)
    graph.materialize()
    before, after = (expected_rows(release(CLASSES, SEED, number)) for number in (1, 2))
    changes = graph.ask("select changes from efo_meta.releases where release_id = 2")[0][0]
    inserted_or_changed = len(after.terms - before.terms)
    gone = len({row.iri for row in before.terms} - {row.iri for row in after.terms})
    terms = changes["efo_terms"]
    assert terms["inserted"] + terms["changed"] == inserted_or_changed
    assert terms["removed"] == gone
    edges = changes["efo_parent_edges"]
    assert edges["inserted"] == len(after.parent_edges - before.parent_edges)
    assert edges["removed"] == len(before.parent_edges - after.parent_edges)


def test_the_same_release_again_asks_little_and_writes_nothing(
    graph: Graph, sample: Sample
) -> None:
    graph.materialize()
    asked = len(sample.requests)
    assert graph.materialize().success
    assert len(sample.requests) - asked <= 6
    assert graph.ask("select count(*) from efo_meta.releases") == [(1,)]
    assert graph.ask("select distinct changed_release from efo_terms") == [(1,)]


def test_one_published_asset_alone_publishes_the_staged_release_as_a_whole(graph: Graph) -> None:
    assert graph.materialize("raw_ols_pages").success
    assert graph.materialize(*STAGED).success
    with dg.DagsterInstance.ephemeral() as instance:
        result = graph.materialize("efo_terms", instance=instance)
        materialized = {key.to_user_string() for key in instance.all_asset_keys()}
    assert result.success
    assert materialized == {"efo_release", *(table.name for table in TABLES)}
    assert_published_is_release(graph, 1)


def test_the_check_of_a_published_table_alone_publishes_too_and_tells_its_audit(
    graph: Graph,
) -> None:
    graph.materialize()
    job = build_defs().resolve_implicit_global_asset_job_def()
    check = dg.AssetCheckKey(dg.AssetKey("efo_terms"), PASSED_AUDIT)
    result = job.get_subset(
        asset_selection=set(), asset_check_selection={check}
    ).execute_in_process(raise_on_error=False)
    assert result.success
    (evaluation,) = result.get_asset_check_evaluations()
    assert evaluation.asset_check_key == check


@pytest.mark.parametrize("chosen", ["efo_release", "efo_synonyms", "efo_changes"])
def test_whichever_published_asset_is_chosen_with_the_staged_ones_waits_for_the_whole_audit(
    graph: Graph, chosen: str
) -> None:
    graph.materialize("raw_ols_pages")
    result = graph.materialize(*STAGED, chosen)
    assert result.success
    steps = [event.step_key for event in result.all_events if event.is_step_success]
    assert steps == ["staged_tables", "audit", "published_tables"]
    assert_published_is_release(graph, 1)


def test_one_staged_asset_alone_stages_all_tables(graph: Graph) -> None:
    graph.materialize("raw_ols_pages")
    assert graph.materialize("efo_staged/synonyms").success
    assert graph.materialize("efo_xrefs").success
    assert_published_is_release(graph, 1)


def test_publishing_before_anything_is_staged_names_the_command(graph: Graph) -> None:
    said = failure(graph.materialize("efo_terms"))
    assert said.startswith("Nothing is staged for schema public")
    assert "--select '*efo_terms'" in said


def test_staging_before_anything_is_downloaded_names_the_command(graph: Graph) -> None:
    said = failure(graph.materialize("efo_staged/terms"))
    assert said.startswith("No complete download of efo is kept")
    assert "--select '*efo_terms'" in said


@pytest.mark.fault("O13")
def test_publishing_without_the_audit_is_refused(graph: Graph) -> None:
    graph.materialize("raw_ols_pages")
    assert graph.materialize(*STAGED, checks=False).success
    assert "no verdict for its present content" in failure(graph.materialize("efo_terms"))


@pytest.mark.fault("O13")
def test_publishing_the_next_release_without_the_audit_is_refused_and_the_last_stays(
    graph: Graph, sample: Sample
) -> None:
    graph.materialize()
    sample.publish(2)
    graph.materialize("raw_ols_pages")
    assert graph.materialize(*STAGED, checks=False).success
    assert "no verdict for its present content" in failure(graph.materialize("efo_terms"))
    assert_published_is_release(graph, 1)


def test_a_failed_blocking_check_stops_the_run_before_publication(
    graph: Graph, sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph.materialize()
    graph.ask(
        "update efo_meta.releases set counts = jsonb_set(counts, '{terms}', '1000000') returning 1"
    )
    sample.publish(2)
    said = failure(graph.materialize())
    assert said.startswith(
        "efo 3.902.0 is not published, and the release before stays, since the audit refuses it: "
        "terms_did_not_shrink (999,600 lost rows: published 1,000,000 staged 400). If it is right,"
    )
    assert_published_is_release(graph, 1)
    monkeypatch.setenv("EFO_ALLOW_SHRINK", "1")
    assert graph.materialize().success
    assert_published_is_release(graph, 2)


@pytest.mark.fault("H32")
def test_a_limited_load_is_partial_and_does_not_replace_the_whole(
    graph: Graph, sample: Sample
) -> None:
    graph.configure(EFO_LIMIT="120")
    assert graph.materialize().success
    assert graph.ask("select count(*) from efo_terms") == [(120,)]
    graph.configure(EFO_LIMIT="")
    assert graph.materialize().success
    assert_published_is_release(graph, 1)
    graph.configure(EFO_LIMIT="120")
    sample.requests.clear()
    result = graph.materialize()
    assert "can't replace the whole release" in failure(result)
    assert result.get_step_failure_events()[0].step_key == "raw_ols_pages"
    assert len(sample.requests) == 4
    assert_published_is_release(graph, 1)


@pytest.mark.fault("D01")
def test_a_database_that_is_down_is_known_before_the_download(
    graph: Graph, sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("efo_assets.warehouse.session.CONNECT_PATIENCE_S", 0.2)
    graph.configure(EFO_DATABASE_URL="postgresql://me:CANARY@127.0.0.1:1/efo")
    said = failure(graph.materialize())
    assert "127.0.0.1:1/efo cannot be reached" in said
    assert "CANARY" not in said
    assert not sample.requests


def test_a_wrong_setting_is_one_sentence(graph: Graph) -> None:
    graph.configure(EFO_PAGE_SIZE="many")
    assert failure(graph.materialize()) == (
        "EFO_PAGE_SIZE takes a whole number from 1 to 1000; it holds 'many'."
    )


@pytest.mark.fault("H14")
def test_an_unknown_ontology_is_one_sentence(graph: Graph) -> None:
    graph.configure(EFO_ONTOLOGY="nosuch")
    assert "nosuch" in failure(graph.materialize())


@pytest.mark.fault("S17")
def test_nothing_is_pickled(graph: Graph, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        assert graph.materialize(instance=instance).success
    storage = [path for path in (home / "storage").rglob("*") if path.is_file()]
    assert [path for path in storage if path.read_bytes()[:1] == b"\x80"] == []


def test_every_asset_has_a_group_an_owner_kinds_and_a_description() -> None:
    graph = defs.resolve_asset_graph()
    files = len(TABLES) + 3
    assert len(graph.get_all_asset_keys()) == 3 + 2 * len(TABLES) + files
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.group_name in ("raw", "staged", "efo", "exports")
        assert node.owners
        assert node.description
        assert node.kinds


def test_published_assets_show_their_columns_from_the_specification() -> None:
    graph = defs.resolve_asset_graph()
    for table in TABLES:
        schema = graph.get(dg.AssetKey(table.name)).metadata["dagster/column_schema"]
        assert [column.name for column in schema.columns] == [
            column.name for column in table.published_columns
        ]


def test_every_check_of_the_audit_is_an_asset_check() -> None:
    graph = defs.resolve_asset_graph()
    found = {(key.asset_key.to_user_string(), key.name) for key in graph.asset_check_keys}
    staged = {(NAMES.staged(check.about).to_user_string(), check.name) for check in CHECKS}
    assert found == staged | {(table.name, PASSED_AUDIT) for table in TABLES}


def test_each_table_follows_from_its_own_staged_table_and_the_release() -> None:
    graph = defs.resolve_asset_graph()
    for table in TABLES:
        above = graph.get(dg.AssetKey(table.name)).parent_keys
        assert above == {NAMES.staged(table), NAMES.release}
    assert graph.get(NAMES.release).parent_keys == set(map(NAMES.staged, TABLES))
    assert graph.get(NAMES.raw).parent_keys == {NAMES.ols}
    assert graph.get(NAMES.ols).is_observable


def test_metadata_tells_what_a_publication_changed_and_where_it_came_from(
    graph: Graph, sample: Sample
) -> None:
    result = graph.materialize()
    told = {
        event.asset_key.to_user_string(): event.materialization.metadata
        for event in result.get_asset_materialization_events()
        if event.asset_key
    }
    assert [told[key]["source"].value for key in ("raw_ols_pages", "efo_xrefs")] == [sample.url] * 2
    metadata = told["efo_terms"]
    assert metadata["inserted"].value == metadata["dagster/row_count"].value
    dbname = graph.database.dbname
    assert metadata["dagster/table_name"].value == f"{dbname}.public.efo_terms"
    assert told["efo_release"]["dagster/table_name"].value == f"{dbname}.public.efo_release"
    first = metadata["first rows"]
    assert isinstance(first, dg.TableMetadataValue)
    assert [record.data["curie"] for record in first.records] == [
        curie
        for (curie,) in graph.ask("select coalesce(curie, iri) from efo_terms order by id limit 10")
    ]
    of_xrefs = told["efo_xrefs"]["first rows"]
    assert isinstance(of_xrefs, dg.TableMetadataValue)
    assert {"term", "prefix", "accession"} <= of_xrefs.records[0].data.keys()
    assert [(metadata["bytes_on_disk"].value,)] == graph.ask(
        "select pg_total_relation_size('efo_terms')"
    )
    assert {"changed", "removed", "unchanged", "release", "load"} <= set(metadata)


def test_what_the_audit_found_shows_on_the_published_tables_and_the_release(graph: Graph) -> None:
    result = graph.materialize()
    found = {
        each.asset_key.to_user_string(): each
        for each in result.get_asset_check_evaluations()
        if each.check_name == PASSED_AUDIT
    }
    assert found.keys() == {table.name for table in TABLES}
    verdicts = graph.ask("select check_name, passed, offenders from efo_meta.verdicts")
    by_name = {name: (passed, offenders) for name, passed, offenders in verdicts}
    for table in TABLES:
        about = [check.name for check in CHECKS if check.about is table]
        evaluation = found[table.name]
        assert evaluation.passed == all(by_name[name][0] for name in about)
        told = evaluation.metadata["audit"]
        assert isinstance(told, dg.TableMetadataValue)
        assert [record.data["check"] for record in told.records] == about
    warned = found["efo_terms"]
    assert not warned.passed
    assert str(warned.description).startswith("8 checks found terms_have_labels (1 row), ")
    (release,) = [
        event.materialization.metadata
        for event in result.get_asset_materialization_events()
        if event.asset_key == NAMES.release
    ]
    audit, offenders = release["audit"], release["offenders"]
    assert isinstance(audit, dg.TableMetadataValue)
    assert isinstance(offenders, dg.TableMetadataValue)
    assert {
        record.data["check"]: (record.data["outcome"] == "passed", record.data["found"])
        for record in audit.records
    } == by_name
    assert {record.data["check"] for record in offenders.records} == {
        name for name, (_, number) in by_name.items() if number
    }


def test_the_digest_of_a_release_names_terms(graph: Graph, sample: Sample) -> None:
    graph.materialize()
    sample.publish(2)
    result = graph.materialize()
    (release,) = [
        event.materialization.metadata
        for event in result.get_asset_materialization_events()
        if event.asset_key == NAMES.release
    ]
    digest = release["digest"]
    assert isinstance(digest, dg.TableMetadataValue)
    examples = {record.data["kind"]: str(record.data["such as"]) for record in digest.records}
    ((curie, label, before, after),) = graph.ask(
        "select t.curie, t.label, c.before, c.after from efo_changes as c"
        " join efo_terms as t on t.id = c.term_id where c.kind = 'relabelled'"
        " order by c.ordinal limit 1"
    )
    assert examples["relabelled"].startswith(f"{curie} {label}: {before} → {after}")


def asked_of(
    defs: dg.Definitions, instance: dg.DagsterInstance, keys: Sequence[str]
) -> Callable[[], set[str]]:
    """With each call, evaluate the conditions of assets; those that a run is asked for."""
    cursor = None

    def requested() -> set[str]:
        nonlocal cursor
        result = dg.evaluate_automation_conditions(
            defs=defs,
            instance=instance,
            cursor=cursor,
            asset_selection=dg.AssetSelection.assets(*keys),
        )
        cursor = result.cursor
        return {key for key in keys if result.get_num_requested(dg.AssetKey(key))}

    requested()
    return requested


def test_what_lies_downstream_runs_after_a_new_release_and_not_after_an_unchanged_one(
    graph: Graph, sample: Sample
) -> None:
    changed = dg.AutomationCondition.data_version_changed()
    condition = dg.AutomationCondition.any_deps_match(changed)

    def below(key: str) -> dg.AssetsDefinition:
        @dg.asset(name=f"below_{key}", deps=[key], automation_condition=condition)
        def follows() -> None: ...

        return follows

    above = ("efo_terms", "efo_release", "efo_parent_edges")
    following = dg.Definitions(assets=[below(key) for key in above])
    every = {f"below_{key}" for key in above}
    with dg.DagsterInstance.ephemeral() as instance:
        requested = asked_of(dg.Definitions.merge(build_defs(), following), instance, [*every])
        assert graph.materialize(instance=instance).success
        assert requested() == every
        assert graph.materialize(instance=instance).success
        assert requested() == set(), "the same release"
        assert graph.materialize("efo_synonyms", instance=instance).success
        assert requested() == set(), "by an event of its own, too"
        sample.publish(2)
        assert graph.materialize("raw_ols_pages", *STAGED, instance=instance).success
        assert requested() == set(), "nothing is published yet"
        assert graph.materialize("efo_synonyms", instance=instance).success
        assert requested() == every, "the unselected ones, too"


def test_files_and_report_follow_a_release_and_not_an_unchanged_one(
    graph: Graph, sample: Sample
) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        requested = asked_of(build_defs(), instance, EXPORTS)
        assert graph.materialize(instance=instance).success
        assert requested() == {*EXPORTS}
        assert graph.materialize(*EXPORTS, instance=instance).success
        assert requested() == set(), "they are made"
        assert graph.materialize(instance=instance).success
        assert requested() == set(), "the same release"
        sample.publish(2)
        assert graph.materialize(instance=instance).success
        assert graph.materialize(*EXPORTS, instance=instance).success
        assert requested() == set(), "they were made by hand"
        sample.publish(3)
        assert graph.materialize(instance=instance).success
        assert requested() == {*EXPORTS}


@pytest.mark.fault("S10")
def test_metadata_holds_no_markdown_made_of_what_ols_sent(graph: Graph) -> None:
    result = graph.materialize()
    texts = [
        value.md_str or ""
        for event in result.get_asset_materialization_events()
        for value in event.materialization.metadata.values()
        if isinstance(value, dg.MarkdownMetadataValue)
    ]
    assert len(texts) == 1, "the chart of latencies"
    assert not any(mark in texts[0] for mark in ("](", "<", "javascript:"))


def test_rows_are_copied_while_pages_come_where_tables_are_staged(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("efo_assets.warehouse.load.COPY_BYTES", 1)
    graph.configure(EFO_MAX_IN_FLIGHT="1", EFO_PAGE_SIZE="50")
    passed: list[str] = []
    with listening(passed.append):
        assert graph.materialize().success
    assert passed.count("C5") == 1, "no second load is filled"
    assert passed.index("C6") < len(passed) - passed[::-1].index("C2")
    assert_published_is_release(graph, 1)


def test_pages_alone_fill_no_load(graph: Graph) -> None:
    passed: list[str] = []
    with listening(passed.append):
        assert graph.materialize("raw_ols_pages").success
        assert "C5" not in passed
        assert graph.materialize("efo_staged/terms").success
    assert "C5" in passed


def test_a_connection_that_is_lost_again_and_again_while_rows_are_copied_is_one_sentence(
    graph: Graph,
) -> None:
    def end_the_session(point: str) -> None:
        if point == "C6":
            graph.ask(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and query ilike 'copy %'"
            )

    with listening(end_the_session):
        result = graph.materialize()
    assert "was lost while copying rows" in failure(result)
    assert result.get_step_failure_events()[0].step_key == "staged_tables"
    assert graph.ask("select distinct state from efo_meta.loads") == [("dropped",)]
