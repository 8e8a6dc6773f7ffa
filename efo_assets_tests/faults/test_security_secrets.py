"""A canary password through every failure and every door: found nowhere afterwards.

The server really wants it, so that it is on its way through the whole engine each time.
"""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import traceback
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import dagster as dg
import psycopg
import pytest
import yaml
from aiohttp import web
from psycopg.conninfo import conninfo_to_dict

from efo_assets.errors import DatabaseRefused
from efo_assets.graph.ontology import Ontology
from efo_assets.graph.schedule import weekly_schedule
from efo_assets.graph.sensor import TickFailed, release_sensor
from efo_assets.ols.page_store import PageStore
from efo_assets.privacy.disclosure import Scrubbed
from efo_assets.sample.server import Sample, running_sample
from efo_assets.settings import DatabaseTarget
from efo_assets.warehouse import publish, session
from efo_assets.warehouse.warehouse import Warehouse
from efo_assets_tests.commands import ROOT, Done, dagster
from efo_assets_tests.faults.secure_server import CANARY, LOADER, MARK, SecureServer, secure_server
from efo_assets_tests.graph.materializing import Graph
from efo_assets_tests.monitoring.processes import running_exporter, until

CLASSES = 60
SEED = 3


@pytest.fixture(scope="module")
def secure() -> Iterator[SecureServer]:
    with secure_server() as made:
        yield made


class Answers:
    """What OLS says instead of its pages, if anything."""

    sample: Sample

    def __init__(self) -> None:
        self.instead: Callable[[web.Request], web.Response | None] = lambda _: None

    async def intercept(self, request: web.Request) -> web.StreamResponse | None:
        return self.instead(request)


@pytest.fixture(scope="module")
def ols() -> Iterator[Answers]:
    made = Answers()
    with running_sample(classes=CLASSES, seed=SEED, intercept=made.intercept) as made.sample:
        yield made


@pytest.fixture
def answers(ols: Answers) -> Iterator[Answers]:
    ols.sample.publish(1)
    yield ols
    ols.instead = lambda _: None


@dataclass
class Scene:
    """Where a failure is brought about."""

    graph: Graph
    server: SecureServer
    answers: Answers
    monkeypatch: pytest.MonkeyPatch
    instance: dg.DagsterInstance
    until_the_end: ExitStack

    def run(self, *keys: str) -> dg.ExecuteInProcessResult:
        return self.graph.materialize(*keys, instance=self.instance)

    def loaded(self) -> None:
        """Publish a release, so that there is something to break."""
        assert self.run().success

    def prepared(self) -> Warehouse:
        """The database ready for a load, and the writer's lock held until the end of a block."""
        parameters = conninfo_to_dict(self.server.url())
        made = Warehouse(DatabaseTarget({key: str(value) for key, value in parameters.items()}))
        made.prepare()
        return made

    def fails(self, owner: Any, name: str, error: BaseException) -> None:
        """Have a function of the engine raise what nobody expects."""

        def raising(*_: object, **__: object) -> None:
            raise error

        self.monkeypatch.setattr(owner, name, raising)


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    """In a DAGSTER_HOME with the shipped configuration."""
    home = tmp_path_factory.mktemp("home")
    shutil.copy(ROOT / "dagster.yaml", home)
    overrides = yaml.safe_load((ROOT / "dagster.yaml").read_text())
    with dg.DagsterInstance.local_temp(str(home), overrides=overrides) as made:
        yield made


@pytest.fixture
def scene(
    secure: SecureServer,
    answers: Answers,
    instance: dg.DagsterInstance,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Scene]:
    secure.anew()
    database = DatabaseTarget({**secure.superuser.parameters, "dbname": "efo"})
    graph = Graph(monkeypatch, database, tmp_path / "data", answers.sample.url)
    graph.configure(EFO_DATABASE_URL=secure.url(), EFO_PASSWORD=CANARY)
    graph.configure(DAGSTER_HOME=instance.root_directory)
    monkeypatch.setitem(session.connect.__kwdefaults__ or {}, "patience_s", 0.1)
    with ExitStack() as until_the_end:
        yield Scene(graph, secure, answers, monkeypatch, instance, until_the_end)


