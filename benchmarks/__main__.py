"""`make bench`: everything the README claims about speed, memory and requests, in one run.

Against the sample server, in one table: first load, the same release again, the next release, its
files, and a first load with its files, each through the real `dagster asset materialize`; the
engine alone; a plain script that proves nothing; the method of earlier pipelines, scaled up;
questions to what was loaded; once without latency and once with the latency model. Then the peak
memory of a first load at two sizes. Writes Markdown with the machine's data to
`benchmarks/results.md`.
"""

import argparse
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.engine import COPIED, WORDS
from benchmarks.measure import MEGABYTE, Run, fresh_home, heading, isolated, timed
from benchmarks.server import LATENCY, NO_LATENCY, Sample, sample_server

RESULTS = Path(__file__).with_name("results.md")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table."""

    what: str
    run: Run
    requests: int
    in_flight: int
    megabytes: float
    rows: int
    written: int | None


def main() -> None:
    """Measure all of it and write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--classes", type=int, default=94_000)
    parser.add_argument("--earlier-classes", type=int, default=2_000)
    parser.add_argument("--memory-classes", type=int, nargs=2, default=(20_000, 200_000))
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    sections = [heading("make bench", options.classes)]
    with sample_server(options.classes) as sample:
        for latency in (NO_LATENCY, LATENCY):
            sample.configure(release=1, **latency)
            sections.append(_measured(sample, options.classes, options.earlier_classes, latency))
    sections.append(_memory(options.memory_classes))
    text = "\n\n".join(sections) + "\n"
    options.output.write_text(text)
    sys.stdout.write(text)


def _measured(sample: Sample, classes: int, few: int, latency: dict[str, float]) -> str:
    with fresh_home() as home:
        first = materialized(sample, home, "first load", classes)
        again = materialized(sample, home, "the same release again", classes)
        sample.configure(release=2)
        following = materialized(sample, home, "the next release", classes)
        files = materialized(sample, home, "its files", classes, "group:exports")
        answered = answers(environment_of(sample, home))
    sample.configure(release=1)
    with fresh_home() as home:
        whole = materialized(sample, home, "first load with its files", classes, "*")
    with fresh_home() as home:
        with_semsql = [
            materialized(sample, home, f"{what}, with SemSQL", classes, EFO_SEMSQL="1")
            for what in (first.what, again.what)
        ]
    with fresh_home() as home:
        engine, parts = _engine(sample, home, classes)
    with fresh_home() as home:
        plain = _plain(sample, home, classes)
    earlier = _earlier(sample, few, classes)
    base_ms, row_ms = latency.values()
    title = "No latency" if not base_ms else f"{base_ms:.0f} ms + {row_ms:.0f} ms a row of latency"
    return "\n".join(
        [
            f"### {title}",
            "",
            _table([first, again, following, files, whole, *with_semsql, engine, plain]),
            "",
            (
                f"Parts of the engine's first load, in seconds: {_listed(parts)}. "
                f"Dagster's share of it: {first.run.seconds - engine.run.seconds:.1f} s."
            ),
            "",
            _price(engine, plain, parts[COPIED]),
            "",
            _optional([first, again], with_semsql, files, parts[WORDS]),
            "",
            answered,
            "",
            _compared(first, parts[COPIED], earlier, few, classes),
        ]
    )


def answers(environment: dict[str, str], *options: str) -> str:
    """Ask the questions of `benchmarks.questions`, and say how long the answers took."""
    command = [sys.executable, "-m", "benchmarks.questions", *options]
    done = subprocess.run(
        command, env=isolated(environment), stdout=subprocess.PIPE, text=True, check=True
    )
    answered: dict[str, tuple[int, float]] = json.loads(done.stdout)
    listed = (f"{what} ({rows:,} rows) {ms:.1f}" for what, (rows, ms) in answered.items())
    return f"Questions to the warm database, in milliseconds: {', '.join(listed)}."


def environment_of(sample: Sample, home: Path) -> dict[str, str]:
    """The settings of a load from the sample server into the embedded PostgreSQL in `home`."""
    dagster_home = home / "dagster"
    dagster_home.mkdir(parents=True, exist_ok=True)
    shutil.copy("dagster.yaml", dagster_home)
    return {
        "EFO_OLS_URL": sample.url,
        "EFO_DATA_DIR": str(home / "data"),
        "DAGSTER_HOME": str(dagster_home),
    }


def materialized(
    sample: Sample, home: Path, what: str, classes: int, select: str = "*efo_terms", **settings: str
) -> Line:
    """One run of Dagster's own command, and the rows that it wrote."""
    sys.stderr.write(f"{what} …\n")
    dagster = str(Path(sys.executable).with_name("dagster"))
    command = [dagster, "asset", "materialize", "-m", "efo_assets.definitions", "--select", select]
    environment = environment_of(sample, home)
    sample.reset()
    run = timed(command, environment | settings, home)
    return _line(sample, what, run, classes, _ledger(environment))


def _line(sample: Sample, what: str, run: Run, classes: int, written: int | None) -> Line:
    counters = sample.counters()
    return Line(
        what,
        run,
        counters["total"],
        counters["max_in_flight"],
        counters["bytes"] / MEGABYTE,
        classes,
        written,
    )


def _ledger(environment: dict[str, str]) -> int:
    """Rows written by this run, as PostgreSQL counts them over all published tables."""
    query = (
        "select coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0) from pg_stat_user_tables"
        " where schemaname = 'public' and relname like 'efo%'"
    )
    return int(by_psql(environment, query, "select pg_stat_reset()").split()[0])


