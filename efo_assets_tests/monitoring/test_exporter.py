"""The endpoint, scraped over HTTP after real loads: every figure is what the sources say."""

import os
import re
import signal
from functools import partial
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import dagster as dg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from efo_assets.monitoring.catalogue import DAGSTER, DATABASE, GAUGES
from efo_assets.settings import DatabaseTarget
from efo_assets.warehouse.tables import TABLES
from efo_assets_tests.databases import connected
from efo_assets_tests.graph.materializing import NAMES, published_ancestors
from efo_assets_tests.monitoring import many
from efo_assets_tests.monitoring.conftest import LATENCY_MS, House, endpoint_of
from efo_assets_tests.monitoring.many import (
    add_to_ledger,
    counted,
    end_run,
    note_download,
    ontology,
)
from efo_assets_tests.monitoring.processes import (
    PATIENCE_S,
    Endpoint,
    Scrape,
    running_exporter,
    until,
)

JOB = "refresh_efo"
EFO = ("efo", "public")
"""Ontology and schema."""
MOST_SERIES = 60
"""Of one ontology of a catalogue."""


def names(source: str) -> set[str]:
    return {gauge.name for gauge in GAUGES if gauge.source == source}


def test_the_release_is_what_the_ledger_says(loaded: House) -> None:
    with endpoint_of(loaded) as endpoint:
        scrape = endpoint.scrape()
    ((number, version, iri, published, changes),) = loaded.graph.ask(
        "select release_id, version, version_iri, extract(epoch from published_at), changes"
        " from efo_meta.releases order by release_id desc limit 1"
    )
    assert number == 2
    assert scrape.value("efo_release_id", *EFO) == 2
    # In the order of the labels' names: ontology, partial, schema, version, version_iri.
    assert scrape.samples("efo_release_info") == {("efo", "false", "public", version, iri): 1}
    assert scrape.value("efo_release_published_timestamp_seconds", *EFO) == pytest.approx(
        float(published)
    )
    assert scrape.samples("efo_release_row_changes") == {
        (change, *EFO, table): changes[table][change]
        for table in changes
        for change in ("inserted", "changed", "removed")
    }
    assert scrape.value("efo_release_row_changes", "removed", *EFO, "efo_terms") > 0


def test_rows_are_those_of_the_published_tables(loaded: House) -> None:
    expected = {name: len(rows) for name, rows in loaded.graph.published().items()}
    expected["ancestors"] = len(published_ancestors(loaded.graph.ask))
    of_the_release = "select count(*) from efo_changes where release_id = 2"
    ((expected["changes"],),) = loaded.graph.ask(of_the_release)
    with endpoint_of(loaded) as endpoint:
        assert endpoint.scrape().samples("efo_table_rows") == {
            (*EFO, table.name): expected[table.staged_name] for table in TABLES
        }


def test_checks_are_the_verdicts_of_the_last_audit(loaded: House) -> None:
    with endpoint_of(loaded) as endpoint:
        scrape = endpoint.scrape()
    verdicts = loaded.graph.ask(
        "select blocking::text, check_name, passed, offenders, extract(epoch from checked_at)"
        " from efo_meta.verdicts where load_id = (select max(load_id) from efo_meta.verdicts)"
    )
    assert len(verdicts) >= 17
    assert scrape.samples("efo_check_passed") == {
        (blocking, name, *EFO): passed for blocking, name, passed, _, _ in verdicts
    }
    assert scrape.samples("efo_check_offenders") == {
        (blocking, name, *EFO): offenders for blocking, name, _, offenders, _ in verdicts
    }
    newest = max(float(checked_at) for *_, checked_at in verdicts)
    assert scrape.value("efo_audit_timestamp_seconds", *EFO) == pytest.approx(newest)


def test_assets_have_the_times_of_their_events(loaded: House) -> None:
    assert_assets_have_the_times_of_their_events(loaded)


def test_a_history_in_postgres_is_read_as_well(house: House) -> None:
    keep_history_in_postgres(house)
    assert house.load()
    assert_assets_have_the_times_of_their_events(house)
    assert not (house.home / "history").exists()