def traces(folder: Path) -> list[str]:
    """Files below a folder that hold the canary, in rows and compressed values of SQLite, too."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    found = [str(path) for path in files if MARK.encode() in path.read_bytes()]
    for path in files:
        if path.suffix == ".db":
            with closing(sqlite3.connect(path)) as database:
                found += [f"{path}: {table}" for table in _tables_with(database)]
    return found


def _tables_with(database: sqlite3.Connection) -> Iterator[str]:
    for (table,) in database.execute("select name from sqlite_master where type = 'table'"):
        for row in database.execute(f'select * from "{table}"'):
            for value in row:
                data = value if isinstance(value, bytes) else str(value).encode()
                with suppress(zlib.error):
                    data += zlib.decompress(data)
                if MARK.encode() in data:
                    yield table


def traces_in_postgresql(server: SecureServer) -> list[str]:
    with server.connect() as connection:
        tables = connection.execute(
            "select format('%I.%I', schemaname, tablename) from pg_tables"
            " where schemaname like 'efo%' or schemaname = 'public'"
        ).fetchall()
        return [
            str(table)
            for (table,) in tables
            for (row,) in connection.execute(f"select t::text from {table} as t")
            if MARK in str(row)
        ]


def assert_nowhere(scene: Scene, *texts: str) -> None:
    """The canary is in no text, no file of Dagster's or ours, no row."""
    for text in texts:
        assert MARK not in text, text[-3000:]
    assert traces(Path(scene.instance.root_directory)) == []
    assert traces(scene.graph.data_dir) == []
    assert traces_in_postgresql(scene.server) == []


def wrong_password(scene: Scene) -> None:
    scene.graph.configure(EFO_DATABASE_URL=scene.server.url(f"{CANARY} no more"))


def server_down(scene: Scene) -> None:
    url = scene.server.url().replace(scene.server.url().partition("@")[2], "127.0.0.1:1/efo")
    scene.graph.configure(EFO_DATABASE_URL=url)


def no_such_socket(scene: Scene) -> None:
    url = scene.server.url().partition("@")[0]
    scene.graph.configure(EFO_DATABASE_URL=f"{url}@%2Fnosuch/efo")


def no_such_role(scene: Scene) -> None:
    scene.graph.configure(EFO_DATABASE_URL=scene.server.url(user="nosuch"))


def no_such_database(scene: Scene) -> None:
    scene.graph.configure(EFO_DATABASE_URL=scene.server.url(dbname="nosuch"))


def unreadable_url(scene: Scene) -> None:
    scene.graph.configure(EFO_DATABASE_URL=f"postgresql://me:{CANARY}@db:x:y/efo")


def unencoded_password(scene: Scene) -> None:
    scene.graph.configure(EFO_DATABASE_URL=f"postgresql://me:pre@{MARK}@127.0.0.1:1/efo")


def unencoded_slash(scene: Scene) -> None:
    scene.graph.configure(EFO_DATABASE_URL=f"postgresql://me:{MARK}/post@127.0.0.1:1/efo")


def words_without_quotes(scene: Scene) -> None:
    scene.graph.configure(EFO_DATABASE_URL=f"host=127.0.0.1 port=1 password={MARK} post")


def unknown_option(scene: Scene) -> None:
    scene.graph.configure(EFO_DATABASE_URL=f"{scene.server.url()}?{MARK}=1")


def password_for_ols(scene: Scene) -> None:
    scene.graph.configure(EFO_OLS_URL=f"http://me:{MARK}@127.0.0.1:1/ols4")


def missing_privilege(scene: Scene) -> None:
    scene.server.execute("alter database efo owner to efo")


def read_only(scene: Scene) -> None:
    scene.server.execute("alter database efo set default_transaction_read_only = on")


def drift(scene: Scene) -> None:
    scene.loaded()
    scene.server.execute("alter table efo_terms rename column definition to described")


