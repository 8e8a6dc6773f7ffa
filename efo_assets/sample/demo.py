"""`make demo`: the whole graph on generated data, with nothing to set up.

Serves the sample from a thread, materializes every asset with Dagster's own command into the
embedded PostgreSQL, and prints what came of it. All of it ends with this process; the tables stay
in the data directory, so that a second run shows that an unchanged release writes nothing.
"""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click
from tabulate import tabulate

from efo_assets.errors import EfoError
from efo_assets.files import make_folder, open_nofollow
from efo_assets.privacy.scrub import scrubbed
from efo_assets.sample.ontology import SAMPLE
from efo_assets.sample.server import Sample, running_sample
from efo_assets.settings import Settings, child_environment
from efo_assets.warehouse.tables import TABLES
from efo_assets.warehouse.warehouse import Warehouse

LOG_LINES_SHOWN = 25


def run_demo(folder: Path, classes: int, release: int) -> None:
    """Run the demo with its data in `folder`.

    Raises:
        EfoError: the folder can't be used, PostgreSQL doesn't start, or Dagster failed.
    """
    try:
        make_folder(folder)
        settings = Settings.from_environment({"EFO_DATA_DIR": str(folder)})
        # Opened first: the embedded server then outlives Dagster's process and answers afterwards.
        with Warehouse.opened(settings) as warehouse:
            standing = warehouse.current_release()
            if standing is not None and standing.ontology != SAMPLE.ontology:
                raise EfoError(
                    f"{folder} holds {standing.name}, which stays: try --data-dir, or remove it "
                    f"with `efo-assets clean {folder}`."
                )
            click.echo(
                f"Serving a generated ontology of {classes:,} classes (sample data, not EFO)"
            )
            before = _rows_written(warehouse)
            with running_sample(
                ontology=SAMPLE.ontology, classes=classes, release=release
            ) as sample:
                _materialize(folder, sample)
            published = warehouse.current_release()
            if published is not None:
                click.echo(f"Published: {published.name} (release {published.release_id})")
            written = _rows_written(warehouse) - before
            click.echo(
                f"{written:,} rows written" if written else "Nothing changed: 0 rows written"
            )
            click.echo(tabulate(warehouse.row_counts(), headers=["table", "rows"], intfmt=","))
            _questions(warehouse)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise EfoError(
            f"The demo can't use {folder} ({error.strerror}): try --data-dir."
        ) from error


def _materialize(folder: Path, sample: Sample) -> None:
    """Run Dagster's command, its log in a file; show the end of the log if it fails.

    Raises:
        EfoError: it failed.
    """
    click.echo(f"Materializing the asset graph from {sample.url} into the embedded PostgreSQL")
    variables = {
        "EFO_OLS_URL": sample.url,
        "EFO_ONTOLOGY": sample.identity.ontology,
        "EFO_DATA_DIR": str(folder),
        "DAGSTER_DISABLE_TELEMETRY": "1",
    }
    began = time.monotonic()
    log = folder / "dagster.log"
    with open_nofollow(log, "wb") as output:
        done = subprocess.run(  # noqa: S603  # Dagster's own program
            [
                str(Path(sys.executable).with_name("dagster")),
                *("asset", "materialize", "-m", "efo_assets.definitions", "--select", "*"),
            ],
            # Elsewhere Dagster may find a `.env`, whose database goes before what is set here.
            cwd=folder,
            env=child_environment(variables),
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
    watched = {"schema": warehouse.schema, "tables": [table.name for table in TABLES]}
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
