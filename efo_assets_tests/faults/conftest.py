"""One server, and one world with release 1 published, for all cases of a module."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from efo_assets.settings import DatabaseTarget
from efo_assets_tests.faults.worlds import (
    RefusingSample,
    World,
    base_world,
    empty_world,
    loaded_world,
    refusing_sample,
)


@pytest.fixture(scope="module")
def ols() -> Iterator[RefusingSample]:
    with refusing_sample() as made:
        yield made


@pytest.fixture(scope="module")
def base(
    server: DatabaseTarget, ols: RefusingSample, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    with base_world(server, ols, tmp_path_factory.mktemp("base")) as made:
        yield made


@pytest.fixture
def fresh(server: DatabaseTarget, ols: RefusingSample, tmp_path: Path) -> Iterator[World]:
    """A world in which nothing is there yet."""
    with empty_world(server, ols, tmp_path) as made:
        yield made


@pytest.fixture
def loaded(
    server: DatabaseTarget, ols: RefusingSample, base: World, tmp_path: Path
) -> Iterator[World]:
    """A world in which release 1 is published."""
    with loaded_world(server, ols, base, tmp_path) as made:
        yield made
