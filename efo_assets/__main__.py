"""The command line: `efo-assets COMMAND`, or `python -m efo_assets COMMAND`.

What people do beside Dagster's own commands. The docstring of a command's function is its help.
Exit codes: 0; 1 for a failure, told in one sentence; 2 for wrong usage; 130 after Ctrl-C or
SIGTERM; `psql` and `dbt` hand on their program's.

A command imports what it needs when it runs: `status` needs 0.2 s for that, Dagster alone 2 s.
"""

import argparse
import asyncio
import inspect
import logging
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from tabulate import tabulate

from efo_assets.errors import EfoError
from efo_assets.privacy.disclosure import no_secret_shown, shown
from efo_assets.privacy.printable import escaped
from efo_assets.settings import Settings, child_environment

METRICS_PORT = 9464
DEFAULT_CLASSES = 20_000
"""Of the generated ontology."""
FEWEST_CLASSES = 20
"""Every kind of change needs classes of its own."""
INTERRUPTED = 130
_WITH_WORDS_OF_A_PROGRAM = ("psql", "dbt")
_PSQL_VARIABLES = {
    "host": "PGHOST",
    "hostaddr": "PGHOSTADDR",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "dbname": "PGDATABASE",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
}
"""libpq keyword to the variable that psql reads; a command line would show a password."""

Options = argparse.Namespace


