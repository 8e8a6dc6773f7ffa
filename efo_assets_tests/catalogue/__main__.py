"""The campaign: `make catalogue`, or `python -m efo_assets_tests.catalogue`.

Loads the sample's catalogue, bad ontologies included: by backfills with so many runs at once, by
the sensor, and by the sensor while the daemon, a run and PostgreSQL are killed. Prints what it
took; each pass must end with every sound ontology as the oracle says, and each bad one told.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from efo_assets.sample.catalogue import BAD, Member, spread
from efo_assets_tests.catalogue.pictures import take
from efo_assets_tests.catalogue.scene import Scene, Served, patiently
from efo_assets_tests.databases import ask_in
from efo_assets_tests.faults.cluster import running_cluster
from efo_assets_tests.graph.materializing import published_ancestors, published_rows
from efo_assets_tests.oracle.derived import expected_ancestors
from efo_assets_tests.oracle.rows import expected_rows

NEVER_S = 86_400
KILLED = ("daemon", "run", "PostgreSQL")
STATES = {
    "noversion": "published",
    "cyclic": "refused",
    "unlabelled": "refused",
    "empty": "failed",
    "failing": "failed",
}
ANCESTORS_UP_TO = 20_000
"""Classes: a set of millions of rows takes gigabytes in Python."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the passes; an assertion fails where one doesn't end as it must."""
    parser = argparse.ArgumentParser(prog="python -m efo_assets_tests.catalogue")
    parser.add_argument("--ontologies", type=int, default=27)
    parser.add_argument("--scale", type=float, default=0.005)
    parser.add_argument("--latency-ms", type=float, default=20.0)
    parser.add_argument("--passes", nargs="*", default=["1", "2", "4", "sensor", "kills"])
    parser.add_argument("--patience-s", type=float, default=10_800.0)
    parser.add_argument("--pictures", type=Path, help="folder for pictures of the first pass")
    options = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="efo-c-"))
    folder.chmod(0o755)
    members = spread(options.ontologies, options.scale)
    classes = sum(member.classes for member in members)
    print(f"{len(members):,} sound ontologies with {classes:,} classes, {len(BAD)} bad ones")
    served = Served(folder, options.ontologies, options.scale, options.latency_ms)
    try:
        with running_cluster(folder / "pg") as cluster:
            cluster.stop()
            # As many locks as a question over all ontologies takes (docs/operations.md).
            cluster.start(
                max_connections="200", max_locks_per_transaction="256", shared_buffers="256MB"
            )
            for name in options.passes:
                at_once = int(name) if name.isdecimal() else 4
                confirm_s = NEVER_S if name.isdecimal() else 1
                scene = Scene(
                    _made(folder / name),
                    cluster,
                    served,
                    at_once=at_once,
                    confirm_s=confirm_s,
                    backoff_s=20.0 if name == "kills" else 300.0,
                )
                pictures = options.pictures if name == options.passes[0] else None
                _pass(name, scene, members, options.patience_s, pictures)
    finally:
        served.process.terminate()
        served.process.wait()
        shutil.rmtree(folder)
    return 0


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _pass(
    name: str, scene: Scene, members: Sequence[Member], patience_s: float, pictures: Path | None
) -> None:
    everything = {"sample", *(member.ontology for member in (*members, *BAD))}
    scene.served.reset()
    with scene.running():
        began_s = time.monotonic()
        patiently(lambda: set(scene.partitions()) == everything, "each ontology is a partition")
        if name.isdecimal():
            scene.backfill(sorted(everything - {members[-1].ontology}))
        sound = everything - STATES.keys() | {"noversion"}
        launched = {members[-1].ontology} if name.isdecimal() else set()

        def published() -> int:
            return sum(state == "published" for state, _ in scene.states().values())

        for number, what in enumerate(KILLED if name == "kills" else (), start=1):
            wanted = len(sound) * number // (len(KILLED) + 1)
            patiently(lambda least=wanted: published() >= least, f"{wanted} stand", patience_s)
            scene.kill(what)
            print(f"  killed when {published()} stood: {what}", flush=True)

        def is_over() -> bool:
            runs = scene.runs()
            ended = {"SUCCESS", "FAILURE", "CANCELED"}
            told = scene.states()
            return (
                sum(runs.get(status, 0) for status in ended) == sum(runs.values())
                and told.keys() >= everything - launched
                and all(told[each][0] == "published" for each in sound - launched)
            )

        try:
            patiently(is_over, "each run ended and each sound ontology stands", patience_s, 0.5)
        except AssertionError:
            print(scene.runs(), scene.states(), *scene.last_words(), sep="\n")
            raise
        seconds = time.monotonic() - began_s
        counts, runs = scene.served.counts(), scene.runs()
        for partition in launched:
            launch_began_s = time.monotonic()
            scene.launch(partition)
            print(f"  dg launch of {partition}: {time.monotonic() - launch_began_s:.1f} s")
        waits = sorted(scene.waits.values())
        print(
            f"pass {name}: {seconds:.1f} s, runs {runs}, {counts['total']:,} requests, at most "
            f"{counts['max_in_flight']} in flight; {len(waits)} waited for the lock of the ledger, "
            f"{sum(waits):.2f} s in all, at most {max(waits, default=0.0):.2f} s",
            flush=True,
        )
        if not name.isdecimal():
            _look_again(scene)
        if pictures is not None:
            ui = f"http://127.0.0.1:{scene.ports['webserver']}"
            take(ui, scene.graphql, pictures, ontology=members[0].ontology, failed="empty")
    _compare(scene, members)


def _look_again(scene: Scene) -> None:
    """Nothing is new: the list is read, and no run requested."""
    ticks, runs = scene.ticks(), scene.runs()
    # A tick that was under way has its requests counted before.
    patiently(lambda: scene.ticks() > ticks, "the sensor looks again")
    scene.served.reset()
    patiently(lambda: scene.ticks() > ticks + 1, "the sensor looks again")
    requests = scene.served.counts()["total"]
    more = sum(scene.runs().values()) - sum(runs.values())
    print(f"  looked again: {requests} requests, {more} runs", flush=True)
    assert more == 0, "what failed waits for its next try, and nothing else is due"


def _compare(scene: Scene, members: Sequence[Member]) -> None:
    """Compare every row with the oracle's, and each state with what it must be."""
    began_s, rows, by_count = time.monotonic(), 0, 0
    for member in members:
        ask = partial(ask_in, scene.database, member.ontology)
        expected, found = expected_rows(member.release()), published_rows(ask)
        for table, those in found.items():
            assert those == getattr(expected, table), f"{table} of {member.ontology} differs"
            rows += len(those)
        if member.classes <= ANCESTORS_UP_TO:
            assert published_ancestors(ask) == expected_ancestors(expected.parent_edges)
        else:
            by_count += 1
    told = scene.states()
    assert {name: told[name][0] for name in STATES} == STATES, told
    assert all(why for state, why in told.values() if state in ("failed", "refused"))
    print(
        f"  {rows:,} rows as the oracle says ({time.monotonic() - began_s:.1f} s), ancestors of "
        f"all but {by_count} too; bad ones: "
        + ", ".join(f"{name} {told[name][0]}" for name in STATES),
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