def another_loader(scene: Scene) -> None:
    scene.until_the_end.enter_context(scene.prepared())


def no_space(scene: Scene) -> None:
    _refusing_loads(scene, "errcode = '53100', ")


def trigger_with_the_url(scene: Scene) -> None:
    _refusing_loads(scene, "")


def _refusing_loads(scene: Scene, option: str) -> None:
    """PostgreSQL itself raises, with the secret in message, detail and hint."""
    with scene.prepared():
        text = scene.server.url().replace("'", "''")
    scene.server.execute(
        "create function public.refuse() returns trigger language plpgsql as $refuse$ begin"
        f" raise using {option} message = 'no, {text}', detail = '{text}', hint = '{text}';"
        " end $refuse$",
        "create trigger refuse before insert on efo_meta.loads"
        " for each row execute function public.refuse()",
    )


def unknown_ontology(scene: Scene) -> None:
    scene.graph.configure(EFO_ONTOLOGY="nosuch")


def ols_down(scene: Scene) -> None:
    scene.graph.configure(EFO_OLS_URL="http://127.0.0.1:1/ols4")


def ols_unresolvable(scene: Scene) -> None:
    scene.graph.configure(EFO_OLS_URL="http://nosuch.invalid/ols4")


def ols_refuses(scene: Scene) -> None:
    scene.answers.instead = lambda _: web.Response(status=403, text="no")


def ols_redirects(scene: Scene) -> None:
    scene.answers.instead = lambda _: web.Response(status=302, headers={"Location": "/x"})


def data_dir_in_a_file(scene: Scene) -> None:
    scene.graph.data_dir.parent.joinpath("file").write_text("")
    scene.graph.configure(EFO_DATA_DIR=str(scene.graph.data_dir.parent / "file" / "data"))


def audit_not_passed(scene: Scene) -> None:
    scene.loaded()
    scene.server.execute("update efo_meta.releases set counts = '{\"terms\": 1000000}'")
    scene.answers.sample.publish(2)


def conninfo_in_a_defect(scene: Scene) -> None:
    error = psycopg.ProgrammingError(f'missing "=" after "{scene.server.url()}"')
    scene.fails(Warehouse, "prepare", error)


def password_in_a_defect_of_the_download(scene: Scene) -> None:
    scene.fails(PageStore, "complete", KeyError(CANARY))


def defect_while_decoding(scene: Scene) -> None:
    scene.fails(Warehouse, "begin", LookupError(f"{{'password': {CANARY!r}}}"))


def defect_while_rows_are_copied(scene: Scene) -> None:
    scene.fails(Warehouse, "filling", RuntimeError(CANARY, {"url": scene.server.url()}))


def defect_in_the_audit(scene: Scene) -> None:
    error = OSError(5, "input/output error", f"/run/{CANARY}")
    error.__cause__ = ValueError(scene.server.url())
    scene.fails(Warehouse, "audit", error)


def defect_in_publication(scene: Scene) -> None:
    group = ExceptionGroup(CANARY, [ValueError(CANARY), psycopg.DataError(scene.server.url())])
    scene.fails(Warehouse, "publish", group)


def password_in_a_sentence(scene: Scene) -> None:
    scene.fails(Warehouse, "audit", DatabaseRefused(f"No {CANARY} for {scene.server.url()}."))


def lost_in_publication(scene: Scene) -> None:
    error = psycopg.OperationalError(f"server closed the connection: {scene.server.url()}")
    scene.fails(publish, "publish", error)


SCENES = (
    wrong_password,
    server_down,
    no_such_socket,
    no_such_role,
    no_such_database,
    unreadable_url,
    unencoded_password,
    unencoded_slash,
    words_without_quotes,
    unknown_option,
    password_for_ols,
    missing_privilege,
    read_only,
    drift,
    another_loader,
    no_space,
    trigger_with_the_url,
    unknown_ontology,
    ols_down,
    ols_unresolvable,
    ols_refuses,
    ols_redirects,
    data_dir_in_a_file,
    audit_not_passed,
    conninfo_in_a_defect,
    password_in_a_defect_of_the_download,
    defect_while_decoding,
    defect_while_rows_are_copied,
    defect_in_the_audit,
    defect_in_publication,
    password_in_a_sentence,
    lost_in_publication,
)


