"""The command line: `efo-assets COMMAND`, or `python -m efo_assets COMMAND`.

What people do beside Dagster's own commands. The docstring of a command is its help. Exit codes: 0;
1 for a failure, told in one sentence; 2 for wrong usage; 130 after Ctrl-C or SIGTERM; `psql` and
`dbt` hand on their program's. A command imports what it needs when it runs: `status` is there in
half a second, and Dagster alone takes two.
"""

import asyncio
import csv
import gc
import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import click

from efo_assets.errors import EfoError
from efo_assets.privacy.disclosure import no_secret_shown, shown
from efo_assets.settings import DEMO_DIR, Settings, child_environment, set_environment

METRICS_PORT = 9464
SERVE_PORT = 5433
MCP_PORT = 8765
DEFAULT_CLASSES = 20_000
"""Of the generated ontology."""
MAX_LATENCY_MS = 3_600_000
FAILED, WRONG_USAGE, INTERRUPTED = 1, 2, 130


def main(words: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with no_secret_shown():
            try:
                return int(cli.main(words, "efo-assets", standalone_mode=False) or 0)
            except click.Abort:
                # click's word for Ctrl-C, whatever was under way; to others it is a defect.
                raise KeyboardInterrupt from None
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "efo-assets"
        said = shown(error.format_message())
        stop = "" if said.endswith((".", "?")) else "."
        sys.stderr.write(f"{said}{stop} See `{command} --help`.\n")
        return WRONG_USAGE
    except EfoError as error:
        sys.stderr.write(f"{shown(error)}\n")
        return FAILED
    except BrokenPipeError:
        # The reader of the output has gone, such as `head`; what is buffered goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except KeyboardInterrupt:
        sys.stderr.write(
            "Interrupted. What was downloaded is kept, and so is the published release; run the "
            "same command again to go on from there.\n"
        )
        return INTERRUPTED


class _Command(click.Command):
    """A command that refuses words that hold nothing, such as `--data-dir "$UNSET"`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Refuse them: an empty folder would be this one, and an empty host every address."""
        for word in args:
            if re.fullmatch(r"(--[a-z-]+=)?\s*", word):
                raise click.UsageError(f"A word is empty: {word!r}.", ctx)
        return super().parse_args(ctx, args)


class _Group(_Command, click.Group):
    command_class = _Command


class _Commands(click.Group):
    command_class = _Command
    group_class = _Group


@click.group(
    cls=_Commands,
    context_settings={"show_default": True},
    no_args_is_help=False,
    epilog="`efo-assets COMMAND --help` tells what a command does, what it needs, and an example. "
    "Settings are environment variables, EFO_…, that all commands share; a file `.env` in the "
    "working directory goes before them, as it does with Dagster's commands.",
)
@click.version_option(package_name="efo_assets", message="%(prog)s %(version)s")
@click.option("--demo", is_flag=True, help="On what `efo-assets demo` loaded, whatever is set.")
@click.pass_context
def cli(context: click.Context, *, demo: bool) -> None:
    """EFO in PostgreSQL, kept current from OLS: load it, look at it, serve it."""
    set_environment(is_demo=demo or context.invoked_subcommand == "demo")


def _milliseconds(text: str) -> float:
    """Up to an hour; `nan` and `inf` are numbers, too."""
    value = float(text)
    if not 0 <= value <= MAX_LATENCY_MS:
        raise click.BadParameter(f"{text} is not in the range 0<=x<={MAX_LATENCY_MS}.")
    return value


_host = click.option("--host", default="127.0.0.1", help="Address to listen on.")
_classes = click.option(
    "--classes",
    type=click.IntRange(20, 3_000_000),  # every kind of change needs classes of its own
    default=DEFAULT_CLASSES,
    help="How many classes to generate.",
)
_release_number = click.IntRange(1, 100)
_release = click.option(
    "--release", type=_release_number, default=1, help="Which consecutive release to serve."
)
_port = click.IntRange(0, 65535)
_FOLDER_HELP = (
    "Where to; by default exports/ in EFO_DATA_DIR, and exports/SCHEMA/VERSION there for another "
    "ontology than efo or another schema than public."
)
_path = click.Path(path_type=Path)


class _Program(click.Command):
    """A command whose words are those of a program, `-h` too; `--help` alone is its own."""

    ignore_unknown_options = True
    allow_interspersed_args = False

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Leave `--help` to the program where there are other words."""
        if args != ["--help"]:
            ctx.help_option_names = []
        return super().parse_args(ctx, args)


_words = click.argument("words", nargs=-1, type=click.UNPROCESSED)


@cli.command()
def load() -> None:
    """Load the ontology that OLS serves now into PostgreSQL.

    Without Dagster: downloads, stages, audits, and publishes in one transaction. Pages that are
    kept of the same release aren't asked for again, and an unchanged release writes no row.

    Needs OLS (EFO_OLS_URL, the EBI's own by default) and a PostgreSQL (EFO_DATABASE_URL; without
    it, the embedded one in EFO_DATA_DIR). Other settings: EFO_ONTOLOGY, EFO_SCHEMA, EFO_LIMIT, …

    Example: EFO_LIMIT=2000 efo-assets load
    """
    from efo_assets.pipeline.load import load

    logging.basicConfig(format="%(message)s")
    log = logging.getLogger("efo_assets")
    log.setLevel(logging.INFO)
    # Lines of the log would tear the bar that a terminal shows.
    report = log.debug if sys.stderr.isatty() else log.info
    began = time.monotonic()
    publication = load(Settings.from_environment(), log=report)
    seconds = time.monotonic() - began
    result = "is published" if publication.written else "is published already, nothing changed"
    click.echo(
        f"{publication.release} {result}: release {publication.release_id}, "
        f"{publication.written:,} rows written, {seconds:.1f} s"
    )


@cli.command()
@click.option("--json", "is_json", is_flag=True, help="The same and more, for programs.")
def status(*, is_json: bool) -> None:
    """Print the published releases, newest first, and what all of it takes on disk.

    Where the database holds other schemas, too, each of them with its release, its age, its rows
    and its newest verdict, as the view efo_meta.ontologies has them; and why a newest load failed.

    Reads the ledger in PostgreSQL (EFO_DATABASE_URL; without it, the embedded one in EFO_DATA_DIR,
    which is started if need be).

    Example: efo-assets status

    Schemas that aren't as they should be: efo-assets status --json | jq -r '.ontologies[] |
    select(.state != "published").schema_name'
    """
    from efo_assets.files import size_bytes
    from efo_assets.warehouse.warehouse import Warehouse

    settings = Settings.from_environment()
    with Warehouse.opened(settings) as warehouse:
        if is_json:
            click.echo(shown(json.dumps({"schema": settings.schema, **warehouse.ledger_facts()})))
            return
        # A version is OLS's text, and this is a terminal.
        rows = [[shown(c) if isinstance(c, str) else c for c in r] for r in warehouse.releases()]
        sizes = warehouse.sizes() if rows else {}
        ontologies, failures = warehouse.ontologies(), warehouse.failures()
    if rows:
        headers = ("release", "version", "published at (UTC)", "terms", "rows written", "load")
        _table(rows, *headers, "source")
        parts = {
            "of staged loads": sizes.pop("staged loads", 0),
            "of records (efo_meta)": sizes.pop("efo_meta", 0),
            "of published tables": sum(sizes.values()),
            "of pages": size_bytes(settings.data_dir / "pages"),
            "of exports": size_bytes(settings.data_dir / "exports"),
        }
        told = ", ".join(f"{size / 1_000_000:,.1f} MB {what}" for what, size in parts.items())
        click.echo(f"\nOn disk: {told} (the last two in {shown(str(settings.data_dir))})")
    else:
        click.echo(shown(warehouse.nothing_published))
    if any(schema != settings.schema for schema, *_ in ontologies):
        states = Counter(state for _, _, state, *_ in ontologies)
        counts = ", ".join(f"{count:,} {state}" for state, count in states.most_common())
        click.echo(f"\nIn this database: {counts}")
        _table(
            [[shown(c) if isinstance(c, str) else c for c in each] for each in ontologies],
            *("schema", "release", "state", "age", "rows", "newest verdict"),
        )
    for schema, ontology, moment, sentence in failures:
        where = f"{shown(ontology)} into schema {schema}"
        click.echo(f"\nThe newest load of {where} failed at {moment} (UTC): {shown(sentence)}")


@cli.command()
def verify() -> None:
    """Compare what is published with the ledger.

    Rows of every table, and in efo_changes those of every release, must have the hash with which
    they were published; views and functions must be there and of this version. Reads only, and
    exits with 1 where something differs.

    Example: efo-assets verify
    """
    from efo_assets.warehouse.warehouse import Warehouse

    with Warehouse.opened(Settings.from_environment()) as warehouse:
        compared = warehouse.verify()
    rows = [
        [
            each.table,
            shown(each.release),
            each.recorded[0],
            each.found[0],
            "differs" if each.differs else "as published",
        ]
        for each in compared
    ]
    _table(rows, "table", "release", "rows published", "rows now", "")
    if differing := [str(each) for each in compared if each.differs]:
        raise EfoError(
            f"{'; '.join(differing)}. Who changed them isn't known. Nothing was written: the next "
            "load makes the standing tables as published again; rows of earlier releases in "
            "efo_changes only a backup has."
        )


@cli.command(cls=_Program)
@_words
def psql(words: Sequence[str]) -> int:
    """Open psql, PostgreSQL's own shell, on the published tables.

    On the database that EFO_DATABASE_URL names; without it, on the embedded one in EFO_DATA_DIR,
    which is started if need be. All words are psql's own; `psql --help=commands` lists what can be
    typed in the shell.

    Example: efo-assets psql -c 'select * from efo_terms limit 5'
    """
    from psycopg.pq import Conninfo

    from efo_assets.warehouse.embedded import program
    from efo_assets.warehouse.warehouse import Warehouse

    settings = Settings.from_environment()
    with Warehouse.opened(settings) as warehouse:
        # On its command line, everybody on the machine would see a password.
        parameters = warehouse.target.parameters
        variables = {
            option.envvar.decode(): parameters[keyword]
            for option in Conninfo.get_defaults()
            if option.envvar and (keyword := option.keyword.decode()) in parameters
        }
        variables["PGOPTIONS"] = f"-c search_path={settings.schema},efo_meta,public"
        # Ctrl-C reaches psql, too, where it cancels a query; it must not end this process.
        signal.signal(signal.SIGINT, lambda *_: None)
        return subprocess.run(  # noqa: S603  # PostgreSQL's own program
            [str(program("psql")), "--no-psqlrc", *words],
            env=child_environment({"PAGER": "", **variables}),
            check=False,
        ).returncode


@cli.command()
@click.option("--port", type=_port, default=SERVE_PORT, help="0 takes any free one.")
def serve(port: int) -> None:
    """Keep the embedded PostgreSQL up for pandas, R, DBeaver and the like.

    Until Ctrl-C or SIGTERM, on 127.0.0.1 alone. Prints a URL, whose role can read all tables and
    write none. Its password is in the file serve.pgpass in EFO_DATA_DIR, which only you can read:
    what is made with libpq, such as psycopg, finds it by the URL; others ask for it. Loads, the UI
    and other commands go on meanwhile, in the same server, if they begin after this.

    Example: efo-assets serve --port 5433
    """
    from efo_assets.warehouse.serving import ROLE, served, watch

    settings = Settings.from_environment()
    if settings.database:
        raise EfoError(
            f"EFO_DATABASE_URL names the PostgreSQL at {settings.database.place}, which is up "
            "without this: `efo-assets serve` is for the embedded one."
        )
    try:
        with served(settings.data_dir, settings.schema, port) as url:
            click.echo(f"{url}\nServed until Ctrl-C; {ROLE} can read, and its password is there.")
            watch(url)
    except KeyboardInterrupt:
        click.echo("Ended.")


@cli.command()
@click.option("--http", is_flag=True, help="By HTTP on 127.0.0.1, not standard input and output.")
@click.option("--port", type=_port, default=MCP_PORT, help="With --http; 0 takes any free one.")
def mcp(*, http: bool, port: int) -> None:
    """Let an agent ask the published tables, by the Model Context Protocol.

    Over standard input and output, as a client starts it: the command is `efo-assets`, its one word
    `mcp`. With --http until Ctrl-C or SIGTERM at http://127.0.0.1:PORT/mcp, for any program of this
    machine. Its tools read what is published and can change nothing.

    Needs the extra `mcp`, and a published release in the PostgreSQL that EFO_DATABASE_URL names;
    without it, in the embedded one in EFO_DATA_DIR, which is started if need be.

    Example: efo-assets mcp --http --port 8765
    """
    from importlib.util import find_spec

    if find_spec("mcp") is None:
        raise EfoError(
            "The command needs the extra `mcp`, which isn't installed: run `pip install mcp` in "
            "this environment, or install the project with the extra `mcp`."
        )
    from efo_assets.agents.server import serve_http, serve_stdio
    from efo_assets.warehouse.reader import Reader

    try:
        with Reader.opened(Settings.from_environment()) as reader:
            if http:
                serve_http(reader, port)
            else:
                serve_stdio(reader)
    except KeyboardInterrupt:
        click.echo("Ended.", err=True)


@cli.command(cls=_Program)
@_words
def dbt(words: Sequence[str]) -> int:
    """Run dbt on the published tables.

    Needs the extra `dbt` and a published release. All words are dbt's own; `dbt -h` lists them.

    Example: efo-assets dbt build
    """
    from efo_assets.dbt import project
    from efo_assets.warehouse.warehouse import Warehouse

    settings = Settings.from_environment()
    with Warehouse.opened(settings) as warehouse:
        return project.run(warehouse, settings, words)


@cli.command()
@click.argument("file", type=click.File("rb"))
@click.option(
    "--format",
    "layout",
    type=click.Choice(["table", "csv", "tsv", "json"]),
    default="table",
    help="CSV and TSV have a line of names first; JSON is a list of objects.",
)
def resolve(file: BinaryIO, layout: str) -> None:
    """Say where each id of a list leads today.

    FILE has an id a line, `-` is standard input: IRIs, CURIEs or short forms, in any case, of
    current, obsolete or unknown classes. Their order and repetitions are kept, empty lines aren't.
    A replaced class leads to what replaces it; where several do, or none but a weaker `consider`,
    these are candidates. How many there are of each status goes to standard error.

    Example: efo-assets resolve --format csv ids.txt > today.csv
    """
    from efo_assets.warehouse.warehouse import Warehouse

    try:
        text = file.read().decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise EfoError(
            f"{shown(file.name)} is no UTF-8 text without NUL: save it so, with an id a line."
        )
    ids = [line.strip() for line in text.splitlines() if line.strip()]
    with Warehouse.opened(Settings.from_environment()) as warehouse:
        rows = warehouse.resolve(ids)
    names = ("id", "status", "curie", "label", "iri", "was", "candidates")
    _rows(rows, names, layout)
    tally = Counter(status for _, status, *_ in rows).most_common()
    told = ", ".join(f"{count:,} {status}" for status, count in tally)
    click.echo(f"{len(ids):,} ids{': ' if told else ''}{told}", err=True)


@cli.command()
@click.option("--folder", type=_path, help=_FOLDER_HELP)
@click.argument("names", nargs=-1, metavar="[FILE]...")
def exports(folder: Path | None, names: Sequence[str]) -> None:
    """Write the published release as files, all or the named ones.

    Parquet of every table, MeSH as SSSOM, replacements as TSV. All files come from one snapshot,
    and the same release gives the same bytes. A file gets its name once it is whole.

    Example: efo-assets exports --folder efo efo_terms.parquet
    """
    from efo_assets.pipeline.exports import EXPORT_NAMES, FOLDER, export
    from efo_assets.warehouse.warehouse import Warehouse

    if not set(names) <= set(EXPORT_NAMES):
        raise click.UsageError(f"FILE is one of {', '.join(EXPORT_NAMES)}.")
    settings = Settings.from_environment()
    with Warehouse.opened(settings) as warehouse:
        files = export(
            warehouse,
            folder or settings.data_dir / FOLDER,
            names or EXPORT_NAMES,
            is_shared=folder is None,
        )
    _table([[str(file.path), file.rows, file.bytes] for file in files], "file", "rows", "bytes")


@cli.command()
@_classes
@click.option(
    "--release",
    type=_release_number,
    help="Which one to load; by default the last one again.",
)
@click.option("--data-dir", type=_path, default=DEMO_DIR, help="Where all of it is kept.")
@click.option("--ui", is_flag=True, help="Serve Dagster's UI on it, and load when told to there.")
@click.option("--port", type=_port, default=3000, help="Of the UI.")
def demo(classes: int, release: int | None, data_dir: Path, *, ui: bool, port: int) -> None:
    """Run the whole asset graph on generated data.

    With nothing to set up and no network: starts the sample OLS server, materializes every asset
    with Dagster's own command into the embedded PostgreSQL, and asks the tables three questions.
    The tables stay in the data directory, so that a second run shows that an unchanged release
    writes nothing, and one with `--release 2` what the next release changes.

    Example: efo-assets demo --classes 2000 --data-dir .efo/small

    Afterwards: efo-assets --demo status
    """
    from efo_assets.sample.demo import run_demo, serve_ui

    if ui:
        serve_ui(data_dir.absolute(), classes, release, port)
    else:
        run_demo(data_dir.absolute(), classes, release)


@cli.command()
@_host
@click.option("--port", type=_port, default=METRICS_PORT, help="0 takes any free one.")
def metrics(host: str, port: int) -> None:
    """Serve metrics to Prometheus.

    Until Ctrl-C or SIGTERM, at /metrics and /healthz. Reads Dagster's instance (DAGSTER_HOME) and
    the ledger in PostgreSQL (EFO_DATABASE_URL, or the embedded one, if it runs) whenever /metrics
    is asked for. A source that is down is a metric, too.

    Example: DAGSTER_HOME=$PWD/.efo/dagster_home efo-assets metrics
    """
    from efo_assets.monitoring.exporter import serve

    serve(Settings.from_environment(), host, port)


@cli.group(invoke_without_command=True)
@_host
@click.option("--port", type=_port, default=8080, help="0 takes any free one.")
@_classes
@_release
@click.option("--seed", type=int, default=1, help="The same seed, the same ontology.")
@click.option(
    "--as-efo",
    "ontology",
    flag_value="efo",
    default="sample",
    show_default=False,
    help="Pose as EFO, for trials in a database that EFO itself will never come to.",
)
@click.option(
    "--shape",
    type=click.Choice(["efo", "taxonomy", "chains"]),
    default="efo",
    help="A taxonomy has one parent each and 38 levels, chains have up to 500; both are made page "
    "by page, in little memory, however many classes.",
)
@click.option(
    "--all-labelled", is_flag=True, help="No class without a label, for loaders that refuse it."
)
@click.option("--generation", type=click.Choice(["A", "B", "C"]), default="C", help="Of OLS.")
@click.option(
    "--base-latency-ms", type=_milliseconds, metavar="FLOAT", default=0.0, help="Per request."
)
@click.option(
    "--row-latency-ms", type=_milliseconds, metavar="FLOAT", default=0.0, help="Per row of a page."
)
@click.option(
    "--catalogue",
    type=click.IntRange(2, 999),
    metavar="N",
    help="Serve so many more ontologies, their sizes spread as OLS's.",
)
@click.option(
    "--scale",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.05,
    help="What the sizes of the catalogue are multiplied by: at 1 the largest has 2,600,000.",
)
@click.option(
    "--bad",
    is_flag=True,
    help="Serve the bad ones beside it, too: noversion, cyclic, unlabelled, empty, failing.",
)
@click.option("--recorded", type=_path, help="Serve recordings of this folder, too.")
@click.option(
    "--warm",
    is_flag=False,
    flag_value=2,
    type=_release_number,
    help="Render so many releases before being ready; 2 without a number.",
)
@click.option("--port-file", type=_path, help="Write the port here once ready.")
@click.pass_context
def sample(context: click.Context, /, port: int, **options: Any) -> None:
    """Serve generated data as a small OLS server.

    Until Ctrl-C or SIGTERM. The ontology has the shape of EFO, unless --shape names another, and an
    id, IRIs and versions of its own; the same seed and release give the same one. Needs no network.

    Example: efo-assets sample --port 8080

    Beside it: EFO_OLS_URL=http://127.0.0.1:8080 EFO_ONTOLOGY=sample efo-assets load

    Then its next release: efo-assets sample release 2

    A catalogue as OLS's, with 550,000 classes: efo-assets sample --catalogue 270 --scale 0.05
    """
    if context.invoked_subcommand:
        return
    recorded = options["recorded"]
    if recorded is not None and not (recorded / "v2").is_dir():
        raise click.UsageError(
            f"--recorded takes a folder with v2/*.classes.json; {recorded} has none."
        )
    try:
        asyncio.run(_serve_sample(port, **options))
    except BrokenPipeError:
        raise
    except OSError as error:
        what = error.filename or f"{options['host']}:{port}"
        raise EfoError(
            f"{what} can't be used ({error.strerror}): try --port 0, or another --host or file."
        ) from error


async def _serve_sample(
    port: int,
    *,
    host: str,
    warm: int | None,
    port_file: Path | None,
    catalogue: int | None,
    scale: float,
    bad: bool,
    **options: Any,
) -> None:
    from efo_assets.files import write_whole
    from efo_assets.sample.catalogue import BAD, spread
    from efo_assets.sample.server import Sample, serving

    members = (*(spread(catalogue, scale) if catalogue else ()), *(BAD if bad else ()))
    server = Sample(catalogue=members, **options)
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    server.warm(warm or 0)
    async with serving(server, port, host):
        if port_file is not None:
            write_whole(port_file, server.url.rpartition(":")[2].encode())
        click.echo(
            f"Serving generated sample data at {server.url} as the ontology "
            f"{server.identity.ontology}{f' and {len(members)} more' if members else ''} "
            "(Ctrl-C ends it)"
        )
        await ended.wait()
    # At its end Python looks through all that there is: 6 s for two releases of 94,000 classes.
    gc.freeze()


_sample_url = click.option("--url", default="http://127.0.0.1:8080", help="Where the server is.")


@sample.command("release")
@click.argument("number", type=_release_number)
@click.option("--ontology", help="Of this one alone.")
@_sample_url
def sample_release(number: int, ontology: str | None, url: str) -> None:
    """Let a sample server that runs serve another release from now on.

    The next load finds it there, with about 0.25 % of the classes changed from one to the next.

    Example: efo-assets sample release 2 --url http://127.0.0.1:8080
    """
    from efo_assets.sample.server import switch

    changes = {"releases": {ontology: number}} if ontology else {"release": number}
    asyncio.run(switch(url, **changes))
    of = f" of {shown(ontology)}" if ontology else ""
    click.echo(f"{shown(url)} serves release {number}{of} from now on.")


@sample.command("hide")
@click.argument("ontologies", nargs=-1, metavar="[ONTOLOGY]...")
@_sample_url
def sample_hide(ontologies: Sequence[str], url: str) -> None:
    """Let ontologies vanish from a sample server that runs, as they do from OLS for days.

    Those that aren't named are there again; without any name, all are.

    Example: efo-assets sample hide sample001
    """
    from efo_assets.sample.server import switch

    asyncio.run(switch(url, hidden=ontologies))
    click.echo(f"{shown(url)} hides {shown(', '.join(ontologies)) or 'none'} from now on.")


@cli.command()
def alert_test() -> int:
    """Send a test to every configured receiver of alerts.

    Prints where it arrived. Needs EFO_ALERT_WEBHOOK_URL, EFO_ALERT_SMTP_URL or SENTRY_DSN. Run it
    where the code location runs: with the same environment and the same way out.

    Example: EFO_ALERT_WEBHOOK_URL=http://127.0.0.1:9000 efo-assets alert-test
    """
    from efo_assets.alerts.delivery import try_alerts

    outcomes = try_alerts()
    for name, outcome in outcomes.items():
        click.echo(f"{name}: {outcome.trouble or 'arrived'}")
    return FAILED if any(outcome.trouble for outcome in outcomes.values()) else 0


@cli.command()
@click.argument("folders", nargs=-1, required=True, type=_path, metavar="FOLDER...")
def clean(folders: Sequence[Path]) -> None:
    """Delete the embedded PostgreSQL of data directories.

    Stops it first. Downloaded pages and exported files stay. A folder without a server is left as
    it is.

    Example: efo-assets clean .efo .efo/demo
    """
    from efo_assets.warehouse.embedded import remove

    for folder in folders:
        remove(folder)


def _rows(rows: Sequence[Sequence[str | None]], names: Sequence[str], layout: str) -> None:
    """Print texts as they are, but for a terminal, which obeys some of them."""
    if layout == "table" or sys.stdout.isatty():
        rows = [[text and shown(text) for text in row] for row in rows]
    if layout == "table":
        _table(rows, *names)
    elif layout == "json":
        objects = [dict(zip(names, row, strict=True)) for row in rows]
        click.echo(json.dumps(objects, ensure_ascii=False, indent=1))
    else:
        delimiter = "\t" if layout == "tsv" else ","
        writer = csv.writer(sys.stdout, delimiter=delimiter, lineterminator="\n")
        writer.writerows([names, *rows])


def _table(rows: Sequence[Sequence[object]], *headers: str) -> None:
    from tabulate import tabulate

    # Else a version 1.10, or an id, would be a number.
    texts = [
        place
        for place in range(len(headers))
        if not any(isinstance(row[place], int | float) for row in rows)
    ]
    click.echo(tabulate(rows, headers=headers, intfmt=",", disable_numparse=texts))


if __name__ == "__main__":
    sys.exit(main())
