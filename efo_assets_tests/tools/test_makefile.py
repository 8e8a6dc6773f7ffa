"""What `make` does beside starting commands that have tests of their own."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tools.readme import ROOT


@pytest.mark.parametrize(("words", "kept"), [((), {".efo"}), (("DATA=1",), set())])
def test_clean_says_what_goes_and_keeps_what_was_loaded_unless_told(
    tmp_path: Path, words: tuple[str, ...], kept: set[str]
) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in (".efo/demo/pages", ".efo/postgres-18", ".mypy_cache", "code/__pycache__"):
        (tmp_path / name).mkdir(parents=True)
    done = subprocess.run(
        ["make", "clean", *words], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert {path.name for path in tmp_path.iterdir()} == {"Makefile", "code"} | kept
    assert not (tmp_path / "code" / "__pycache__").exists()
    assert not (tmp_path / ".efo" / "demo").exists()
    gone, _, stays = done.stdout.partition("Keeping")
    assert "\t.mypy_cache\n" in gone
    assert (".efo\n" in gone) == (not kept)
    assert (".efo\n" in stays) == bool(kept)
