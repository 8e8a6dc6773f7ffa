"""How a first load grows: time per class and memory at some sizes and in other shapes.

`python -m benchmarks.growth` loads ontologies in EFO's shape and in two others, each through
`dagster asset materialize` from a server that has rendered all pages before, and prints the time
per class, the memory, and the ratios of both to those of the load that `--measure` names.
"""

import argparse
import sys
from typing import NamedTuple

from benchmarks.__main__ import materialized
from benchmarks.measure import Run, fresh_home, heading
from benchmarks.server import sample_server

LOADS = ("efo:20000", "efo:94000", "efo:400000", "taxonomy:1000000", "chains:1000000")
MEASURE = "efo:94000"


class Growth(NamedTuple):
    """One load: shape, size, and what it took."""

    shape: str
    classes: int
    run: Run

    @property
    def figures(self) -> tuple[float, float, float]:
        """Milliseconds and milliseconds of processors per class, and megabytes."""
        per_class_ms = 1000 / self.classes
        run = self.run
        return run.seconds * per_class_ms, run.cpu_seconds * per_class_ms, run.peak_mb


def main() -> None:
    """Measure the loads that the command line names, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("loads", nargs="*", default=LOADS, help="each as SHAPE:CLASSES")
    parser.add_argument("--measure", default=MEASURE, help="the load that ratios are taken to")
    options = parser.parse_args()
    growths = {load: _growth(load) for load in dict.fromkeys((*options.loads, options.measure))}
    told = heading("python -m benchmarks.growth", None)
    sys.stdout.write(f"{told}\n\n{_table(list(growths.values()), growths[options.measure])}")


def _growth(load: str) -> Growth:
    shape, _, classes = load.partition(":")
    server = sample_server(int(classes), "--shape", shape, releases=1)
    with server as sample, fresh_home() as home:
        line = materialized(sample, home, f"first load of {load}", int(classes))
    return Growth(shape, int(classes), line.run)


def _table(growths: list[Growth], measure: Growth) -> str:
    head = ["shape", "classes", "wall s", "ms a class", "ratio", "CPU ms a class", "ratio"]
    head += ["memory, MB", "ratio", "PostgreSQL, MB"]
    lines = [f"| {' | '.join(head)} |", f"| --- |{' ---: |' * (len(head) - 1)}"]
    for each in growths:
        cells = [each.shape, f"{each.classes:,}", f"{each.run.seconds:.1f}"]
        for figure, base in zip(each.figures, measure.figures, strict=True):
            cells += [f"{figure:.3g}", f"{figure / base:.2f}"]
        lines.append(f"| {' | '.join(cells)} | {each.run.postgres_peak_mb:.0f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
