"""`make demo`: the whole graph on generated data, with nothing to set up.

Serves the sample from a thread, materializes every asset with Dagster's own command into the
embedded PostgreSQL, and prints what came of it. All of it ends with this process; the tables stay
in the data directory, so that a second run shows that an unchanged release writes nothing.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from tabulate import tabulate

from efo_assets.errors import EfoError
from efo_assets.files import make_folder, open_nofollow, write_whole
from efo_assets.privacy.scrub import scrubbed
from efo_assets.sample.ontology import SAMPLE, release
from efo_assets.sample.server import Sample, running_sample
from efo_assets.settings import Settings, child_environment
from efo_assets.warehouse.tables import TABLES, TERMS
from efo_assets.warehouse.warehouse import Warehouse

LOG_LINES_SHOWN = 25
SEED = 1
DAGSTER_HOME = "dagster_home"
_DAGSTER = (str(Path(sys.executable).with_name("dagster")),)
_MODULE = ("-m", "efo_assets.definitions")
_DAGSTER_YAML = b"""\
telemetry: {enabled: false}
nux: {enabled: false}
event_log_storage: {module: efo_assets.graph.event_log, class: HeldOpenEventLog}
"""


def run_demo(folder: Path, classes: int, number: int | None) -> None:
    """Run the demo with its data in `folder`; without a number, on the release shown last.

    Raises:
        EfoError: the folder can't be used, its tables hold what that release can't follow,
            PostgreSQL doesn't start, or Dagster failed.
    """
    with _ready(folder, classes, number) as (warehouse, sample):
        before = _rows_written(warehouse)
        _materialize(folder, sample)
        published = warehouse.current_release()
        if published is not None:
            click.echo(f"Published: {published.name} (release {published.release_id})")
        written = _rows_written(warehouse) - before
        click.echo(f"{written:,} rows written" if written else "Nothing changed: 0 rows written")
        click.echo(tabulate(warehouse.row_counts(), headers=["table", "rows"], intfmt=","))
        _questions(warehouse)


def serve_ui(folder: Path, classes: int, number: int | None, port: int) -> None:
    """Serve Dagster's UI on the demo until Ctrl-C or SIGTERM, with a sample server of its own.

    Raises:
        EfoError: as `run_demo`.
    """
    with _ready(folder, classes, number) as (_, sample):
        click.echo(
            f"Dagster's UI will be at http://127.0.0.1:{port}/asset-groups: press "
            '"Materialize all" there. Then, in another shell, for the next release: '
            f"{Path(sys.executable).with_name('efo-assets')} sample release "
            f"{sample.state.release + 1} --url {sample.url}"
        )
        # Ctrl-C reaches the UI, too, which ends by itself.
        signal.signal(signal.SIGINT, lambda *_: None)
        with subprocess.Popen(  # noqa: S603  # Dagster's own program
            [*_DAGSTER, "dev", *_MODULE, "--host", "127.0.0.1", "--port", str(port)],
            cwd=folder,
            env=_environment(folder, sample),
        ) as ui:
            signal.signal(signal.SIGTERM, lambda *_: ui.send_signal(signal.SIGINT))


@contextmanager
def _ready(folder: Path, classes: int, number: int | None) -> Iterator[tuple[Warehouse, Sample]]:
    """The demo's tables, and the sample as it is served to them."""
    try:
        for each in (folder, folder / DAGSTER_HOME):
            make_folder(each)
        write_whole(folder / DAGSTER_HOME / "dagster.yaml", _DAGSTER_YAML)
        settings = Settings.from_environment({"EFO_DATA_DIR": str(folder)})
        # Opened first: the embedded server then outlives Dagster's process and answers afterwards.
        with Warehouse.opened(settings) as warehouse:
            number = _fitting(warehouse, folder, classes, number)
            click.echo(
                f"Serving a generated ontology of {classes:,} classes (sample data, not EFO)"
            )
            with running_sample(
                ontology=SAMPLE.ontology, classes=classes, release=number
            ) as sample:
                yield warehouse, sample
    except BrokenPipeError:
        raise
    except OSError as error:
        raise EfoError(
            f"The demo can't use {folder} ({error.strerror}): try --data-dir."
        ) from error