def main(words: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code."""
    words = list(sys.argv[1:] if words is None else words)
    own = len(words)
    if words[:1] and words[0] in _WITH_WORDS_OF_A_PROGRAM and words[1:] != ["--help"]:
        own = 1
    options = _parser().parse_args(words[:own])
    options.words = words[own:]
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with no_secret_shown():
            return int(options.run(options))
    except EfoError as error:
        sys.stderr.write(f"{shown(error)}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write(
            "Interrupted. What was downloaded is kept, and so is the published release; run the "
            "same command again to go on from there.\n"
        )
        return INTERRUPTED


def load(_: Options) -> int:
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
    began = time.monotonic()
    # Lines of the log would tear the bar that a terminal shows.
    publication = load(
        Settings.from_environment(), log=log.debug if sys.stderr.isatty() else log.info
    )
    seconds = time.monotonic() - began
    result = "is published" if publication.written else "is published already, nothing changed"
    sys.stdout.write(
        f"{publication.release} {result}: release {publication.release_id}, "
        f"{publication.written:,} rows written, {seconds:.1f} s\n"
    )
    return 0


def status(_: Options) -> int:
    """Print the published releases, newest first.

    Reads the ledger in PostgreSQL (EFO_DATABASE_URL; without it, the embedded one in EFO_DATA_DIR,
    which is started if need be).

    Example: efo-assets status
    """
    from efo_assets.warehouse.warehouse import Warehouse

    with Warehouse.opened(Settings.from_environment()) as warehouse:
        # A version is OLS's text, and this is a terminal.
        rows = [
            [escaped(cell) if isinstance(cell, str) else cell for cell in row]
            for row in warehouse.releases()
        ]
    if rows:
        headers = ["release", "version", "published at (UTC)", "terms", "rows written", "load"]
        sys.stdout.write(tabulate(rows, headers=headers, intfmt=",") + "\n")
    else:
        sys.stdout.write(
            "Nothing is published yet: run `make run`, in a deployment the service `pipeline`.\n"
        )
    return 0


def psql(options: Options) -> int:
    """Open psql, PostgreSQL's own shell, on the published tables.

    On the database that EFO_DATABASE_URL names; without it, on the embedded one in EFO_DATA_DIR,
    which is started if need be. Whatever follows are psql's own arguments; `psql --help=commands`
    lists what can be typed in the shell.

    Example: efo-assets psql -c 'select * from efo_terms limit 5'
    """
    from efo_assets.warehouse.embedded import program
    from efo_assets.warehouse.warehouse import Warehouse

    settings = Settings.from_environment()
    with Warehouse.opened(settings) as warehouse:
        # Ctrl-C cancels a query of psql, which it reaches, too; it must not end this process.
        signal.signal(signal.SIGINT, lambda *_: None)
        return subprocess.run(  # noqa: S603  # our own program
            [str(program("psql")), "--no-psqlrc", *options.words],
            env=child_environment(_psql_environment(warehouse.target.parameters, settings.schema)),
            check=False,
        ).returncode


def _psql_environment(parameters: Mapping[str, str], schema: str) -> dict[str, str]:
    known = {
        _PSQL_VARIABLES[key]: value for key, value in parameters.items() if key in _PSQL_VARIABLES
    }
    return {"PAGER": "", **known, "PGOPTIONS": f"-c search_path={schema},efo_meta,public"}


def exports(options: Options) -> int:
    """Write the published release as files.

    Parquet of every table, MeSH as SSSOM, replacements as TSV. All files come from one snapshot,
    and the same release gives the same bytes. A file gets its name once it is whole. Needs a
    published release.

    Example: efo-assets exports --folder /tmp/efo --only efo_terms.parquet efo_xrefs.parquet
    """
    from efo_assets.pipeline.exports import EXPORT_NAMES, FOLDER, export
    from efo_assets.warehouse.warehouse import Warehouse

    settings = Settings.from_environment()
    folder = options.folder or settings.data_dir / FOLDER
    with Warehouse.opened(settings) as warehouse:
        files = export(warehouse, folder, options.only or EXPORT_NAMES)
    rows = [[str(file.path), file.rows, file.bytes] for file in files]
    sys.stdout.write(tabulate(rows, headers=["file", "rows", "bytes"], intfmt=",") + "\n")
    return 0


def _export_name(text: str) -> str:
    from efo_assets.pipeline.exports import EXPORT_NAMES

    if text not in EXPORT_NAMES:
        names = ", ".join(EXPORT_NAMES)
        raise argparse.ArgumentTypeError(f"takes {names}; it is {text[:40]!r}")
    return text


def demo(options: Options) -> int:
    """Run the whole asset graph on generated data.

    With nothing to set up and no network: starts the sample OLS server, materializes every asset
    with Dagster's own command into the embedded PostgreSQL, and asks the tables three questions.
    The tables stay in the data directory, so that a second run shows that an unchanged release
    writes nothing.

    Example: efo-assets demo --classes 2000
    """
    from efo_assets.sample.demo import run_demo

    run_demo(options.data_dir.absolute(), options.classes, options.release)
    return 0


def metrics(options: Options) -> int:
    """Serve metrics to Prometheus.

    Until Ctrl-C or SIGTERM, at /metrics and /healthz. Reads Dagster's instance (DAGSTER_HOME) and
    the ledger in PostgreSQL (EFO_DATABASE_URL, or the embedded one, if it runs) whenever /metrics
    is asked for. A source that is down is a metric, too.

    Example: DAGSTER_HOME=$PWD/.efo/dagster_home efo-assets metrics --port 9464
    """
    from efo_assets.monitoring.exporter import serve

    serve(Settings.from_environment(), options.host, options.port)
    return 0


def sample(options: Options) -> int:
    """Serve generated data as a small OLS server.

    Until Ctrl-C or SIGTERM. The ontology has the shape of EFO and is not EFO; the same seed and
    release give the same one. Needs no network.

    Example: efo-assets sample --port 8080
    Beside it: EFO_OLS_URL=http://127.0.0.1:8080 efo-assets load
    """
    try:
        asyncio.run(_serve_sample(options))
    except OSError as error:
        raise EfoError(
            f"Port {options.port} can't be used ({error.strerror}): try --port 0."
        ) from error
    return 0


async def _serve_sample(options: Options) -> None:
    from efo_assets.files import write_whole
    from efo_assets.sample.server import Sample, serving

    server = Sample(
        classes=options.classes,
        seed=options.seed,
        recorded=options.recorded,
        release=options.release,
        generation=options.generation,
        base_latency_ms=options.base_latency_ms,
        row_latency_ms=options.row_latency_ms,
    )
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    if options.warm:
        server.warm()
    async with serving(server, options.port, options.host):
        if options.port_file is not None:
            write_whole(options.port_file, server.url.rpartition(":")[2].encode())
        _say(f"Serving generated sample data at {server.url} (Ctrl-C ends it)")
        await ended.wait()


def alert_test(_: Options) -> int:
    """Send a test to every configured receiver of alerts.

    Prints where it arrived. Needs EFO_ALERT_WEBHOOK_URL, EFO_ALERT_SMTP_URL or SENTRY_DSN. Run it
    where the code location runs: with the same environment and the same way out.

    Example: EFO_ALERT_WEBHOOK_URL=http://127.0.0.1:9000/hook efo-assets alert-test
    """
    from efo_assets.alerts.delivery import try_alerts

    outcomes = try_alerts()
    for name, outcome in outcomes.items():
        _say(f"{name}: {outcome.trouble or 'arrived'}")
    return 1 if any(outcome.trouble for outcome in outcomes.values()) else 0


def dbt(options: Options) -> int:
    """Run dbt on the published tables.

    Needs the extra `dbt` and a published release. Whatever follows are dbt's own arguments;
    `dbt -h` lists them.

    Example: efo-assets dbt build
    """
    from efo_assets.dbt import project
    from efo_assets.warehouse.warehouse import Warehouse

    settings = Settings.from_environment()
    with Warehouse.opened(settings) as warehouse:
        return project.run(warehouse, settings, options.words)


def clean(options: Options) -> int:
    """Delete the embedded PostgreSQL of data directories.

    Stops it first. Downloaded pages and exported files stay. A folder without a server is left as
    it is.

    Example: efo-assets clean .efo .efo/demo
    """
    from efo_assets.warehouse.embedded import remove

    for folder in options.folders:
        remove(folder)
    return 0


class _Parser(argparse.ArgumentParser):
    """Refuses wrong usage in one sentence."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{message.removeprefix('argument ')}; see `{self.prog} --help`.\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="efo-assets",
        description="EFO in PostgreSQL, kept current from OLS: load it, look at it, serve it.",
        epilog="`efo-assets COMMAND --help` tells what a command does, what it needs, and an "
        "example. Settings are environment variables, EFO_…, that all commands share.",
    )
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", title="commands"
    )

    def command(run: Callable[[Options], int], *, add_help: bool = True) -> argparse.ArgumentParser:
        about = inspect.getdoc(run) or ""
        added = commands.add_parser(
            run.__name__.replace("_", "-"),
            help=about.partition("\n")[0],
            description=about,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            add_help=add_help,
        )
        added.set_defaults(run=run)
        return added

    command(load)
    command(status)
    _add_words(command(psql, add_help=False))
    added = command(exports)
    added.add_argument("--folder", type=Path, help="where (default: exports/ in EFO_DATA_DIR)")
    added.add_argument(
        "--only", type=_export_name, nargs="+", metavar="FILE", help="these files (default: all)"
    )
    added = command(demo)
    _add_generator(added)
    added.add_argument(
        "--data-dir", type=Path, default=Path(".efo") / "demo", help="(default %(default)s)"
    )
    added = command(metrics)
    _add_address(added, METRICS_PORT)
    added = command(sample)
    _add_address(added, 8080)
    _add_generator(added)
    added.add_argument("--seed", type=int, default=1, help="the same seed, the same ontology")
    added.add_argument(
        "--generation", choices=["A", "B", "C"], default="C", help="of the OLS server (default C)"
    )
    added.add_argument("--base-latency-ms", type=float, default=0.0, help="per request")
    added.add_argument("--row-latency-ms", type=float, default=0.0, help="per row of a page")
    added.add_argument("--recorded", type=_recorded, help="serve recordings of this folder, too")
    added.add_argument(
        "--warm", action="store_true", help="render releases 1 and 2 before being ready"
    )
    added.add_argument("--port-file", type=Path, help="write the port here once ready")
    command(alert_test)
    _add_words(command(dbt, add_help=False))
    added = command(clean)
    added.add_argument("folders", type=Path, nargs="+", metavar="FOLDER", help="a data directory")
    return parser