@pytest.mark.fault("S01")
@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("bring_about", SCENES, ids=lambda scene: scene.__name__)
def test_no_failure_of_the_graph_shows_the_password(
    scene: Scene, bring_about: Callable[[Scene], None], capfd: pytest.CaptureFixture[str]
) -> None:
    bring_about(scene)
    result = scene.run()
    assert not result.success
    told = capfd.readouterr()
    events = "\n".join(map(repr, result.all_events))
    assert_nowhere(scene, told.out, told.err, events)


@pytest.mark.fault("S01")
def test_a_load_that_succeeds_does_not_show_it_either(
    scene: Scene, capfd: pytest.CaptureFixture[str]
) -> None:
    scene.loaded()
    assert_nowhere(scene, *capfd.readouterr())
    logs = scene.instance.root_directory
    assert any(path.suffix == ".err" and path.stat().st_size for path in Path(logs).rglob("*.err"))


@pytest.mark.fault("S01")
def test_a_defect_is_shown_with_its_frames(scene: Scene) -> None:
    conninfo_in_a_defect(scene)
    result = scene.run()
    (event,) = [each for each in result.all_events if each.is_step_failure]
    error = event.step_failure_data.error
    assert error is not None
    assert error.cause is not None
    assert 'psycopg.ProgrammingError: missing "=" after "postgresql://***@' in error.cause.message
    assert any("raw.py" in frame for frame in error.cause.stack)


@pytest.mark.fault("S01")
@pytest.mark.parametrize("bring_about", [wrong_password, trigger_with_the_url])
def test_no_failure_of_the_command_shows_it(
    scene: Scene, bring_about: Callable[[Scene], None]
) -> None:
    bring_about(scene)
    done = dagster("--select", "*")
    assert done.returncode == 1, done.stdout[-3000:]
    assert_nowhere(scene, done.stdout)


@pytest.mark.fault("S01")
def test_a_crash_in_publication_does_not_show_it(scene: Scene) -> None:
    done = dagster("-m", "efo_assets_tests.faults.crashing", "--select", "*", EFO_CRASH_POINT="C10")
    assert done.returncode == -signal.SIGKILL
    assert_nowhere(scene, done.stdout)


@pytest.mark.fault("S01")
@pytest.mark.parametrize(
    "error",
    [
        DatabaseRefused(f"No {CANARY} for postgresql://me:{CANARY}@db/efo."),
        psycopg.ProgrammingError(f"missing = after {CANARY}"),
    ],
    ids=["sentence", "defect"],
)
def test_no_tick_of_the_sensor_shows_it(scene: Scene, error: Exception) -> None:
    scene.fails(Warehouse, "current_release", error)
    sensor = release_sensor(Ontology())
    with (
        dg.build_sensor_context(instance=scene.instance) as context,
        pytest.raises((TickFailed, Scrubbed)) as caught,
    ):
        sensor.evaluate_tick(context)
    text = "".join(traceback.format_exception(caught.value))
    assert "***" in text
    assert_nowhere(scene, text)


@pytest.mark.fault("S01")
def test_the_schedule_shows_nothing_of_the_settings(scene: Scene) -> None:
    with dg.build_schedule_context(instance=scene.instance) as context:
        tick = weekly_schedule(Ontology().names, is_on=True).evaluate_tick(context)
    assert len(tick.run_requests or ()) == 1
    assert_nowhere(scene, repr(tick))


