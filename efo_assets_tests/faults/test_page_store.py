"""Damage to the page store, seeded: noticed, said, and asked for again."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from efo_assets.errors import PageStoreError
from efo_assets.ols.page_store import PageStore
from efo_assets.ols.stored_pages import MANIFEST, DamagedManifest, PageSet
from efo_assets_tests.faults.downloading import download, iris
from efo_assets_tests.faults.fake_ols import FakeOls, fake_ols

pytestmark = pytest.mark.fault("X21")
Damage = Callable[[random.Random, bytes], bytes]
CLASSES = 60


def flipped(chance: random.Random, text: bytes) -> bytes:
    at = chance.randrange(len(text))
    return text[:at] + bytes([text[at] ^ (1 << chance.randrange(8))]) + text[at + 1 :]


def no_utf_8(chance: random.Random, text: bytes) -> bytes:
    at = chance.randrange(len(text))
    return text[:at] + bytes([chance.randrange(0x80, 0x100)]) + text[at + 1 :]


def another_digit(chance: random.Random, text: bytes) -> bytes:
    at = chance.choice([at for at, byte in enumerate(text) if chr(byte).isdigit()])
    return text[:at] + b"%d" % ((text[at] - 47) % 10) + text[at + 1 :]


def zeroed(chance: random.Random, text: bytes) -> bytes:
    begin = chance.randrange(len(text))
    end = min(len(text), begin + chance.randrange(1, 600))
    return text[:begin] + bytes(end - begin) + text[end:]


def shortened(chance: random.Random, text: bytes) -> bytes:
    begin = chance.randrange(len(text))
    return text[:begin] + text[begin + chance.randrange(1, 300) :]


def inserted(chance: random.Random, text: bytes) -> bytes:
    at = chance.randrange(len(text))
    return text[:at] + chance.choice([b"\n", b"\0", b"[" * 5000, b"\xff", b"1"]) + text[at:]


def a_line_less(chance: random.Random, text: bytes) -> bytes:
    lines = text.splitlines(keepends=True)
    del lines[chance.randrange(len(lines))]
    return b"".join(lines)


def a_line_twice(chance: random.Random, text: bytes) -> bytes:
    lines = text.splitlines(keepends=True)
    lines.insert(chance.randrange(len(lines)), chance.choice(lines))
    return b"".join(lines)


DAMAGES = [flipped, no_utf_8, another_digit, zeroed, shortened, inserted, a_line_less, a_line_twice]
damages = pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)


@pytest.fixture
def ols() -> Iterator[FakeOls]:
    with fake_ols(classes=CLASSES) as ols:
        yield ols


@pytest.fixture
def pages(ols: FakeOls, tmp_path: Path) -> PageSet:
    """Two complete downloads; the newer one, which is release 2."""
    download(ols, tmp_path)
    ols.release = 2
    return download(ols, tmp_path).page_set


@damages
def test_a_damaged_manifest_is_never_taken_for_another(
    damage: Damage, pages: PageSet, tmp_path: Path
) -> None:
    manifest = pages.folder / MANIFEST
    text = manifest.read_bytes()
    noticed = 0
    for seed in range(400):
        damaged = damage(random.Random(f"{damage.__name__} {seed}"), text)
        manifest.write_bytes(damaged)
        try:
            latest = PageStore(tmp_path).latest("efo")
        except DamagedManifest as error:
            noticed += f"lines of {manifest} are damaged" in str(error) and "fetch" in str(error)
            continue
        # Whole lines that are gone, or a last one without its end, look like a download that was
        # interrupted; then the older one is the newest that is complete.
        assert latest is not None
        if latest.folder == pages.folder:
            assert (latest.plan, latest.entries) == (pages.plan, pages.entries)
        else:
            assert set(damaged.splitlines(keepends=True)) < set(text.splitlines(keepends=True)) or (
                not damaged.endswith(b"\n")
            )
    assert noticed > 200 or damage in (a_line_less, a_line_twice)


@damages
def test_a_damaged_manifest_is_mended_by_the_next_download(
    damage: Damage, ols: FakeOls, pages: PageSet, tmp_path: Path
) -> None:
    manifest = pages.folder / MANIFEST
    text = manifest.read_bytes()
    for seed in range(12):
        damaged = damage(random.Random(f"{damage.__name__} {seed}"), text)
        manifest.write_bytes(damaged)
        done = download(ols, tmp_path)
        assert set(iris(done)) == ols.iris(2)
        latest = PageStore(tmp_path).latest("efo")
        assert latest is not None
        assert latest.plan.release == pages.plan.release
        if done.fetched > 1:
            is_cut = damage is a_line_less or not damaged.endswith(b"\n")
            assert is_cut or "damaged" in "".join(done.notes)


@damages
def test_a_damaged_page_is_noticed_said_and_asked_for_again(
    damage: Damage, ols: FakeOls, pages: PageSet, tmp_path: Path
) -> None:
    files = sorted(pages.folder.glob("*.json.gz"))
    for seed in range(12):
        chance = random.Random(f"{damage.__name__} {seed}")
        file = chance.choice(files)
        body = file.read_bytes()
        damaged = damage(chance, body)
        if damaged == body:
            continue
        file.write_bytes(damaged)
        with pytest.raises(PageStoreError, match="isn't what was stored"):
            list(pages.bodies())
        done = download(ols, tmp_path)
        assert done.fetched == 1
        assert f"the hash of {file.name} differs" in done.notes[0]
        assert set(iris(done)) == ols.iris(2)