def _add_words(parser: argparse.ArgumentParser) -> None:
    """Leave all words but `--help` to another program, `-h` too."""
    parser.add_argument("--help", action="help", help="show this help message and exit")
    parser.add_argument("words", nargs="*", metavar="WORD", help="of the program itself")


def _add_address(parser: argparse.ArgumentParser, port: int) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="to listen on (default %(default)s)")
    parser.add_argument(
        "--port",
        type=_whole(0, 65535),
        default=port,
        help="0 for any free one (default %(default)s)",
    )


def _add_generator(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--classes",
        type=_whole(FEWEST_CLASSES),
        default=DEFAULT_CLASSES,
        help="how many classes to generate (default %(default)s)",
    )
    parser.add_argument(
        "--release",
        type=_whole(1),
        default=1,
        help="which consecutive release to serve (default %(default)s)",
    )


def _whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """A type of argument: a whole number in this range."""

    def read(text: str) -> int:
        value = int(text) if re.fullmatch(r"[0-9]{1,9}", text) else -1
        if value < least or (most is not None and value > most):
            bound = f"of at least {least}" if most is None else f"from {least} to {most}"
            raise argparse.ArgumentTypeError(f"takes a whole number {bound}; it is {text[:40]!r}")
        return value

    return read


def _recorded(text: str) -> Path:
    if not (Path(text) / "v2").is_dir():
        raise argparse.ArgumentTypeError(
            f"takes a folder with v2/*.classes.json; {text[:200]!r} has none"
        )
    return Path(text)


def _say(text: str) -> None:
    """Print a line at once, also into a pipe."""
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
