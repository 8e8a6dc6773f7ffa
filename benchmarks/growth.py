"""How a first load grows: time per class, memory and disk at some sizes and in other shapes.

`python -m benchmarks.growth` loads ontologies in EFO's shape and in two others, each through
`dagster asset materialize` from a server that has rendered all pages before, and prints the time
per class, the memory, and the ratios of both to those of the load that `--measure` names; then what
questions along the hierarchy take. `taxonomy:2600000 taxonomy:2600000:function` are NCBITaxon's
size and shape, with ancestors by a table and by a function.
"""

import argparse
import sys
from itertools import groupby
from typing import NamedTuple

from benchmarks.__main__ import answers, by_psql, environment_of, materialized
from benchmarks.measure import MEGABYTE, Run, fresh_home, heading
from benchmarks.server import Sample, sample_server

LOADS = ("efo:20000", "efo:94000", "efo:400000", "taxonomy:1000000", "chains:1000000")
MEASURE = "efo:94000"
SIZES = """
select pg_total_relation_size(coalesce(to_regclass('efo_ancestor_edges'), 'efo_ancestors')),
    sum(pg_total_relation_size(c.oid))
from pg_class as c
where c.relkind = 'r' and c.relnamespace = 'public'::regnamespace
"""


class What(NamedTuple):
    """What is loaded."""

    shape: str
    classes: int
    ancestors: str

    @classmethod
    def of(cls, told: str) -> "What":
        """What `SHAPE:CLASSES` or `SHAPE:CLASSES:function` says."""
        shape, classes, *ancestors = told.split(":")
        return cls(shape, int(classes), *(ancestors or ["table"]))


class Growth(NamedTuple):
    """One load, and what it took."""

    what: What
    run: Run
    ancestors_mb: float
    tables_mb: float
    answers: str

    @property
    def figures(self) -> tuple[float, float, float]:
        """Milliseconds and milliseconds of processors per class, and megabytes."""
        per_class_ms = 1000 / self.what.classes
        run = self.run
        return run.seconds * per_class_ms, run.cpu_seconds * per_class_ms, run.peak_mb


def main() -> None:
    """Measure the loads that the command line names, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("loads", nargs="*", default=LOADS, help="each as SHAPE:CLASSES[:function]")
    parser.add_argument("--measure", default=MEASURE, help="the load that ratios are taken to")
    parser.add_argument("--url", help="of a sample server that serves these classes already")
    options = parser.parse_args()
    every = map(What.of, dict.fromkeys((*options.loads, options.measure)))
    growths: dict[What, Growth] = {}
    for (shape, classes, _), alike in groupby(every, lambda what: (what.shape, what.classes, 0)):
        if options.url:
            growths |= {what: _growth(Sample(options.url), what) for what in alike}
            continue
        with sample_server(classes, "--shape", shape, releases=1) as sample:
            growths |= {what: _growth(sample, what) for what in alike}
    told = heading("python -m benchmarks.growth", None)
    table = _table(list(growths.values()), growths[What.of(options.measure)])
    asked = [
        f"{each.what.shape} of {each.what.classes:,} by {each.what.ancestors}: {each.answers}\n"
        for each in growths.values()
    ]
    sys.stdout.write("\n".join([f"{told}\n", table, *asked]))


def _growth(sample: Sample, what: What) -> Growth:
    with fresh_home() as home:
        told = f"first load of {what.classes:,} in shape {what.shape}, by {what.ancestors}"
        by = {"EFO_ANCESTORS": what.ancestors}
        run = materialized(sample, home, told, what.classes, **by).run
        environment = environment_of(sample, home)
        sizes = by_psql(environment, SIZES).split("|")
        ancestors_mb, tables_mb = (int(size) / MEGABYTE for size in sizes)
        growth = Growth(what, run, ancestors_mb, tables_mb, answers(environment, "--hierarchy"))
        sys.stderr.write(f"{growth}\n")
        return growth


def _table(growths: list[Growth], measure: Growth) -> str:
    head = ["shape", "classes", "ancestors by", "wall s", "ms a class", "ratio", "CPU ms a class"]
    head += ["ratio", "memory, MB", "ratio", "PostgreSQL, MB", "ancestors on disk, MB"]
    head += ["all tables, MB"]
    lines = [f"| {' | '.join(head)} |", f"| --- |{' ---: |' * (len(head) - 1)}"]
    for each in growths:
        shape, classes, ancestors = each.what
        cells = [shape, f"{classes:,}", ancestors, f"{each.run.seconds:.1f}"]
        for figure, base in zip(each.figures, measure.figures, strict=True):
            cells += [f"{figure:.3g}", f"{figure / base:.2f}"]
        cells += [f"{each.run.postgres_peak_mb:.0f}", f"{each.ancestors_mb:,.0f}"]
        lines.append(f"| {' | '.join([*cells, f'{each.tables_mb:,.0f}'])} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
