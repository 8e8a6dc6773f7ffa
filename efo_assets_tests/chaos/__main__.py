"""The campaign: `make chaos RUNS=1000 SEED=1`, or `python -m efo_assets_tests.chaos`.

One PostgreSQL server, a process per core, a database and an OLS per run. A seed that fails prints
what was armed, what went wrong, and the command that replays it.
"""

import argparse
import itertools
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager
from multiprocessing import get_context
from pathlib import Path

from efo_assets.settings import DatabaseTarget
from efo_assets.warehouse.embedded import embedded_server, remove
from efo_assets_tests.chaos.run import RunRecord
from efo_assets_tests.chaos.workers import begin, one
from efo_assets_tests.databases import OWNER, connected

TOLD_EVERY = 50


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the seeds; return 1 if one failed, 130 if stopped by Ctrl-C or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m efo_assets_tests.chaos", description=__doc__)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1, help="of the first run")
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--verbose", action="store_true", help="print the log of every run")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    began_s, tally = time.monotonic(), Counter[str]()
    seeds = range(options.seed, options.seed + options.runs)
    try:
        with closing(_records(seeds, options.processes)) as records:
            for seed, record in zip(seeds, records, strict=True):
                _count(seed, record, tally, options.runs, is_verbose=options.verbose)
    except KeyboardInterrupt:
        sys.stdout.write(f"stopped after {tally['runs']:,} runs, {tally['failed']:,} failed\n")
        return 130
    elapsed_s = time.monotonic() - began_s
    facts = "\n".join(f"{count:>9,}  {name}" for name, count in tally.items())
    sys.stdout.write(f"{facts}\n{elapsed_s:9.1f}  seconds, seeds {seeds[0]} to {seeds[-1]}\n")
    return bool(tally["failed"])


def _count(
    seed: int, record: RunRecord | str, tally: Counter[str], runs: int, *, is_verbose: bool
) -> None:
    tally["runs"] += 1
    tally.update({"failed": 1} if isinstance(record, str) else record.tally)
    _tell(seed, record, is_verbose=is_verbose)
    if tally["runs"] % TOLD_EVERY == 0:
        sys.stdout.write(f"{tally['runs']:,} of {runs:,} runs\n")
    sys.stdout.flush()


def _tell(seed: int, record: RunRecord | str, *, is_verbose: bool) -> None:
    if isinstance(record, str):
        sys.stdout.write(f"{record}seed {seed} failed; replay: make chaos RUNS=1 SEED={seed}\n")
    elif is_verbose:
        log = "\n".join(record.log)
        sys.stdout.write(f"seed {seed}, {record.seconds:.2f} s\n{log}\n")


def _records(seeds: range, processes: int) -> Generator[RunRecord | str, None, None]:
    with (
        _server() as server,
        ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=begin) as pool,
    ):
        yield from pool.map(one, seeds, itertools.repeat(server), chunksize=1)


@contextmanager
def _server() -> Iterator[DatabaseTarget]:
    folder = Path(tempfile.mkdtemp(prefix="efo-c-"))
    folder.chmod(0o755)
    try:
        with embedded_server(folder, is_durable=False) as target:
            with connected(target, autocommit=True) as admin:
                admin.execute(f"create role {OWNER} login")
            yield target
    finally:
        remove(folder)
        shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
