"""One run of the campaign: some releases loaded under faults, and every row compared each time.

A run is made of rounds. In each, a release is served and loads are attempted, first under faults
and at last without, which must end well at the first try. The seed draws everything; what threads
do in between is all that may differ when it is replayed.
"""

import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from aiohttp import web

from efo_assets.errors import EfoError
from efo_assets.sample.ontology import release
from efo_assets.sample.server import Sample, running_sample
from efo_assets.settings import DatabaseTarget, Settings
from efo_assets_tests.chaos.faults import FAULTS, IN_THIS_PROCESS, Fault
from efo_assets_tests.chaos.readers import Reader
from efo_assets_tests.chaos.scene import Scene
from efo_assets_tests.databases import own_database
from efo_assets_tests.faults.crash_points import listening
from efo_assets_tests.faults.engine import load_once, settings_for
from efo_assets_tests.faults.invariants import Oracle, kept_pages
from efo_assets_tests.faults.one_load import FAILED, INTERRUPTED, Nursery
from efo_assets_tests.faults.worlds import page_of

MOST_ROUNDS = 3
MOST_ATTEMPTS = 2
"""Under faults, in one round."""
FEWEST_FAULTS, MOST_FAULTS = 2, 6
FEWEST_CLASSES, MOST_CLASSES = 150, 260
KILLED_SHARE = 0.4
"""Of the attempts under faults."""
ENDS_OF_A_PROCESS = (0, FAILED, INTERRUPTED, -signal.SIGKILL)
SHORTEST_SENTENCE = 40
PATIENCE_S = 30.0


@dataclass
class RunRecord:
    """What became of one run."""

    seed: int
    log: list[str] = field(default_factory=list)
    tally: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


def run(seed: int, server: DatabaseTarget, nursery: Nursery) -> RunRecord:
    """Run one seed. Whatever goes wrong is raised with the log so far as a note.

    Raises:
        AssertionError: something that must always hold doesn't.
        Exception: the engine failed in a way that it has no sentence for.
    """
    record, began_s = RunRecord(seed), time.monotonic()
    try:
        with _stage(random.Random(seed), record, server, nursery) as stage:
            stage.play()
    except BaseException as error:
        error.add_note("\n".join(record.log))
        raise
    record.seconds = time.monotonic() - began_s
    return record


@contextmanager
def _stage(
    chance: random.Random, record: RunRecord, server: DatabaseTarget, nursery: Nursery
) -> Iterator["_Stage"]:
    answerer = _Answerer()
    classes, ontology_seed = chance.randint(FEWEST_CLASSES, MOST_CLASSES), chance.randrange(10_000)
    with (
        TemporaryDirectory(prefix="efo-chaos-") as folder,
        running_sample(classes=classes, seed=ontology_seed, intercept=answerer.answer) as sample,
        own_database(server) as database,
        Reader(database) as reader,
    ):
        in_flight = chance.randint(1, 6)
        settings = settings_for(sample.url, database, Path(folder), max_in_flight=in_flight)
        oracle = Oracle(database, classes, ontology_seed)
        admin = DatabaseTarget({**server.parameters, "dbname": database.parameters["dbname"]})
        yield _Stage(chance, record, nursery, answerer, sample, settings, oracle, admin, reader)
        record.tally["statements"] += reader.statements


@dataclass
class _Answerer:
    """Lets the faults of the scene that is played answer requests."""

    scene: Scene | None = None

    async def answer(self, request: web.Request) -> web.StreamResponse | None:
        return await self.scene.answer(request) if self.scene else None


