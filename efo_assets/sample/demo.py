"""`make demo`: the whole graph on generated data, with nothing to set up.

Starts the sample OLS server, materializes every asset with Dagster's own command into the embedded
PostgreSQL, and prints what came of it. All of it ends with this process; the tables stay in the
data directory, so that a second run shows that an unchanged release writes nothing.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from tabulate import tabulate

from efo_assets.errors import EfoError
from efo_assets.privacy.scrub import scrubbed
from efo_assets.settings import Settings, child_environment
from efo_assets.warehouse.tables import TABLES
from efo_assets.warehouse.warehouse import Warehouse

START_TIMEOUT_S = 60.0
POLL_S = 0.05
LOG_LINES_SHOWN = 25


def run_demo(folder: Path, classes: int, release: int) -> None:
    """Run the demo with its data in `folder`.

    Raises:
        EfoError: the folder can't be used, a server doesn't start, or Dagster failed.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _run(folder, classes, release)
    except OSError as error:
        raise EfoError(
            f"The demo can't use {folder} ({error.strerror}): try --data-dir."
        ) from error


def _run(folder: Path, classes: int, release: int) -> None:
    settings = Settings.from_environment({"EFO_DATA_DIR": str(folder)})
    # Opened first: the embedded server then outlives Dagster's process and answers afterwards.
    with Warehouse.opened(settings) as warehouse:
        _say(f"Serving a generated ontology of {classes:,} classes (sample data, not EFO)")
        with _sample_server(folder, classes, release) as url:
            _say(f"Materializing the asset graph from {url} into the embedded PostgreSQL")
            before = _rows_written(warehouse)
            began = time.monotonic()
            _materialize(folder, url)
            seconds = time.monotonic() - began
            _report(warehouse, seconds, _requests(url), _rows_written(warehouse) - before)
        _questions(warehouse)


@contextmanager
def _sample_server(folder: Path, classes: int, release: int) -> Iterator[str]:
    port_file = folder / "sample.port"
    port_file.unlink(missing_ok=True)
    command = [sys.executable, "-m", "efo_assets", "sample", "--port", "0"]
    command += ["--classes", str(classes), "--release", str(release), "--port-file", str(port_file)]
    with (folder / "sample.log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)  # noqa: S603  # our own program
        try:
            yield f"http://127.0.0.1:{_port(server, port_file)}"
        finally:
            server.terminate()
            server.wait()


def _port(server: "subprocess.Popen[bytes]", port_file: Path) -> int:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and server.poll() is None:
        if port_file.exists():
            return int(port_file.read_text())
        time.sleep(POLL_S)
    raise EfoError(f"The sample server did not start; see {port_file.parent / 'sample.log'}.")


def _materialize(folder: Path, url: str) -> None:
    """Run Dagster's command, its log in a file; show the end of the log if it fails.

    Raises:
        EfoError: it failed.
    """
    environment = child_environment(
        {
            "EFO_OLS_URL": url,
            "EFO_DATA_DIR": str(folder),
            **dict.fromkeys(
                ("EFO_DATABASE_URL", "EFO_SCHEMA", "EFO_ONTOLOGY", "EFO_LIMIT", "EFO_PAGE_SIZE"), ""
            ),
        }
    )
    dagster = Path(sys.executable).with_name("dagster")
    command = [str(dagster), "asset", "materialize", "-m", "efo_assets.definitions"]
    log = folder / "dagster.log"
    with log.open("wb") as output:
        done = subprocess.run(  # noqa: S603  # Dagster's own program
            [*command, "--select", "*"],
            env=environment,
            stdout=output,
            stderr=output,
            check=False,
        )
    if done.returncode:
        for line in log.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:]:
            sys.stderr.write(f"{scrubbed(line)}\n")
        raise EfoError(f"Dagster failed; its whole log is {log}.")


def _requests(url: str) -> dict[str, Any]:
    from urllib.request import urlopen  # noqa: PLC0415  # one request to our own server

    with urlopen(f"{url}/_sample/requests") as answer:  # noqa: S310  # on the loopback
        return msgspec.json.decode(answer.read(), type=dict[str, Any])


def _report(
    warehouse: Warehouse, seconds: float, requests: dict[str, Any], rows_written: int
) -> None:
    _say(
        f"Done in {seconds:.1f} s: {requests['total']:,} requests, "
        f"{requests['max_in_flight']} at most in flight"
    )
    release = warehouse.current_release()
    if release is not None:
        _say(f"Published: {release.name} (release {release.release_id})")
    _say(f"{rows_written:,} rows written" if rows_written else "Nothing changed: 0 rows written")
    rows = warehouse.ask("row_counts", {})
    sys.stdout.write(tabulate(rows, headers=["table", "rows"], intfmt=",") + "\n")


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
    _say(f"\n{question}")
    sys.stdout.write(tabulate(rows, headers=headers) + "\n")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