def assert_assets_have_the_times_of_their_events(house: House) -> None:
    with endpoint_of(house) as endpoint:
        scrape = endpoint.scrape()
    with house.instance() as instance:
        run = instance.get_runs(limit=1)[0]
        events = [log for log in instance.all_logs(run.run_id) if log.dagster_event is not None]
    made = {
        log.asset_materialization.asset_key.to_user_string(): log
        for log in events
        if log.asset_materialization is not None
    }
    assert made.keys() >= {"raw_ols_pages", *(table.name for table in TABLES)}
    assert scrape.samples("efo_asset_last_success_timestamp_seconds") == {
        (asset, "efo"): pytest.approx(log.timestamp) for asset, log in made.items()
    }
    began = step_times(events, dg.DagsterEventType.STEP_START)
    ended = step_times(events, dg.DagsterEventType.STEP_SUCCESS)
    assert scrape.samples("efo_asset_last_duration_seconds") == {
        (asset, "efo"): pytest.approx(ended[log.step_key] - began[log.step_key])
        for asset, log in made.items()
    }


def step_times(
    events: list[dg.EventLogEntry], kind: dg.DagsterEventType
) -> dict[str | None, float]:
    return {
        log.step_key: log.timestamp
        for log in events
        if log.dagster_event is not None and log.dagster_event.event_type is kind
    }


def keep_history_in_postgres(house: House) -> None:
    """The same kind of storage as deploy/dagster.yaml, here in the data's database."""
    parameters = house.graph.database.parameters
    url = f"postgresql://{parameters['user']}@/{parameters['dbname']}?host={parameters['host']}"
    (house.home / "dagster.yaml").write_text(f"storage:\n  postgres:\n    postgres_url: {url!r}\n")


def test_a_release_that_is_kept_already_has_the_figures_of_its_few_requests(loaded: House) -> None:
    with endpoint_of(loaded) as endpoint:
        scrape = endpoint.scrape()
    assert scrape.value("efo_ols_requests", "efo") == len(loaded.sample.requests)
    assert scrape.value("efo_ols_received_bytes", "efo") == loaded.sample.bytes_sent
    assert scrape.value("efo_ols_pages", "efo", "fetched") == 0
    assert scrape.value("efo_ols_pages", "efo", "kept") > 0
    latencies = scrape.samples("efo_ols_request_latency_seconds")
    assert list(latencies) == [("efo", each) for each in ("0.5", "0.9", "0.99", "1")]
    assert sorted(latencies.values()) == list(latencies.values())
    assert latencies["efo", "0.5"] >= LATENCY_MS / 1000


def test_failed_runs_count_until_the_next_success(house: House) -> None:
    assert not house.load(EFO_ONTOLOGY="nosuch")
    assert not house.load(EFO_ONTOLOGY="nosuch")
    with endpoint_of(house) as endpoint:
        scrape = endpoint.scrape()
        assert scrape.value("efo_runs", JOB, "nosuch", "FAILURE") == 2
        assert scrape.value("efo_runs", JOB, "nosuch", "SUCCESS") == 0
        assert scrape.value("efo_runs_failed_in_a_row", JOB, "nosuch") == 2
        assert scrape.samples("efo_asset_last_success_timestamp_seconds") == {}
        house.sample.reset()
        assert house.load()
        scrape = endpoint.scrape()
    assert scrape.value("efo_runs", JOB, "efo", "FAILURE") == 2
    assert scrape.value("efo_runs", JOB, "efo", "SUCCESS") == 1
    assert scrape.value("efo_runs_failed_in_a_row", JOB, "efo") == 0
    with house.instance() as instance:
        succeeded, failed, _ = instance.get_run_records()
    assert scrape.samples("efo_run_last_end_timestamp_seconds") == {
        (JOB, "efo", "SUCCESS"): succeeded.end_time,
        (JOB, "efo", "FAILURE"): failed.end_time,
    }
    assert_download_is_what_ols_saw(house, scrape)