def command(*words: str, **environment: str) -> Done:
    return subprocess.run(
        [sys.executable, "-m", "efo_assets", *words],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def status(**environment: str) -> Done:
    return command("status", **environment)


@pytest.mark.fault("S01")
@pytest.mark.parametrize(
    "words",
    [
        ("load",),
        ("status",),
        ("psql", "-c", "select 1"),
        ("exports",),
        ("dbt", "debug"),
        ("alert-test",),
        ("demo", "--data-dir", f"/dev/null/{CANARY}"),
    ],
    ids=lambda words: words[0],
)
def test_no_command_that_fails_shows_it(scene: Scene, words: tuple[str, ...]) -> None:
    wrong_password(scene)
    in_url = quote(CANARY, safe="")
    done = command(
        *words,
        EFO_ALERT_WEBHOOK_URL=f"http://127.0.0.1:1/{in_url}",
        EFO_ALERT_SMTP_URL=f"smtp://me:{in_url}@127.0.0.1:1",
        EFO_ALERT_EMAIL_FROM="a@example.org",
        EFO_ALERT_EMAIL_TO="b@example.org",
        SENTRY_DSN=f"http://{MARK}@127.0.0.1:1/1",
    )
    assert done.returncode in (1, 2), done
    assert done.stdout + done.stderr
    assert_nowhere(scene, done.stdout, done.stderr)


@pytest.mark.fault("S01")
def test_neither_the_metrics_nor_their_log_show_it(scene: Scene, tmp_path: Path) -> None:
    scene.loaded()
    raise_where_releases_are_read(scene)
    environment = {
        name: os.environ[name] for name in ("EFO_DATABASE_URL", "EFO_PASSWORD", "DAGSTER_HOME")
    }
    with running_exporter(tmp_path, environment) as exporter:
        said = "database is down for the metrics"
        until(exporter.process, lambda: exporter.get("/metrics") and said in exporter.log, said)
        _, metrics = exporter.get("/metrics")
        log = exporter.log
    assert_nowhere(scene, metrics, log)


def raise_where_releases_are_read(scene: Scene) -> None:
    """Let PostgreSQL itself say the secret to whoever reads the ledger."""
    scene.server.execute(
        "alter table efo_meta.releases rename to kept",
        "create view efo_meta.releases as select * from efo_meta.kept"
        f" where (load_id || ' {scene.server.url()}')::integer = 0",
        f"alter view efo_meta.releases owner to {LOADER}",
    )


@pytest.mark.fault("S01")
def test_no_failure_of_our_own_command_shows_it(scene: Scene) -> None:
    wrong_password(scene)
    done = status()
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("PostgreSQL at ")
    unreadable = status(EFO_DATABASE_URL=f"postgresql://me:{CANARY}@db:x:y/efo")
    scene.graph.configure(EFO_DATABASE_URL=scene.server.url())
    scene.loaded()
    raise_where_releases_are_read(scene)
    defect = status()
    assert "Traceback" in defect.stderr
    assert_nowhere(scene, done.stderr, unreadable.stderr, defect.stderr)


@pytest.mark.fault("S01")
def test_no_command_line_shows_it(scene: Scene) -> None:
    """Everybody on the machine reads command lines; those of psql and of what started it."""
    lines = (
        r"\! cat /proc/$PPID/cmdline /proc/$(awk '/^PPid/ {print $2}' /proc/$PPID/status)/cmdline"
    )
    done = subprocess.run(
        [sys.executable, "-m", "efo_assets", "psql", "-c", "select 6 * 7", "-c", lines],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "42" in done.stdout, "it got in by the password"
    assert "--no-psqlrc" in done.stdout
    assert "efo_assets" in done.stdout
    assert_nowhere(scene, done.stdout, done.stderr)


@pytest.mark.parametrize("value", [CANARY, zlib.compress(CANARY.encode()), f"a {MARK}".encode()])
def test_the_search_finds_what_is_there(tmp_path: Path, value: str | bytes) -> None:
    with closing(sqlite3.connect(tmp_path / "runs.db")) as database:
        database.execute("create table snapshots (body)")
        database.execute("insert into snapshots values (?)", [value])
        database.commit()
    assert f"{tmp_path}/runs.db: snapshots" in traces(tmp_path)
