"""One server, and one world with release 1 published, for all cases of a module."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from efo_assets.settings import DatabaseTarget
from efo_assets_tests.faults.fake_ols import FakeOls, fake_ols
from efo_assets_tests.faults.worlds import (
    CLASSES,
    SEED,
    World,
    base_world,
    empty_world,
    loaded_world,
)


@pytest.fixture(scope="module")
def ols() -> Iterator[FakeOls]:
    with fake_ols(classes=CLASSES, seed=SEED) as ols:
        yield ols


@pytest.fixture(scope="module")
def base(
    server: DatabaseTarget, ols: FakeOls, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    with base_world(server, ols, tmp_path_factory.mktemp("base")) as world:
        yield world


@pytest.fixture
def fresh(server: DatabaseTarget, ols: FakeOls, tmp_path: Path) -> Iterator[World]:
    """A world in which nothing is there yet."""
    with empty_world(server, ols, tmp_path) as world:
        yield world


@pytest.fixture
def loaded(server: DatabaseTarget, ols: FakeOls, base: World, tmp_path: Path) -> Iterator[World]:
    """A world in which release 1 is published."""
    with loaded_world(server, ols, base, tmp_path) as world:
        yield world