def assert_download_is_what_ols_saw(house: House, scrape: Scrape) -> None:
    assert scrape.value("efo_ols_requests", "efo") == len(house.sample.requests)
    assert scrape.value("efo_ols_received_bytes", "efo") == house.sample.bytes_sent
    assert scrape.value("efo_ols_retries", "efo") == 0
    assert scrape.value("efo_ols_download_seconds", "efo") > LATENCY_MS / 1000
    pages = {query["page"] for _, query in house.sample.requests if "page" in query}
    assert scrape.value("efo_ols_pages", "efo", "fetched") >= len(pages) > 0
    assert scrape.value("efo_ols_pages", "efo", "kept") == 0


def test_a_refused_audit_shows_until_another_passes_and_the_release_stays(house: House) -> None:
    assert house.load()
    house.refuse_the_next_release()
    with endpoint_of(house) as endpoint:
        scrape = endpoint.scrape()
        assert scrape.value("efo_check_passed", "true", "terms_did_not_shrink", *EFO) == 0
        assert scrape.value("efo_check_offenders", "true", "terms_did_not_shrink", *EFO) > 900_000
        assert scrape.value("efo_check_passed", "true", "terms_are_unique", *EFO) == 1
        assert scrape.value("efo_release_id", *EFO) == 1
        assert scrape.value("efo_runs_failed_in_a_row", JOB, "efo") == 1
        assert house.load(EFO_ALLOW_SHRINK="1")
        scrape = endpoint.scrape()
    assert scrape.value("efo_check_passed", "true", "terms_did_not_shrink", *EFO) == 1
    assert scrape.value("efo_release_id", *EFO) == 2
    assert scrape.value("efo_runs_failed_in_a_row", JOB, "efo") == 0


def test_a_catalogue_is_read_by_as_many_queries_however_many_ontologies_it_has(
    house: House,
) -> None:
    keep_history_in_postgres(house)
    assert house.load()
    with house.instance() as instance:
        (event,) = instance.fetch_materializations(NAMES.raw, limit=1).records
        assert event.asset_materialization is not None
        noted = event.asset_materialization.metadata
        asked = []
        for numbers in (range(1, 3), range(3, 13)):
            add_to_ledger(house, numbers)
            for number in numbers:
                end_run(instance, number)
                note_download(instance, number, noted)
            end_run(instance, numbers[0], failed=True)
            end_run(instance, numbers[0], failed=True)
            with endpoint_of(house) as endpoint:
                endpoint.scrape()
                with counted() as statements:
                    scrape = endpoint.scrape()
            asked.append(len(statements))
    assert asked[0] == asked[1], statements
    assert scrape.value("efo_runs_failed_in_a_row", many.JOB, "many001") == 2
    assert scrape.value("efo_runs_failed_in_a_row", many.JOB, "many012") == 0
    ends = scrape.samples("efo_run_last_end_timestamp_seconds")
    assert {key[1:] for key in ends if key[0] == many.JOB} >= {
        ("many001", "FAILURE"),
        ("many001", "SUCCESS"),
        ("many012", "SUCCESS"),
    }
    assert scrape.value("efo_runs", many.JOB, "", "FAILURE") == 4
    # The default graph's job, of which none of the recent runs is.
    assert scrape.value("efo_runs_failed_in_a_row", JOB, "efo") == 0
    for name in ("efo_release_id", "efo_audit_timestamp_seconds"):
        assert set(scrape.samples(name)) == {
            EFO,
            *((each, each) for each in map(ontology, range(1, 13))),
        }
    assert scrape.value("efo_ols_requests", "many012") == noted["requests"].value
    # Of all of these, a catalogue's ontology has what says something.
    found = scrape.samples("efo_check_offenders")
    assert {key[1] for key in found if key[2] == "many001"} == {
        key[1] for key, offenders in found.items() if key[2] == "efo" and offenders
    }
    assert scrape.value("efo_checks", "many001", "passed", "many001") > len(found) / 13
    of_one = [
        sample
        for family in scrape.families.values()
        for sample in family.samples
        if sample.labels.get("ontology") == "many012"
    ]
    assert len(of_one) < MOST_SERIES


