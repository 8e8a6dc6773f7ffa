"""`make bench-against REV=…`: an older commit and the working tree in turn, on one machine.

Both load what one warmed sample server of the working tree serves as EFO, the older commit from a
clone with an environment of its own: A B, then B A, and so on, so that a machine whose speed
changes strikes both. Prints the medians of both, and the ratio of the working tree's to the older
commit's. What the older commit can't do is left out.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

from benchmarks.measure import CommandFailed, Run, fresh_home, heading, timed
from benchmarks.server import LATENCY, NO_LATENCY, Sample, sample_server

HERE = Path(__file__).resolve().parent.parent
WORKING_TREE = "working tree"


class Step(NamedTuple):
    """One materialization, and what the server serves meanwhile."""

    what: str
    release: int = 1
    select: str = "*efo_terms"
    latency: dict[str, float] = NO_LATENCY


class Tree(NamedTuple):
    """What is measured."""

    name: str
    folder: Path
    settings: Mapping[str, str] = MappingProxyType({})


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

Runs: TypeAlias = dict[str, dict[str, list[Run]]]
"""By step and by tree."""


def main() -> None:
    """Measure both trees and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.against", description=__doc__)
    parser.add_argument("revision", help="the commit to compare with")
    parser.add_argument("--classes", type=int, default=94_000)
    parser.add_argument("--rounds", type=int, default=3)
    settings_help = "NAME=VALUE for the working tree, such as EFO_SEMSQL=1"
    parser.add_argument("--settings", nargs="*", default=[], help=settings_help)
    options = parser.parse_args()
    settings = dict(each.split("=", 1) for each in options.settings)
    runs: Runs = defaultdict(lambda: defaultdict(list))
    with tempfile.TemporaryDirectory(prefix="efo-against-") as folder:
        Path(folder).chmod(0o755)  # the embedded server runs its programs as another user
        older = _clone(options.revision, Path(folder) / "tree")
        trees = [Tree(options.revision, older), Tree(WORKING_TREE, HERE, settings)]
        # Before 0.1.0, a release was refused where a class lacks a label.
        with sample_server(options.classes, "--all-labelled") as sample:
            for number in range(options.rounds):
                sys.stderr.write(f"Round {number + 1} of {options.rounds}\n")
                for steps in DATABASES:
                    for tree in trees[:: -1 if number % 2 else 1]:
                        _measure(sample, tree, steps, runs)
    command = f"make bench-against REV={options.revision} ROUNDS={options.rounds}"
    if settings:
        command += f" SETTINGS='{' '.join(options.settings)}'"
    told = f"{heading(command, options.classes)} Medians of {options.rounds} rounds in turn"
    sys.stdout.write(f"{told}; {WORKING_TREE}: {_state()}.\n\n{_table(options.revision, runs)}")


def _clone(revision: str, tree: Path) -> Path:
    """A clone of this repository at the revision, with its own environment."""
    subprocess.run(["git", "clone", "--quiet", HERE, tree], check=True)
    subprocess.run(["git", "checkout", "--quiet", revision], cwd=tree, check=True)
    sys.stderr.write(f"Installing {revision} …\n")
    python = tree / ".venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", tree / ".venv"], check=True)
    install = ["-m", "pip", "install", "--quiet", "--editable", ".", "--constraint"]
    subprocess.run([python, *install, "constraints.txt"], cwd=tree, check=True)
    # As pip leaves what it installs; else the first run would pay for it.
    subprocess.run([python, "-m", "compileall", "-q", "efo_assets"], cwd=tree, check=True)
    return tree


def _state() -> str:
    """What the working tree holds, as git calls it."""
    command = ["git", "describe", "--always", "--dirty"]
    return subprocess.run(
        command, cwd=HERE, stdout=subprocess.PIPE, text=True, check=True
    ).stdout.strip()


def _measure(sample: Sample, tree: Tree, steps: tuple[Step, ...], runs: Runs) -> None:
    """Run the steps in one new database."""
    with fresh_home() as home:
        for step in steps:
            sys.stderr.write(f"{step.what}, {tree.name}: ")
            try:
                run = _run(sample, tree, home, step)
            except CommandFailed:
                if tree.name == WORKING_TREE:
                    raise
                return  # it may not be able to do what came later
            sys.stderr.write(f"{run.seconds:.1f} s\n")
            runs[step.what][tree.name].append(run)


def _run(sample: Sample, tree: Tree, home: Path, step: Step) -> Run:
    sample.configure(release=step.release, **step.latency)
    dagster_home = home / "dagster"
    dagster_home.mkdir(exist_ok=True)
    shutil.copy(tree.folder / "dagster.yaml", dagster_home)
    programs = tree.folder / ".venv" / "bin"
    environment = {
        **tree.settings,
        "EFO_OLS_URL": sample.url,
        "EFO_DATA_DIR": str(home / "data"),
        "DAGSTER_HOME": str(dagster_home),
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
    }
    command = [str(programs / "dagster"), "asset", "materialize"]
    command += ["-m", "efo_assets.definitions", "--select", step.select]
    return timed(command, environment, home, cwd=tree.folder)


def _table(revision: str, runs: Runs) -> str:
    figures = ("wall s", "CPU s", "memory, MB", "PostgreSQL, MB")
    lines = [f"| {revision} → {WORKING_TREE} |{''.join(f' {each} | ratio |' for each in figures)}"]
    lines.append(f"| --- |{' ---: |' * 2 * len(figures)}")
    for what, by_tree in runs.items():
        cells = [what]
        if revision in by_tree:
            pairs = zip(_medians(by_tree[revision]), _medians(by_tree[WORKING_TREE]), strict=True)
            for name, (before, now) in zip(Run._fields, pairs, strict=True):
                digits = 0 if name.endswith("mb") else 1
                cells += [f"{before:.{digits}f} → {now:.{digits}f}", f"{now / before:.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _medians(runs: list[Run]) -> list[float]:
    return [median(values) for values in zip(*runs, strict=True)]


if __name__ == "__main__":
    main()