@dataclass
class _Stage:
    """Where a run is played."""

    chance: random.Random
    record: RunRecord
    nursery: Nursery
    answerer: _Answerer
    sample: Sample
    settings: Settings
    oracle: Oracle
    admin: DatabaseTarget
    reader: Reader

    def play(self) -> None:
        """Play all rounds."""
        for number in range(self.chance.randint(2, MOST_ROUNDS)):
            if number and self.chance.random() < 0.8:  # else the same again
                self.sample.publish(self.sample.state.release + 1)
            for _ in range(self.chance.randint(1, MOST_ATTEMPTS)):
                self._attempt_under_faults()
            self._attempt_without()

    def _attempt_under_faults(self) -> None:
        scene = Scene(self.chance, self.sample, self.settings, self.oracle, self.admin)
        before = self.oracle.standing()
        with scene.afterwards:
            self._say(f"release {self.sample.state.release}, under faults:")
            is_killed = self.chance.random() < KILLED_SHARE
            for fault in self._drawn(is_killed=is_killed):
                self._arm(scene, fault)
            self.answerer.scene = scene
            ended = self._end_of(scene, is_apart=is_killed)
            self.answerer.scene = None
            self._say(f"  {ended}")
        # OLS has never gone back to a release that it served before for good.
        self.sample.publish(max(self.sample.state.release, self.oracle.standing() or 1))
        after = self._assert_well()
        self.record.tally["attempts under faults"] += 1
        self.record.tally["publications under faults"] += before != after

    def _drawn(self, *, is_killed: bool) -> list[Fault]:
        """Two to six faults, of as many groups as there are before any group has a second."""
        groups = [name for name in FAULTS if not (is_killed and name in IN_THIS_PROCESS)]
        groups = [name for name in groups if name != "process"]
        self.chance.shuffle(groups)
        count = self.chance.randint(FEWEST_FAULTS, MOST_FAULTS) - is_killed
        drawn = [self.chance.choice(FAULTS[groups[n % len(groups)]]) for n in range(count)]
        ends = [self.chance.choice(FAULTS["process"])] if is_killed else []
        return list(dict.fromkeys(drawn)) + ends

    def _arm(self, scene: Scene, fault: Fault) -> None:
        does = fault(scene)
        if does:
            self._say(f"  {fault.__name__}: {does}")
            self.record.tally["faults"] += 1

    def _end_of(self, scene: Scene, *, is_apart: bool) -> str:
        if is_apart:
            done = self.nursery.load(self.settings, scene.crash_point)
            assert done.returncode in ENDS_OF_A_PROCESS, done.stderr
            if done.returncode == FAILED:
                _assert_sentence(done.stderr.strip())
            return f"ended with {done.returncode} {done.stderr.strip()}"
        try:
            with listening(scene.passed):
                return f"published {load_once(self.settings).release}"
        except EfoError as error:
            _assert_sentence(str(error))
            return f"{type(error).__name__}: {error}"

    def _attempt_without(self) -> None:
        """Load with nothing in the way: it ends well, and asks for no page that is kept."""
        served = release(self.oracle.classes, self.oracle.seed, self.sample.state.release)
        kept = kept_pages(self.settings.data_dir, served)
        self.sample.requests.clear()
        done = load_once(self.settings)
        self._say(f"release {self.sample.state.release}, without: {done.written} rows written")
        assert self._assert_well() == self.sample.state.release
        self.oracle.assert_dead_are_gone()
        size = str(self.settings.page_size)
        asked = {page_of(a.query) for a in self.sample.requests if a.query.get("size") == size}
        assert not asked & kept, f"kept and asked for again: {sorted(asked & kept)}"
        self.record.tally["attempts without"] += 1

    def _assert_well(self) -> int | None:
        self._wait_for_sessions_to_end()
        standing = self.oracle.assert_well()
        self.reader.assert_whole()
        return standing

    def _wait_for_sessions_to_end(self) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while self.oracle.clients():
            assert time.monotonic() < deadline_s, "a session outlived its load"

    def _say(self, text: str) -> None:
        self.record.log.append(text)


def _assert_sentence(text: str) -> None:
    """One line, long enough to say what, where, what is kept and what to do, of no traceback."""
    assert "\n" not in text, text
    assert len(text) >= SHORTEST_SENTENCE, text
    assert text.endswith("."), text