def test_before_the_first_load_both_sources_are_up_and_empty(house: House) -> None:
    with house.instance():
        pass  # as the daemon and the webserver do when they start
    with endpoint_of(house) as endpoint:
        scrape = endpoint.scrape()
    assert scrape.samples("efo_source_up") == {("dagster",): 1, ("database",): 1}
    assert "efo_release_id" not in scrape.families
    assert "efo_check_passed" not in scrape.families
    # A daemon that the instance needs and that never ran.
    assert scrape.value("efo_daemon_heartbeat_timestamp_seconds", "SENSOR") == 0


def test_no_history_is_made_for_a_scrape(house: House, caplog: pytest.LogCaptureFixture) -> None:
    with endpoint_of(house) as endpoint:
        assert endpoint.scrape().value("efo_source_up", "dagster") == 0
    assert "holds no run history that can be opened" in caplog.text
    assert [path.name for path in house.home.iterdir()] == ["dagster.yaml"]


@pytest.mark.fault("S01")
def test_a_database_that_is_down_is_a_metric(loaded: House, tmp_path: Path) -> None:
    url = "postgresql://me:CANARY@127.0.0.1:1/efo"
    environment = loaded.environment | {"EFO_DATABASE_URL": url}
    with running_exporter(tmp_path, environment) as exporter:
        scrape = until(exporter.process, partial(scrape_if_up, exporter, "dagster"), "Dagster")
        assert scrape.value("efo_source_up", "database") == 0
        assert not names(DATABASE) & scrape.families.keys()
        assert scrape.value("efo_runs", JOB, "efo", "SUCCESS") == 3
        log = exporter.log
    assert "database is down for the metrics: PostgreSQL at 127.0.0.1:1/efo" in log
    assert "CANARY" not in log
    assert "Traceback" not in log