def _fitting(warehouse: Warehouse, folder: Path, classes: int, number: int | None) -> int:
    """The release to serve: the one that is asked for, or the one shown last.

    Raises:
        EfoError: the tables hold another ontology, a later release, or one of other classes.
    """
    standing = warehouse.current_release()
    if standing is None:
        return number or 1
    if standing.ontology == SAMPLE.ontology:
        shown = int(str(standing.version).partition(".")[0])
        number = number or shown
        generated = len(release(classes, SEED, shown, SAMPLE).classes)
        if number >= shown and standing.rows[TERMS.name] == generated:
            return number
    raise EfoError(
        f"{folder} holds {standing.name}, which stays, since release {number or 1} of {classes:,} "
        f"classes can't follow it: try --data-dir, or remove it with "
        f"`efo-assets clean {folder}`."
    )


def _environment(folder: Path, sample: Sample) -> dict[str, str]:
    """For Dagster: the sample, and everything that it keeps in `folder`."""
    environment = child_environment(
        {
            "EFO_OLS_URL": sample.url,
            "EFO_ONTOLOGY": sample.identity.ontology,
            "EFO_DATA_DIR": str(folder),
            "DAGSTER_HOME": str(folder / DAGSTER_HOME),
            "DAGSTER_DISABLE_TELEMETRY": "1",
            # `dg dev` would read the `.env` of a project above `folder`, and is of an extra.
            "PYTHONWARNINGS": "ignore:Function `dev_command` is superseded",
        }
    )
    # The UI tells its processes of the code location; a module name beside it makes them hang.
    environment.pop("DAGSTER_MODULE_NAME", None)
    return environment


def _materialize(folder: Path, sample: Sample) -> None:
    """Run Dagster's command, its log in a file; show the end of the log if it fails.

    Raises:
        EfoError: it failed.
    """
    click.echo(f"Materializing the asset graph from {sample.url} into the embedded PostgreSQL")
    began = time.monotonic()
    log = folder / "dagster.log"
    with open_nofollow(log, "wb") as output:
        done = subprocess.run(  # noqa: S603  # Dagster's own program
            [*_DAGSTER, "asset", "materialize", *_MODULE, "--select", "*"],
            # Elsewhere Dagster may find a `.env`, whose database goes before what is set here.
            cwd=folder,
            env=_environment(folder, sample),
            stdout=output,
            stderr=output,
            check=False,
        )
    if done.returncode:
        lines = log.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:]
        click.echo(scrubbed("\n".join(lines)), err=True)
        raise EfoError(f"Dagster failed; its whole log is {log}.")
    click.echo(
        f"Done in {time.monotonic() - began:.1f} s: {len(sample.requests):,} requests, "
        f"{sample.max_in_flight} at most in flight"
    )


def _rows_written(warehouse: Warehouse) -> int:
    """Rows written to the published tables so far, as PostgreSQL itself counts them."""
    schema = warehouse.schema
    tables = [schema.called(table.staged_name) for table in TABLES]
    watched = {"schema": schema, "tables": tables}
    return int(warehouse.ask("rows_written", watched)[0][0])


def _questions(warehouse: Warehouse) -> None:
    (synonym, curie, mesh_id), *_ = warehouse.ask("demo_subjects", {})
    _ask(
        f"Which terms have the label or synonym {synonym.upper()!r}?",
        warehouse.ask("question_text", {"text": synonym.upper()}),
        ["curie", "label", "kind", "matched"],
    )
    _ask(
        f"What is below {curie}? (first 5)",
        warehouse.ask("question_descendants", {"curie": curie}),
        ["curie", "label", "distance", "of all"],
    )
    _ask(
        f"Which terms does MeSH {mesh_id} lead to?",
        warehouse.ask("question_mesh", {"mesh_id": mesh_id}),
        ["MeSH", "curie", "label", "relation"],
    )


def _ask(question: str, rows: list[tuple[Any, ...]], headers: list[str]) -> None:
    click.echo(f"\n{question}")
    click.echo(tabulate(rows, headers=headers))
