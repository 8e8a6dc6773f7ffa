"""`make bench-against REV=…`: an older commit and the working tree in turn, on one machine.

Both load what one warmed sample server serves, the older commit from a clone with an environment of
its own: A B, then B A, and so on, so that a machine whose speed changes strikes both. Prints the
medians of both, and the ratio of the working tree's to the older commit's.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.measure import Run, timed
from benchmarks.server import LATENCY, NO_LATENCY, Sample, sample_server

HERE = Path(__file__).resolve().parent.parent
WORKING_TREE = "working tree"


class Step(NamedTuple):
    """One materialization, and what the server serves meanwhile."""

    what: str
    release: int = 1
    select: str = "*efo_terms"
    latency: dict[str, float] = NO_LATENCY


DATABASES = (
    (
        Step("first load"),
        Step("the same release again"),
        Step("the next release", release=2),
        Step("its files", release=2, select="group:exports"),
    ),
    (Step("first load with its files", select="*"),),
    (Step("first load, with latency", latency=LATENCY),),
)
"""The steps in each new database."""


def main() -> None:
    """Measure both trees and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.against", description=__doc__)
    parser.add_argument("revision", help="the commit to compare with")
    parser.add_argument("--classes", type=int, default=94_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    runs: dict[str, dict[str, list[Run]]] = defaultdict(lambda: defaultdict(list))
    with tempfile.TemporaryDirectory(prefix="efo-against-") as folder:
        Path(folder).chmod(0o755)  # root's embedded server runs as another user
        trees = [(options.revision, _clone(options.revision, Path(folder) / "tree"))]
        trees.append((WORKING_TREE, HERE))
        with sample_server(options.classes) as sample:
            for number in range(options.rounds):
                for steps in DATABASES:
                    for name, tree in trees[:: -1 if number % 2 else 1]:
                        home = Path(folder) / "home"
                        for step in steps:
                            sys.stderr.write(f"{step.what}, {name} …\n")
                            runs[step.what][name].append(_run(sample, tree, home, step))
                        shutil.rmtree(home)
    sys.stdout.write(_table(options.revision, runs))


def _clone(revision: str, tree: Path) -> Path:
    """A clone of this repository at the revision, with its own environment."""
    subprocess.run(["git", "clone", "--quiet", str(HERE), str(tree)], check=True)
    subprocess.run(["git", "checkout", "--quiet", revision], cwd=tree, check=True)
    subprocess.run(["make", "--silent", ".venv/.installed"], cwd=tree, check=True)
    return tree


def _run(sample: Sample, tree: Path, home: Path, step: Step) -> Run:
    sample.configure(release=step.release, **step.latency)
    dagster_home = home / "dagster"
    dagster_home.mkdir(parents=True, exist_ok=True)
    shutil.copy(tree / "dagster.yaml", dagster_home)
    environment = {
        "EFO_OLS_URL": sample.url,
        "EFO_DATA_DIR": str(home / "data"),
        "DAGSTER_HOME": str(dagster_home),
        "PATH": f"{tree / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}",
    }
    command = [str(tree / ".venv" / "bin" / "dagster"), "asset", "materialize"]
    command += ["-m", "efo_assets.definitions", "--select", step.select]
    return timed(command, environment, home / "log", cwd=tree)


def _table(revision: str, runs: dict[str, dict[str, list[Run]]]) -> str:
    lines = [
        f"| | {revision}, s | {WORKING_TREE}, s | ratio | MB | ratio | PostgreSQL, MB | ratio |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for what, by_tree in runs.items():
        cells = [what]
        medians = [
            [median(figures) for figures in zip(*by_tree[name], strict=True)]
            for name in (revision, WORKING_TREE)
        ]
        for number, (before, now) in enumerate(zip(*medians, strict=True)):
            shown = [f"{before:.1f}", f"{now:.1f}"] if not number else [f"{before:.0f} → {now:.0f}"]
            cells += [*shown, f"{now / before:.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