@pytest.mark.fault("S01")
def test_a_history_that_is_down_is_a_metric(loaded: House, tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text(
        "storage: {postgres: {postgres_url: 'postgresql://me:CANARY@127.0.0.1:1/dagster'}}"
    )
    environment = loaded.environment | {"DAGSTER_HOME": str(tmp_path)}
    with running_exporter(tmp_path, environment) as exporter:
        scrape = until(exporter.process, partial(scrape_if_up, exporter, "database"), "the ledger")
        assert scrape.value("efo_source_up", "dagster") == 0
        assert scrape.value("efo_release_id", *EFO) == 2
        assert not names(DAGSTER) & scrape.families.keys()
        log = exporter.log
    assert "dagster is down for the metrics" in log
    assert "CANARY" not in log
    assert "Traceback" not in log


def scrape_if_up(endpoint: Endpoint, source: str) -> Scrape | None:
    scrape = endpoint.scrape()
    return scrape if scrape.value("efo_source_up", source) else None


@pytest.mark.parametrize("home", ["", "/nowhere"])
def test_without_a_dagster_home_the_history_is_down_and_a_sentence_says_why(
    house: House, home: str, caplog: pytest.LogCaptureFixture
) -> None:
    with endpoint_of(house, DAGSTER_HOME=home) as endpoint:
        assert endpoint.scrape().value("efo_source_up", "dagster") == 0
    assert "DAGSTER_HOME is not set or names no folder" in caplog.text


def test_a_database_that_comes_back_is_read_again(
    loaded: House, server: DatabaseTarget, caplog: pytest.LogCaptureFixture
) -> None:
    with endpoint_of(loaded) as endpoint:
        assert endpoint.scrape().value("efo_release_id", *EFO) == 2
        allow_connections(loaded, server, allowed=False)
        scrape = endpoint.scrape()
        assert scrape.value("efo_source_up", "database") == 0
        assert "efo_release_id" not in scrape.families
        allow_connections(loaded, server, allowed=True)
        with caplog.at_level("INFO", "efo_assets.monitoring"):
            assert endpoint.scrape().value("efo_release_id", *EFO) == 2
    assert "database is up again" in caplog.text


def allow_connections(house: House, server: DatabaseTarget, *, allowed: bool) -> None:
    with connected(server, autocommit=True) as admin:
        admin.execute(
            sql.SQL("alter database {} allow_connections {}").format(
                sql.Identifier(house.graph.database.parameters["dbname"]), allowed
            )
        )


@pytest.mark.fault("S18")
def test_a_role_that_may_only_read_the_ledger_is_enough(
    loaded: House, server: DatabaseTarget
) -> None:
    parameters = loaded.graph.database.parameters
    role = f"watcher_{parameters['dbname']}"
    with connected(server, autocommit=True) as admin:
        admin.execute(f"create role {role} login")
    with connected(loaded.graph.database) as owner:
        owner.execute(f"grant usage on schema efo_meta to {role}")
        owner.execute(f"grant select on all tables in schema efo_meta to {role}")
    url = make_conninfo(**{**parameters, "user": role})
    with endpoint_of(loaded, EFO_DATABASE_URL=url) as endpoint:
        assert endpoint.scrape().value("efo_release_id", *EFO) == 2


def test_no_embedded_database_is_made_for_a_scrape(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    empty = house.folder / "empty"
    with endpoint_of(house, EFO_DATABASE_URL="", EFO_DATA_DIR=str(empty)) as endpoint:
        assert endpoint.scrape().value("efo_source_up", "database") == 0
    assert "holds no embedded PostgreSQL yet" in caplog.text
    assert not empty.exists()


@pytest.mark.usefixtures("server")
def test_an_embedded_database_is_read_as_it_runs(house: House, clusters: Path) -> None:
    with endpoint_of(house, EFO_DATABASE_URL="", EFO_DATA_DIR=str(clusters)) as endpoint:
        assert endpoint.scrape().value("efo_source_up", "database") == 1


def test_the_process_is_well_whatever_its_sources_are(house: House) -> None:
    nothing = {"DAGSTER_HOME": "", "EFO_DATABASE_URL": "", "EFO_DATA_DIR": str(house.folder / "no")}
    with endpoint_of(house, **nothing) as endpoint:
        assert endpoint.get("/healthz") == (200, "OK\n")
        assert endpoint.scrape().samples("efo_source_up") == {("dagster",): 0, ("database",): 0}


def test_other_pages_and_methods_are_refused(house: House) -> None:
    with endpoint_of(house) as endpoint:
        with pytest.raises(HTTPError, match="404") as missing:
            endpoint.get("/")
        missing.value.close()
        for path in ("/metrics", "/healthz"):
            with pytest.raises(HTTPError, match="405") as refused:
                urlopen(Request(endpoint.url + path, method="POST"))
            refused.value.close()
        with urlopen(Request(f"{endpoint.url}/healthz", method="HEAD")) as answer:
            assert answer.status == 200


def test_the_reports_that_were_written_are_served(house: House) -> None:
    with endpoint_of(house) as endpoint:
        assert "None is written yet" in endpoint.get("/reports")[1]
        assert house.load()
        assert house.graph.materialize("efo_release_report").success
        house.graph.configure(EFO_SCHEMA="others")
        assert house.graph.materialize().success
        assert house.graph.materialize("efo_release_report").success
        listed = endpoint.get("/reports")[1]
        assert re.findall('href="([^"]*)"', listed) == ["/reports/others", "/reports/public"]
        with urlopen(f"{endpoint.url}/reports/public") as answer:
            assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
            assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
            written = house.graph.data_dir / "exports" / "efo_release_report.html"
            assert answer.read() == written.read_bytes()
        # What a load of the sample, or an earlier version, left for the same schema.
        before = written.parent / "public" / "latest" / written.name
        before.parent.mkdir(parents=True)
        before.write_text("of the sample")
        os.utime(before, (0, 0))
        assert endpoint.get("/reports/public")[1] == written.read_text()
        assert endpoint.get("/reports/others")[0] == 200
        for path in ("/reports/none", "/reports/../exports", "/reports/%2e%2e", "/reportspublic"):
            with pytest.raises(HTTPError, match="404") as missing:
                endpoint.get(path)
            missing.value.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    with running_exporter(tmp_path, {"EFO_DATA_DIR": str(tmp_path / "none")}) as exporter:
        assert exporter.get("/healthz") == (200, "OK\n")
        exporter.process.send_signal(number)
        assert exporter.process.wait(PATIENCE_S) == 0
        assert "Traceback" not in exporter.log