def by_psql(environment: dict[str, str], *statements: str) -> str:
    """What psql prints of these statements on the database that was loaded."""
    command = [sys.executable, "-m", "efo_assets", "psql", "-XAtq"]
    command += [part for each in statements for part in ("-c", each)]
    return subprocess.run(
        command, env=isolated(environment), stdout=subprocess.PIPE, text=True, check=True
    ).stdout


def _engine(sample: Sample, home: Path, classes: int) -> tuple[Line, dict[str, float]]:
    line = _script(sample, home, "first load, engine without Dagster", classes, "engine")
    parts: dict[str, float] = json.loads((home / "log").read_text().splitlines()[-1])
    return line, parts


def _plain(sample: Sample, home: Path, classes: int) -> Line:
    what = "plain script: pages, COPY, keys; nothing proven, derived or kept"
    return _script(sample, home, what, classes, "plain", sample.url)


def _script(
    sample: Sample, home: Path, what: str, classes: int, module: str, *arguments: str
) -> Line:
    sys.stderr.write(f"{what} …\n")
    sample.reset()
    command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
    return _line(sample, what, timed(command, environment_of(sample, home), home), classes, None)


def _earlier(sample: Sample, few: int, classes: int) -> dict[str, Any]:
    sys.stderr.write("the method of earlier pipelines …\n")
    command = [sys.executable, "-m", "benchmarks.earlier", sample.url, str(few)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    earlier: dict[str, Any] = json.loads(done.stdout)
    scale = classes / earlier["terms"]
    scaled = {"scaled_s": earlier["seconds"] * scale, "scaled_n": earlier["requests"] * scale}
    return earlier | scaled


def _memory(sizes: tuple[int, int]) -> str:
    """Peak memory of a first load at two sizes."""
    runs = []
    for classes in sizes:
        with sample_server(classes) as sample, fresh_home() as home:
            runs.append(materialized(sample, home, f"first load of {classes:,}", classes).run)
    rows = [
        f"| {size:,} | {run.peak_mb:.0f} | {run.postgres_peak_mb:.0f} |"
        for size, run in zip(sizes, runs, strict=True)
    ]
    (few, fewer_mb), (many, more_mb) = zip(sizes, (run.peak_mb for run in runs), strict=True)
    return "\n".join(
        [
            "### Memory of a first load through Dagster",
            "",
            "| classes | MB | PostgreSQL, MB |",
            "| ---: | ---: | ---: |",
            *rows,
            "",
            f"{many / few:.0f} times the classes take {more_mb / fewer_mb:.2f} times the memory.",
        ]
    )


def _table(lines: list[Line]) -> str:
    head = ["| | wall s | CPU s | requests | in flight | MB received | classes/s | rows written |"]
    head[0] += " memory, MB | PostgreSQL, MB |"
    head += [f"| --- |{' ---: |' * (head[0].count('|') - 2)}"]
    rows = [
        f"| {line.what} | {line.run.seconds:.1f} | {line.run.cpu_seconds:.1f} | {line.requests} "
        f"| {line.in_flight} | {line.megabytes:.1f} | {line.rows / line.run.seconds:,.0f} "
        f"| {'-' if line.written is None else f'{line.written:,}'} | {line.run.peak_mb:.0f} "
        f"| {line.run.postgres_peak_mb:.0f} |"
        for line in lines
    ]
    return "\n".join([*head, *rows])


def _price(engine: Line, plain: Line, copied_s: float) -> str:
    return (
        f"The engine takes {engine.run.seconds / plain.run.seconds:.2f} times as long as a plain "
        f"script for the same pages, {engine.run.seconds - plain.run.seconds:.1f} s more (and "
        f"{engine.run.cpu_seconds / plain.run.cpu_seconds:.2f} times the CPU time): that is what "
        "proofs, derived tables, audit and publication cost. Its four copied tables alone, "
        f"proven whole and staged, take {copied_s:.1f} s."
    )


def _optional(without: list[Line], with_semsql: list[Line], files: Line, words_s: float) -> str:
    ratios = (
        f"{semsql.run.seconds / line.run.seconds:.2f} times for {line.what}"
        for line, semsql in zip(without, with_semsql, strict=True)
    )
    return (
        f"What is beside the tables: words for `efo_search`, {words_s:.1f} s of publish; files and "
        f"the report of the release, {files.run.seconds:.1f} s in a run of their own; SemSQL's "
        f"schema, where it is wanted, {' and '.join(ratios)}."
    )


def _compared(first: Line, copied_s: float, earlier: dict[str, Any], few: int, classes: int) -> str:
    return (
        "Earlier method (terms, synonyms and parents; no cross references, no derived tables, no "
        f"proof), first {few:,} classes: {earlier['seconds']:.1f} s and "
        f"{earlier['requests']:,} requests; scaled to {classes:,}: {earlier['scaled_s']:,.0f} s "
        f"and {earlier['scaled_n']:,.0f} requests. Ratio of time to our four copied tables alone: "
        f"**{earlier['scaled_s'] / copied_s:.3g}x**; to the whole first load: "
        f"**{earlier['scaled_s'] / first.run.seconds:.3g}x**; of requests: "
        f"**{earlier['scaled_n'] / first.requests:.3g}x**."
    )


def _listed(parts: dict[str, float]) -> str:
    return ", ".join(f"{name} {seconds:.1f}" for name, seconds in parts.items())


if __name__ == "__main__":
    main()
