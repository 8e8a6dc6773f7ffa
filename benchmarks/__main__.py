"""`make bench`: everything the README claims about speed, memory and requests, in one run.

Against the sample server, in one table: first load, the same release again, the next release, its
files, and a first load with its files, each through the real `dagster asset materialize`; the
engine alone; the method of earlier pipelines, scaled up; questions to what was loaded; once without
latency and once with the latency model. Then the peak memory of a first load at two sizes. Writes
Markdown with the machine's data to `benchmarks/results.md`.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.measure import MEGABYTE, Run, timed
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
    sections = [_heading(options.classes)]
    with sample_server(options.classes) as sample:
        for latency in (NO_LATENCY, LATENCY):
            sample.configure(release=1, **latency)
            sections.append(_measured(sample, options.classes, options.earlier_classes, latency))
    sections.append(_memory(options.memory_classes))
    text = "\n\n".join(sections) + "\n"
    options.output.write_text(text)
    sys.stdout.write(text)


def _measured(sample: Sample, classes: int, few: int, latency: dict[str, float]) -> str:
    with tempfile.TemporaryDirectory(prefix="efo-bench-") as folder:
        home = Path(folder)
        first = _materialized(sample, home, "first load", classes)
        again = _materialized(sample, home, "the same release again", classes)
        sample.configure(release=2)
        following = _materialized(sample, home, "the next release", classes)
        files = _materialized(sample, home, "its files", classes, "group:exports")
        answers = _answers(_environment(sample, home))
        sample.configure(release=1)
        whole = _materialized(sample, home / "whole", "first load with its files", classes, "*")
        _drop(home / "whole")
        engine, parts = _engine(sample, home / "engine", classes)
        _drop(home)
    earlier = _earlier(sample, few, classes)
    base_ms, row_ms = latency.values()
    title = "No latency" if not base_ms else f"{base_ms:.0f} ms + {row_ms:.0f} ms a row of latency"
    return "\n".join(
        [
            f"### {title}",
            "",
            _table([first, again, following, files, whole, engine]),
            "",
            (
                f"Parts of the engine's first load, in seconds: {_listed(parts)}. "
                f"Dagster's share of it: {first.run.seconds - engine.run.seconds:.1f} s."
            ),
            "",
            answers,
            "",
            _compared(first, earlier, few, classes),
        ]
    )


def _answers(environment: dict[str, str]) -> str:
    command = [sys.executable, "-m", "benchmarks.questions"]
    done = subprocess.run(
        command, env=os.environ | environment, stdout=subprocess.PIPE, text=True, check=True
    )
    answers: dict[str, tuple[int, float]] = json.loads(done.stdout)
    listed = (f"{what} ({rows:,} rows) {ms:.1f}" for what, (rows, ms) in answers.items())
    return f"Questions to the warm database, in milliseconds: {', '.join(listed)}."


def _environment(sample: Sample, home: Path) -> dict[str, str]:
    dagster_home = home / "dagster"
    dagster_home.mkdir(parents=True, exist_ok=True)
    shutil.copy("dagster.yaml", dagster_home)
    return {
        "EFO_OLS_URL": sample.url,
        "EFO_DATA_DIR": str(home / "data"),
        "DAGSTER_HOME": str(dagster_home),
    }


def _materialized(
    sample: Sample, home: Path, what: str, classes: int, select: str = "*efo_terms"
) -> Line:
    """One run of Dagster's own command."""
    sys.stderr.write(f"{what} …\n")
    dagster = str(Path(sys.executable).with_name("dagster"))
    command = [dagster, "asset", "materialize", "-m", "efo_assets.definitions", "--select", select]
    environment = _environment(sample, home)
    sample.reset()
    run = timed(command, environment, home / "log")
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
    reset = "select pg_stat_reset()"
    command = [sys.executable, "-m", "efo_assets", "psql", "-XAtqc", query, "-c", reset]
    done = subprocess.run(
        command, env=os.environ | environment, stdout=subprocess.PIPE, text=True, check=True
    )
    return int(done.stdout.split()[0])


def _engine(sample: Sample, home: Path, classes: int) -> tuple[Line, dict[str, float]]:
    sys.stderr.write("the engine without Dagster …\n")
    home.mkdir()
    sample.reset()
    log = home / "log"
    run = timed([sys.executable, "-m", "benchmarks.engine"], _environment(sample, home), log)
    parts: dict[str, float] = json.loads(log.read_text().splitlines()[-1])
    return _line(sample, "first load, engine without Dagster", run, classes, None), parts


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
    peaks = []
    for classes in sizes:
        with (
            sample_server(classes) as sample,
            tempfile.TemporaryDirectory(prefix="efo-bench-") as folder,
        ):
            line = _materialized(sample, Path(folder), f"first load of {classes:,}", classes)
            _drop(Path(folder))
        peaks.append(line.run.peak_mb)
    rows = [f"| {size:,} | {peak:.0f} |" for size, peak in zip(sizes, peaks, strict=True)]
    return "\n".join(
        [
            "### Memory of a first load through Dagster",
            "",
            "| classes | MB |",
            "| ---: | ---: |",
            *rows,
            "",
            (
                f"{sizes[1] / sizes[0]:.0f} times the classes take {peaks[1] / peaks[0]:.2f} times "
                "the memory."
            ),
        ]
    )


def _drop(home: Path) -> None:
    from efo_assets.warehouse.embedded import remove  # noqa: PLC0415  # only where one was made

    for data_dir in (home / "data", home / "engine" / "data"):
        if data_dir.exists():
            remove(data_dir)


def _table(lines: list[Line]) -> str:
    head = [
        "| | wall s | requests | in flight | MB | classes/s | rows written | MB | PostgreSQL, MB |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    rows = [
        f"| {line.what} | {line.run.seconds:.1f} | {line.requests} | {line.in_flight} "
        f"| {line.megabytes:.1f} | {line.rows / line.run.seconds:,.0f} "
        f"| {'-' if line.written is None else f'{line.written:,}'} | {line.run.peak_mb:.0f} "
        f"| {line.run.postgres_peak_mb:.0f} |"
        for line in lines
    ]
    return "\n".join([*head, *rows])


def _compared(first: Line, earlier: dict[str, Any], few: int, classes: int) -> str:
    return (
        f"Earlier method, first {few:,} classes: {earlier['seconds']:.1f} s and "
        f"{earlier['requests']:,} requests; scaled to {classes:,}: {earlier['scaled_s']:,.0f} s "
        f"and {earlier['scaled_n']:,.0f} requests. Ratio of time: "
        f"**{earlier['scaled_s'] / first.run.seconds:.3g}x**; of requests: "
        f"**{earlier['scaled_n'] / first.requests:.3g}x**."
    )


def _listed(parts: dict[str, float]) -> str:
    return ", ".join(f"{name} {seconds:.1f}" for name, seconds in parts.items())


def _heading(classes: int) -> str:
    return (
        f"Measured {datetime.now(UTC):%Y-%m-%d} by `make bench` on {os.cpu_count()} cores "
        f"({platform.machine()}, {_memory_gb():.0f} GB), Python {platform.python_version()}, "
        f"generated data, {classes:,} classes; server and client share the cores."
    )


def _memory_gb() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


if __name__ == "__main__":
    main()
