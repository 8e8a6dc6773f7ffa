"""What OLS sends or a setting holds never becomes SQL, a URL, Markdown or an order to a tty."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from pydantic import ValidationError
from yarl import URL

from efo_assets.graph.ontology import Ontology
from efo_assets.ols.client import OlsClient
from efo_assets.ols.page_store import PageStore
from efo_assets.ols.release import Release, Totals, first_text
from efo_assets.settings import DatabaseTarget
from efo_assets.warehouse.load import Source
from efo_assets_tests.databases import connected
from efo_assets_tests.faults import broken
from efo_assets_tests.faults.fake_ols import FakeOls, Fault, Script, fake_ols
from efo_assets_tests.faults.hostile_ontology import (
    ELSEWHERE,
    TAG,
    TEXTS,
    hostile_ontology,
    iri,
    stored,
)
from efo_assets_tests.graph.materializing import Graph, failure

NAMES = (*TEXTS, "efo/../../admin", "efo?size=1", "efo#x", "@evil", "//evil/efo", "efo@evil:80")
_ENTRY = re.compile(r"^(?=\d{4}-\d\d-\d\d )", re.MULTILINE)


@pytest.fixture(scope="module")
def running() -> Iterator[FakeOls]:
    with fake_ols() as ols:
        yield ols


@pytest.fixture
def ols(running: FakeOls) -> FakeOls:
    running.ontology = hostile_ontology()
    running.script = lambda _: None
    running.log.clear()
    return running


@pytest.fixture
def graph(
    ols: FakeOls, database: DatabaseTarget, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Graph:
    made = Graph(monkeypatch, database, tmp_path / "data", ols.url)
    made.configure(EFO_PAGE_SIZE="20")
    with connected(database) as connection:
        connection.execute("create table canary as select 7 as n")
    return made


def all_rows(graph: Graph, table: str) -> list[Any]:
    return [row for (row,) in graph.ask(f"select to_jsonb(t) from {table} as t")]


def logged(server: DatabaseTarget, begin: int) -> list[str]:
    """Entries of the server's log from `begin` on."""
    log = Path(server.parameters["host"]) / "server.log"
    text = log.read_bytes()[begin:].decode(errors="replace")
    return [entry for entry in _ENTRY.split(text) if entry]


@pytest.mark.fault("S04")
def test_no_statement_is_made_of_what_ols_sends(
    graph: Graph, server: DatabaseTarget, database: DatabaseTarget
) -> None:
    begin = (Path(server.parameters["host"]) / "server.log").stat().st_size
    with connected(server, autocommit=True) as admin:
        admin.execute(f"alter database {database.parameters['dbname']} set log_statement = 'all'")
        admin.execute(
            f"alter database {database.parameters['dbname']} set log_parameter_max_length = -1"
        )
    assert graph.materialize().success
    entries = logged(server, begin)
    statements = [each for each in entries if " DETAIL:  " not in each.partition("\n")[0]]
    assert len(statements) > 50
    assert [each for each in statements if TAG in each] == []
    assert any(TAG in each for each in entries), "bound values are logged as such"
    assert graph.ask("select n from canary") == [(7,)]


@pytest.mark.fault("S04")
@pytest.mark.fault("S10")
def test_every_attack_is_stored_as_the_text_that_it_is(graph: Graph) -> None:
    assert graph.materialize().success
    terms = {row["iri"]: row for row in all_rows(graph, "efo_terms")}
    assert set(terms) == {stored(iri(number)) for number in range(len(TEXTS))}
    for number, text in enumerate(TEXTS):
        row = terms[stored(iri(number))]
        assert {row["label"], *row["other_labels"]} == {stored(text), stored(f"{text} {number}")}
        assert row["definition"] == stored(text)
    assert {row["synonym"] for row in all_rows(graph, "efo_synonyms")} == set(map(stored, TEXTS))
    assert len(all_rows(graph, "efo_parent_edges")) == len(TEXTS) - 1
    ((version, version_iri),) = graph.ask("select version, version_iri from efo_meta.releases")
    assert (version, version_iri) == (TEXTS[0], TEXTS[0])


@pytest.mark.fault("S04")
@pytest.mark.fault("S05")
@pytest.mark.fault("S08")
def test_no_name_gets_past_the_settings(graph: Graph, ols: FakeOls) -> None:
    ols.log.clear()
    for name in (*NAMES, "a\0b", "x" * 80, "EFO", "Efo", "\u0435fo"):
        if name.lower() != "efo":
            with pytest.raises(ValidationError, match=r"Value error, id takes [^\n]*\. \["):
                Ontology(id=name)
        with pytest.raises(ValidationError, match=r"Value error, schema takes [^\n]*\. \["):
            Ontology(schema=name)
    assert ols.log == []
    assert graph.ask("select n from canary") == [(7,)]


@pytest.mark.fault("S08")
@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_the_host_never_comes_from_a_name(name: str) -> None:
    """Even a name that the settings would refuse stays within the path."""
    client = OlsClient("https://ols.example.org:8443/ols4")
    if name.startswith("/"):
        with pytest.raises(ValueError, match="starting from slash is forbidden"):
            client.classes_url(name, {"page": "0"})
        return
    url = client.classes_url(name, {"page": "0"})
    assert url.origin() == URL("https://ols.example.org:8443")
    assert url.user is None
    assert dict(url.query) == {"page": "0"}
    assert url.fragment == ""


