"""The command line: each command's help, each command at work, and what it says when it fails."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import psycopg
import pytest
from aiohttp import web

from efo_assets.sample.server import Sample, running_sample
from efo_assets.settings import DatabaseTarget
from efo_assets.warehouse.embedded import embedded_server, is_made, remove
from efo_assets_tests.alerts.receivers import mail_server, web_receiver
from efo_assets_tests.commands import free_port
from efo_assets_tests.databases import connected

COMMANDS = (
    "alert-test",
    "clean",
    "dbt",
    "demo",
    "exports",
    "load",
    "mcp",
    "metrics",
    "psql",
    "resolve",
    "sample",
    "serve",
    "status",
    "verify",
)
CLASSES = 120


@pytest.fixture
def environment(database: DatabaseTarget, tmp_path: Path) -> dict[str, str]:
    url = psycopg.conninfo.make_conninfo(**database.parameters)
    return os.environ | {"EFO_DATABASE_URL": url, "EFO_DATA_DIR": str(tmp_path)}


def command(
    environment: dict[str, str], *words: str, cwd: Path | None = None
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "efo_assets", *words],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def assert_one_sentence(done: "subprocess.CompletedProcess[str]", code: int, said: str) -> None:
    """The command failed with this exit code and one line that begins so."""
    assert done.returncode == code
    assert done.stdout == ""
    assert done.stderr.startswith(said), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr


@pytest.fixture(scope="module")
def ols() -> Iterator[Sample]:
    with running_sample(classes=CLASSES) as sample:
        yield sample


def test_the_help_lists_every_command() -> None:
    done = command(dict(os.environ), "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert tuple(re.findall(r"^  ([a-z][a-z-]+)  ", done.stdout, re.MULTILINE)) == COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_a_commands_help_says_what_it_does_and_gives_an_example(name: str) -> None:
    done = command(dict(os.environ), name, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    usage, summary = done.stdout.split("\n\n")[:2]
    assert usage.startswith(f"Usage: efo-assets {name} [")
    assert summary.endswith(".")
    assert re.search(rf"\n\n  Example: .*\befo-assets {name}\b", done.stdout)


def test_load_publishes_what_ols_serves_and_says_so(
    environment: dict[str, str], ols: Sample
) -> None:
    environment |= {"EFO_OLS_URL": ols.url}
    first, again = command(environment, "load"), command(environment, "load")
    assert (first.returncode, again.returncode) == (0, 0), first.stderr + again.stderr
    assert re.fullmatch(r"efo \S+ is published: release 1, \d,\d+ rows.*, \d.\d s\n", first.stdout)
    assert re.fullmatch(
        r"efo \S+ is published already, nothing changed: release 1, 0 rows.* s\n", again.stdout
    )
    assert "2 of 2 pages" in first.stderr
    shown = command(environment, "status").stdout.splitlines()
    assert len(shown) == 5
    told = re.fullmatch(
        r"On disk: \S+ MB of staged loads, \S+ MB of records \(efo_meta\), (\S+) MB of published "
        r"tables, (\S+) MB of pages, 0.0 MB of exports \(the last two in (.+)\)",
        shown[4],
    )
    assert told is not None, shown[4]
    assert float(told[1]) > 0.5
    assert float(told[2]) > 0
    assert told[3] == environment["EFO_DATA_DIR"]
    assert shown[0].split()[:2] == ["release", "version"]
    assert f" {CLASSES} " in shown[2]
    assert shown[2].split()[-1] == ols.url


@pytest.mark.fault("O25")
def test_verify_names_what_differs_and_ends_with_1(
    environment: dict[str, str], ols: Sample, database: DatabaseTarget
) -> None:
    assert_one_sentence(command(environment, "verify"), 1, "Nothing is published in schema public")
    assert command(environment | {"EFO_OLS_URL": ols.url}, "load").returncode == 0
    sound = command(environment, "verify")
    assert (sound.returncode, sound.stderr) == (0, "")
    assert sound.stdout.count("as published") == 8
    with connected(database) as connection:
        connection.execute("delete from efo_synonyms where scope = 'broad'")
    found = command(environment, "verify")
    assert found.returncode == 1
    assert re.match(
        r"efo_synonyms holds \d+ rows of efo \S+ \(release 1\) that are not the \d+ published ones",
        found.stderr,
    )
    assert "differs" in found.stdout
    load = command(environment | {"EFO_OLS_URL": ols.url}, "load")
    assert "public.efo_synonyms was changed since efo" in load.stderr
    assert command(environment, "verify").returncode == 0


def test_serve_is_for_the_embedded_server(environment: dict[str, str]) -> None:
    assert_one_sentence(command(environment, "serve"), 1, "EFO_DATABASE_URL names the PostgreSQL")


def test_resolve_says_where_ids_lead_today(
    environment: dict[str, str], database: DatabaseTarget, ols: Sample, tmp_path: Path
) -> None:
    ids = tmp_path / "ids.txt"
    ids.write_text("EX:1\n")
    said = "Nothing is published in schema public of"
    assert_one_sentence(command(environment, "resolve", str(ids)), 1, said)
    assert command(environment | {"EFO_OLS_URL": ols.url}, "load").returncode == 0
    with connected(database) as connection:
        ((curie, label),) = connection.execute(
            "select curie, label from efo_terms where is_root and curie is not null limit 1"
        ).fetchall()
    asked = [curie.lower().replace(":", "_"), "EFO_0000400", curie, "EFO_0000400"]
    ids.write_text("\ufeff" + "\r\n\n".join(asked))
    done = command(environment, "resolve", "--format", "json", str(ids))
    assert done.stderr == "4 ids: 2 current, 2 unknown\n"
    rows = json.loads(done.stdout)
    assert [row["id"] for row in rows] == asked, "in their order, and as often as they are there"
    assert [row["status"] for row in rows] == ["current", "unknown"] * 2
    assert (rows[0]["curie"], rows[0]["label"], rows[1]["label"]) == (curie, label, None)
    ids.write_text("0000408\n1e5\n")
    lines = command(environment, "resolve", str(ids)).stdout.splitlines()
    assert [line.split()[0] for line in lines[2:]] == ["0000408", "1e5"], "ids are no numbers"
    ids.write_text("\ufeff" + "\r\n\n".join(asked))
    lines = command(environment, "resolve", "--format", "tsv", str(ids)).stdout.splitlines()
    assert lines[0].split("\t")[:3] == ["id", "status", "curie"]
    assert lines[2].split("\t")[:3] == ["EFO_0000400", "unknown", ""]
    words = [sys.executable, "-m", "efo_assets", "resolve", "-"]
    piped = subprocess.run(
        words, env=environment, input=ids.read_bytes(), capture_output=True, check=False
    )
    assert label in piped.stdout.decode()
    ids.write_text("EX:1", encoding="utf-16")
    assert_one_sentence(command(environment, "resolve", str(ids)), 1, f"{ids} is no UTF-8 text")


def test_a_load_that_fails_is_one_sentence(environment: dict[str, str]) -> None:
    environment |= {"EFO_OLS_URL": f"http://127.0.0.1:{free_port()}", "EFO_ONTOLOGY": "A b"}
    assert_one_sentence(command(environment, "load"), 1, "EFO_ONTOLOGY takes an OLS ontology id")


@pytest.mark.fault("H32")
def test_a_load_that_may_not_follow_is_one_sentence(
    environment: dict[str, str], ols: Sample
) -> None:
    environment |= {"EFO_OLS_URL": ols.url}
    assert command(environment, "load").returncode == 0
    done = command(environment | {"EFO_LIMIT": "50"}, "load")
    assert_one_sentence(done, 1, "The load holds the first 50 classes only (EFO_LIMIT) and can't")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_load_says_what_is_kept(
    environment: dict[str, str], number: signal.Signals
) -> None:
    loads: list[subprocess.Popen[str]] = []

    async def interrupt(_: web.Request) -> None:
        if loads:  # a second signal would end it at once
            loads.pop().send_signal(number)

    with running_sample(classes=CLASSES, intercept=interrupt) as sample:
        environment |= {"EFO_OLS_URL": sample.url}
        words = [sys.executable, "-m", "efo_assets", "load"]
        with subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True) as process:
            loads.append(process)
            _, said = process.communicate()
    assert process.returncode == 130
    assert said.splitlines()[-1].startswith("Interrupted. What was downloaded is kept, and so is")
    assert "Traceback" not in said


def test_interrupted_while_it_waits_for_postgresql_it_says_so(environment: dict[str, str]) -> None:
    environment |= {"EFO_DATABASE_URL": "postgresql://me:secret@127.0.0.1:1/efo"}
    words = [sys.executable, "-m", "efo_assets", "status"]
    with subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "waiting for PostgreSQL at 127.0.0.1:1/efo" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
    assert process.returncode == 130
    (line,) = said.strip().splitlines()
    assert line.startswith("Interrupted. ")


def test_exports_writes_the_files_that_are_asked_for(
    environment: dict[str, str], ols: Sample, tmp_path: Path
) -> None:
    assert_one_sentence(command(environment, "exports"), 1, "Nothing is published in schema public")
    assert command(environment | {"EFO_OLS_URL": ols.url}, "load").returncode == 0
    folder = tmp_path / "files"
    names = ["efo_terms.parquet", "efo_mesh_terms.sssom.tsv"]
    done = command(environment, "exports", "--folder", str(folder), *names)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)
    assert f"{folder / names[0]}" in done.stdout
    everything = command(environment, "exports")
    files = [path.name for path in (tmp_path / "exports").iterdir()]
    files.remove("efo_replacements.tsv-metadata.json")
    assert everything.stdout.count("\n") == 2 + len(files) == 12


def test_clean_deletes_the_embedded_databases_alone(clusters: Path, tmp_path: Path) -> None:
    folder = clusters / "cleaned"
    folder.mkdir(mode=0o755)
    (folder / "kept").touch()
    with embedded_server(folder, is_durable=False):
        assert is_made(folder)
    done = command(dict(os.environ), "clean", str(folder), str(tmp_path / "no such folder"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not is_made(folder)
    assert (folder / "kept").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["stauts"], "No such command 'stauts'. Did you mean 'status'?"),
        ([], "Missing command."),
        (["status", "now"], "Got unexpected extra argument (now)."),
        (["metrics", "--port", "99999"], "Invalid value for '--port': 99999 is not in the range"),
        (["metrics", "--port", "abc"], "Invalid value for '--port': 'abc' is not a valid integer"),
        (["metrics", "--host", ""], "A word is empty: ''."),
        (["demo", "--release", "-3"], "Invalid value for '--release': -3 is not in the range 1<="),
        (["demo", "--classes", "19"], "Invalid value for '--classes': 19 is not in the range 20<="),
        (["demo", "--data-dir", ""], "A word is empty: ''."),
        (["demo", "--data-dir="], "A word is empty: '--data-dir='."),
        (["sample", "--release", "2000"], "Invalid value for '--release': 2000 is not in the"),
        (["sample", "--row-latency-ms", "nan"], "Invalid value for '--row-latency-ms': nan is not"),
        (["sample", "--base-latency-ms", "a"], "Invalid value for '--base-latency-ms': could not"),
        (["sample", "--generation", "D"], "Invalid value for '--generation': 'D' is not one of"),
        (["sample", "--recorded", "/nowhere"], "--recorded takes a folder with v2/*.classes.json"),
        (["sample", "--host", ""], "A word is empty: ''."),
        (["sample", "release", "2000"], "Invalid value for 'NUMBER': 2000 is not in the range 1<="),
        (["sample", "release", "2", "--url="], "A word is empty: '--url='."),
        (["clean", ""], "A word is empty: ''."),
        (["load", "--fast"], "No such option '--fast'."),
        (["exports", "x"], "FILE is one of efo_terms.parquet, efo_synonyms.parquet"),
        (["clean"], "Missing argument 'FOLDER...'."),
    ],
)
def test_wrong_usage_is_one_sentence_and_exit_code_2(words: list[str], said: str) -> None:
    assert_one_sentence(command(dict(os.environ), *words), 2, said)


def test_the_version_is_the_packages() -> None:
    done = command(dict(os.environ), "--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"efo-assets {version('efo_assets')}\n"


def test_a_sample_that_cannot_be_served_is_one_sentence(ols: Sample, tmp_path: Path) -> None:
    port = ols.url.rpartition(":")[2]
    done = command(dict(os.environ), "sample", "--classes", "20", "--port", port)
    assert_one_sentence(done, 1, f"127.0.0.1:{port} can't be used (")
    port_file = str(tmp_path / "no folder" / "port")
    done = command(
        dict(os.environ), "sample", "--classes", "20", "--port", "0", "--port-file", port_file
    )
    assert done.returncode == 1
    assert "no folder" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("host", ["192.0.2.1", "127.0.0.1"])
def test_metrics_that_cannot_be_served_are_one_sentence(
    environment: dict[str, str], ols: Sample, host: str
) -> None:
    port = ols.url.rpartition(":")[2]
    done = command(environment, "metrics", "--host", host, "--port", port)
    assert_one_sentence(done, 1, f"The metrics can't be served at {host}:{port} (")


def test_the_demo_loads_generated_data_and_asks_the_tables(clusters: Path) -> None:
    here = clusters / "here"
    here.mkdir()
    # Somebody's own settings, which both Dagster and we read in the folder that we are started in.
    settings = {"EFO_SCHEMA": "precious", "EFO_DATABASE_URL": "postgresql://nowhere.invalid"}
    (here / ".env").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    environment = {**os.environ, **settings, "EFO_PROXY": "http://nowhere.invalid"}
    del environment["PYTHON_DOTENV_DISABLED"]
    try:
        done = command(environment, "demo", "--classes", "60", cwd=here)
        status = command(environment, "--demo", "status", cwd=here)
        counted = command(
            environment, "--demo", "psql", "-Atqc", "select count(*) from efo_terms", cwd=here
        )
    finally:
        remove(here / ".efo" / "demo")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Published: sample 1.0 (release 1)" in done.stdout
    assert re.search(r"^efo_terms +60$", done.stdout, re.MULTILINE)
    assert done.stdout.count("?\n") == 2
    assert " http://127.0.0.1:" in status.stdout.splitlines()[2]
    assert counted.stdout == "60\n"


def test_the_demo_leaves_another_ontology_as_it_is(clusters: Path, ols: Sample) -> None:
    folder = clusters / "efo"
    settings = {"EFO_OLS_URL": ols.url, "EFO_DATA_DIR": str(folder)}
    try:
        assert command({**os.environ, **settings}, "load").returncode == 0
        done = command(dict(os.environ), "demo", "--data-dir", str(folder))
    finally:
        remove(folder)
    assert_one_sentence(done, 1, f"{folder} holds efo 3.901.0, which stays, since release 1 of 20")


def test_the_demo_goes_on_with_the_newest_release_that_it_showed(clusters: Path) -> None:
    folder = clusters / "twice"
    words = ("demo", "--data-dir", str(folder), "--classes")
    try:
        first = command(dict(os.environ), *words, "60")
        second = command(dict(os.environ), *words, "60", "--release", "2")
        again = command(dict(os.environ), *words, "60")
        older = command(dict(os.environ), *words, "60", "--release", "1")
        others = command(dict(os.environ), *words, "80")
    finally:
        remove(folder)
    assert "Published: sample 1.0 (release 1)" in first.stdout, first.stderr
    assert "Published: sample 2.0 (release 2)" in second.stdout, second.stderr
    assert re.search(r"^efo_changes +[1-9]", second.stdout, re.MULTILINE)
    assert "Published: sample 2.0 (release 2)" in again.stdout, again.stderr
    assert "Nothing changed: 0 rows written" in again.stdout
    holds = f"{folder} holds sample 2.0, which stays, since release"
    assert_one_sentence(older, 1, f"{holds} 1 of 60 classes can't follow it: try --data-dir, or")
    assert_one_sentence(others, 1, f"{holds} 2 of 80 classes can't follow it: try --data-dir, or")


def test_a_sample_server_is_told_to_serve_its_next_release() -> None:
    words = ("sample", "release", "2", "--url")
    with running_sample(classes=CLASSES) as sample:
        done = command(dict(os.environ), *words, sample.url)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == f"{sample.url} serves release 2 from now on.\n"
        assert sample.state.release == 2
    gone = command(dict(os.environ), *words, sample.url)
    assert_one_sentence(gone, 1, f"No sample server answers at {sample.url} (")


def test_a_folder_that_the_demo_cannot_use_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = command(dict(os.environ), "demo", "--data-dir", str(tmp_path / "file"))
    assert_one_sentence(done, 1, f"The demo can't use {tmp_path / 'file'} (File exists)")


def test_an_env_file_goes_before_what_is_exported(
    environment: dict[str, str], tmp_path: Path
) -> None:
    del environment["PYTHON_DOTENV_DISABLED"]
    environment["EFO_SCHEMA"] = "exported"
    path = ["psql", "-XAtqc", "show search_path"]
    (tmp_path / ".env").write_text("EFO_SCHEMA=written\n")
    assert command(environment, *path, cwd=tmp_path).stdout == "written,efo_meta,public\n"
    (tmp_path / "below").mkdir()
    assert command(environment, *path, cwd=tmp_path / "below").stdout.startswith("exported,")
    (tmp_path / ".env").write_bytes(b"EFO_SCHEMA=\xff\n")
    assert_one_sentence(command(environment, "status", cwd=tmp_path), 1, f"{tmp_path / '.env'}, wh")


def test_psql_takes_its_own_arguments(environment: dict[str, str]) -> None:
    done = command(environment, "psql", "-XAtqc", "select 6 * 7", "-c", "show search_path")
    assert (done.stdout, done.stderr) == ("42\npublic,efo_meta,public\n", "")


def test_a_reader_that_has_gone_leaves_no_complaint(environment: dict[str, str]) -> None:
    words = [sys.executable, "-m", "efo_assets", "status"]
    reading, writing = os.pipe()
    os.close(reading)
    with subprocess.Popen(words, env=environment, stdout=writing, stderr=subprocess.PIPE) as status:
        os.close(writing)
        _, complaint = status.communicate()
    assert (status.returncode, complaint) == (1, b"")


def test_psql_hands_its_exit_code_on(environment: dict[str, str]) -> None:
    assert command(environment, "psql", "-c", "select 1 / 0").returncode == 1


def test_status_before_anything_is_published_names_the_command(environment: dict[str, str]) -> None:
    done = command(environment, "status")
    assert done.returncode == 0
    assert done.stdout.startswith("Nothing is published in schema public of ")
    assert "run `efo-assets load` or `make run`" in done.stdout
    assert done.stdout == command(environment, "exports").stderr, "the same hint everywhere"


def test_a_wrong_setting_is_one_sentence(environment: dict[str, str]) -> None:
    done = command(environment | {"EFO_PAGE_SIZE": "many"}, "status")
    assert_one_sentence(done, 1, "EFO_PAGE_SIZE")


def test_an_alert_test_reaches_every_configured_receiver() -> None:
    with web_receiver() as webhook, web_receiver() as sink, mail_server() as mailbox:
        receivers = {
            "EFO_ALERT_WEBHOOK_URL": f"{webhook.url}/hook",
            "EFO_ALERT_SMTP_URL": f"smtp://127.0.0.1:{mailbox.port}",
            "EFO_ALERT_EMAIL_FROM": "efo@example.org",
            "EFO_ALERT_EMAIL_TO": "ops@example.org",
            "SENTRY_DSN": f"{sink.url.replace('//', '//key@')}/42",
        }
        done = command(os.environ | receivers, "alert-test")
        assert (done.stdout, done.stderr) == (
            "webhook: arrived\nemail: arrived\nsentry: arrived\n",
            "",
        )
        assert done.returncode == 0
        assert "nothing failed" in webhook.texts()[0]
        assert "nothing failed" in mailbox.mails[0].get_content()
        (event,) = sink.events()
        assert (event["level"], event["message"]) == ("info", "efo_assets: test of the alerts")


def test_an_alert_test_says_which_receiver_it_did_not_reach() -> None:
    with web_receiver() as webhook:
        receivers = {
            "EFO_ALERT_WEBHOOK_URL": f"{webhook.url}/hook",
            "SENTRY_DSN": f"http://CANARY@127.0.0.1:{free_port()}/42",
        }
        done = command(os.environ | receivers, "alert-test")
    assert done.returncode == 1
    assert done.stdout == (
        "webhook: arrived\n"
        "sentry: Sentry did not take the event (ConnectionRefusedError); look at SENTRY_DSN.\n"
    )


def test_an_alert_test_without_a_receiver_says_what_to_set() -> None:
    done = command(dict(os.environ), "alert-test")
    said = "No receiver of alerts is configured: set EFO_ALERT_WEBHOOK_URL"
    assert_one_sentence(done, 1, said)
