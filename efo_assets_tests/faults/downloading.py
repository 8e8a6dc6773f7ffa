"""A download from the fake OLS as tests ask for it, and what must be true after every one."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

from efo_assets.errors import EfoError
from efo_assets.ols import download as engine
from efo_assets.ols.client import OlsClient
from efo_assets.ols.download import Download
from efo_assets.ols.page_store import PageStore
from efo_assets.ols.reading import PageWork, ReadPage, Task
from efo_assets.ols.stored_pages import PageSet
from efo_assets_tests.faults.fake_ols import FakeOls

PAGE_SIZE = 10
OF_A_DOWNLOAD = ("page_size", "limit", "on_progress")
MOST_FOLDERS = 3
"""The download in hand, the complete one before it, and one that can be resumed."""


class Keeping:
    """Reads pages in a thread, one after the other, and makes no rows of them."""

    def __init__(self) -> None:
        self._work = PageWork()
        self._thread = ThreadPoolExecutor(1)

    async def begin(self, page_set: PageSet) -> None:
        pass

    async def drop(self) -> None:
        pass

    async def read(self, task: Task, body: bytes) -> ReadPage:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._work.read, task, body)

    async def take(self, page: ReadPage) -> None:
        pass

    async def settle(self) -> None:
        # What was cancelled goes on, and comes before this.
        await asyncio.get_running_loop().run_in_executor(self._thread, lambda: None)


class Pauses:
    """Stands in for sleeping: remembers, and gives the turn to others."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        await asyncio.sleep(0)


def download(ols: FakeOls | str, folder: Path, ontology: str = "efo", **options: Any) -> Download:
    """Download with small pages; options go to the client or to the download."""
    asked = {name: options.pop(name) for name in OF_A_DOWNLOAD if name in options}
    options.setdefault("pause", Pauses())

    async def run() -> Download:
        async with OlsClient(ols if isinstance(ols, str) else ols.url, **options) as client:
            asked.setdefault("page_size", PAGE_SIZE)
            return await engine.download(client, PageStore(folder), Keeping(), ontology, **asked)

    return asyncio.run(run())


def iris(done: Download) -> list[str]:
    """The IRI of every row, in order, from the store."""
    return [
        element["iri"]
        for page in done.page_set.bodies()
        for element in msgspec.json.decode(bytes(page.body).removeprefix(b"\xef\xbb\xbf"))[
            "elements"
        ][: page.rows]
    ]


def assert_whole(done: Download, ols: FakeOls, number: int = 1) -> None:
    """Every class of one release once (I5), and no good page asked for twice (I4)."""
    downloaded = iris(done)
    assert len(downloaded) == len(set(downloaded))
    assert set(downloaded) == ols.iris(number)
    assert done.page_set.complete
    assert ols.pages_answered_twice == []


def refused(
    ols: FakeOls | str,
    folder: Path,
    kind: type[EfoError] | tuple[type[EfoError], ...],
    match: str,
    **options: Any,
) -> str:
    """Expect a download to fail with one sentence, and no release to count; that sentence."""
    with pytest.raises(kind, match=match) as caught:
        download(ols, folder, **options)
    sentence = str(caught.value)
    advice = ("run again", "set EFO_OLS_URL", "EFO_ONTOLOGY")
    assert any(words in sentence for words in advice), sentence
    assert "\n" not in sentence
    assert PageStore(folder).latest("efo") is None
    kept = [path for path in folder.glob("efo/*") if path.is_dir()]
    assert len(kept) <= MOST_FOLDERS
    assert not list(folder.rglob("*.part"))
    return sentence
