"""One attempt to load, and what is armed to go wrong in it.

Faults arm a scene before the attempt; the run takes everything down again after it.
"""

import itertools
import random
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from efo_assets.sample.server import Sample
from efo_assets.settings import DatabaseTarget, Settings
from efo_assets_tests.databases import connected
from efo_assets_tests.faults.invariants import Oracle

Answering = Callable[[web.Request], Awaitable[web.StreamResponse | None]]
STAGING_AND_LATER = ("C5", "C6", "C7", "B1", "C8", "C9", "C10", "C11", "C12")


@dataclass
class Scene:
    """What a fault may touch."""

    chance: random.Random
    sample: Sample
    settings: Settings
    oracle: Oracle
    admin: DatabaseTarget
    """The same database, as a superuser."""
    answering: list[Answering] = field(default_factory=list)
    """Each may answer a request in the server's stead."""
    crash_point: str = ""
    """Where the load, then in a process of its own, ends."""
    afterwards: ExitStack = field(default_factory=ExitStack)
    """Undone when the attempt has ended."""
    _at_points: list[tuple[str, Callable[[], None]]] = field(default_factory=list)

    @property
    def pages_dir(self) -> Path:
        """The root of the page store."""
        return self.settings.data_dir / "pages"

    def at(self, point: str, passing: int, act: Callable[[], None]) -> None:
        """Have `act` called once, when the load passes a crash point for the so manieth time."""
        left = itertools.count(1 - passing)

        def act_in_time() -> None:
            if next(left) == 0:
                act()

        self._at_points.append((point, act_in_time))

    def passed(self, point: str) -> None:
        """Do what is to be done at a crash point."""
        for wanted, act in self._at_points:
            if wanted == point:
                act()

    async def answer(self, request: web.Request) -> web.StreamResponse | None:
        """The first answer that a fault has for a request."""
        for each in self.answering:
            answer = await each(request)
            if answer is not None:
                return answer
        return None

    def command(self, statement: str) -> None:
        """Run a statement as a superuser, in a transaction of its own."""
        with connected(self.admin, autocommit=True) as admin:
            admin.execute(statement)

    def asks_for_page(self, request: web.Request) -> bool:
        """Whether a page is asked for, rather than what is served or how much."""
        return request.query.get("size") == str(self.settings.page_size)