@pytest.mark.fault("S08")
@pytest.mark.fault("S09")
def test_links_that_ols_sends_are_never_followed(graph: Graph, ols: FakeOls) -> None:
    ols.log.clear()
    assert graph.materialize().success
    assert {each.headers["host"] for each in ols.log} == {ols.url.removeprefix("http://")}
    paths = {each.path for each in ols.log}
    assert paths == {"/api/v2/ontologies/efo", "/api/v2/ontologies/efo/classes"}
    assert ELSEWHERE in graph.ask("select min(url) from efo_xrefs where prefix = 'url'")[0][0]


def texts_of(value: dg.MetadataValue[Any]) -> str:
    """A piece of metadata that is shown as Markdown or as a link; nothing for other kinds."""
    match value:
        case dg.MarkdownMetadataValue():
            return str(value.md_str)
        case dg.UrlMetadataValue() | dg.PathMetadataValue() | dg.NotebookMetadataValue():
            return str(value.value)
        case dg.TextMetadataValue():
            # A text is shown as it is, and printed by commands.
            return "" if str(value.text).isprintable() else f"{TAG} {value.text!r}"
        case _:
            return ""


@pytest.mark.fault("S10")
@pytest.mark.parametrize("number", range(len(TEXTS)))
def test_names_of_a_release_are_harmless_wherever_they_are_shown(number: int) -> None:
    version = first_text(TEXTS[number])
    assert version is not None
    assert "\0" not in version
    release = Release("efo", version, version, None, None, Totals(1, 0, 1))
    source = Source("efo", version, version, None, "0" * 16, "http://127.0.0.1/")
    assert release.name == source.name
    assert release.name.isprintable()
    assert len(release.name) < 1000


@pytest.mark.fault("S10")
@pytest.mark.parametrize("version", [TEXTS[-3], TEXTS[35], TEXTS[-10]], ids=ascii)
def test_nothing_of_it_reaches_the_ui_but_as_text(graph: Graph, ols: FakeOls, version: str) -> None:
    ols.ontology = hostile_ontology(version)
    with dg.DagsterInstance.ephemeral() as instance:
        result = graph.materialize(instance=instance)
        assert result.success
        lines = [
            entry.user_message
            for entry in instance.all_logs(result.run_id)
            if not entry.is_dagster_event
        ]
    shown = [
        texts_of(value) for event in result.all_events for value in metadata_of(event).values()
    ]
    assert len(shown) > 30
    assert [each for each in shown if TAG in each] == []
    assert any(TAG in line for line in lines), "the version is in the log"
    assert [line for line in lines if not line.isprintable()] == []


def metadata_of(event: dg.DagsterEvent) -> Any:
    """Of a materialization or an asset check."""
    if event.is_step_materialization:
        return event.step_materialization_data.materialization.metadata
    if event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION:
        return event.asset_check_evaluation_data.metadata
    return {}


EVIL = "\x1b[2J\x9b1;1H\r\n2026-01-01 00:00:00 +0000 - dagster - CRITICAL - forged\u202e"


@pytest.mark.fault("S10")
@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("script", "breaks"),
    [
        (broken.on_record, broken.status(403, EVIL)),
        (broken.on_record, broken.status(404, EVIL)),
        (broken.on_record, broken.status(400, EVIL.encode("utf-16"))),
        (broken.on_record, broken.redirect("http://evil/%1b\x1b[2J")),
        (partial(broken.on_page, page=1), broken.status(403, EVIL)),
        (partial(broken.on_page, page=1), broken.redirect(f"{ELSEWHERE}/\x1b[2J")),
    ],
    ids=["forbidden", "unknown", "utf-16", "redirect", "page-forbidden", "page-redirect"],
)
def test_errors_of_ols_cannot_move_the_cursor_or_forge_a_line(
    graph: Graph,
    ols: FakeOls,
    script: Callable[..., Script],
    breaks: Fault,
    capfd: pytest.CaptureFixture[str],
) -> None:
    ols.ontology = hostile_ontology(EVIL)
    ols.script = script(breaks, times=None)
    said = failure(graph.materialize("raw_ols_pages"))
    told = capfd.readouterr()
    assert said.isprintable()
    assert "\n2026-01-01" not in told.err
    assert not re.search(r"\x1b\[2J|\x9b|\u202e|\r", told.err)


@pytest.mark.fault("S10")
def test_our_command_prints_versions_without_obeying_them(graph: Graph, ols: FakeOls) -> None:
    ols.ontology = hostile_ontology(EVIL)
    assert graph.materialize().success
    done = subprocess.run(
        [sys.executable, "-m", "efo_assets", "status"],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "\\x1b[2J" in done.stdout
    assert [line for line in done.stdout.splitlines() if not line.isprintable()] == []


def test_the_page_store_names_nothing_after_what_ols_sends(graph: Graph, ols: FakeOls) -> None:
    ols.ontology = hostile_ontology(f"../../{TAG}")
    assert graph.materialize("raw_ols_pages").success
    names = [path.name for path in graph.data_dir.parent.rglob("*")]
    assert [name for name in names if TAG in name] == []
    assert PageStore(graph.data_dir / "pages").latest("efo") is not None
