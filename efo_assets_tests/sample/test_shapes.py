"""The other shapes of the generated ontology: what they promise, and that they load as they are."""

import tracemalloc
from collections import Counter
from functools import partial
from pathlib import Path
from time import process_time

import pytest

from efo_assets.sample.documents import Documents
from efo_assets.sample.ontology import GeneratedRelease
from efo_assets.sample.server import running_sample
from efo_assets.sample.shapes import LEVELS, LONG_CHAIN, SHAPES, ShapeName, shaped_release
from efo_assets.settings import DatabaseTarget
from efo_assets.warehouse.closure import MOST_LEVELS
from efo_assets_tests.databases import ask
from efo_assets_tests.faults.engine import load_once, settings_for
from efo_assets_tests.graph.materializing import published_ancestors, published_rows
from efo_assets_tests.oracle.derived import expected_ancestors
from efo_assets_tests.oracle.rows import expected_rows

MILLION = 1_000_000


def levels(made: GeneratedRelease) -> list[int]:
    """How many ancestors each class has, found by its parents."""
    depths: dict[str, int] = {}
    for each in made.classes:  # a parent stands before its children
        (parent,) = each.parents or (None,)
        depths[each.iri] = 0 if parent is None else depths[parent.iri] + 1
    return list(depths.values())


@pytest.mark.parametrize("classes", [20, 38, 100, 5_000])
def test_a_taxonomy_has_one_root_one_parent_each_and_38_levels(classes: int) -> None:
    made = shaped_release("taxonomy", classes)
    sizes = Counter(levels(made))
    assert len(sizes) == min(LEVELS, classes)
    assert sizes[0] == 1
    assert sum(sizes.values()) == len({each.iri for each in made.classes}) == classes


def test_its_classes_have_about_as_many_ancestors_as_those_of_ncbitaxon() -> None:
    found = levels(shaped_release("taxonomy", 50_000))
    assert sum(found) / len(found) == pytest.approx(26, rel=0.1)


def test_a_chain_is_as_long_as_is_loaded_and_the_mean_is_near_a_taxonomys() -> None:
    found = levels(shaped_release("chains", 60_000))
    assert max(found) == LONG_CHAIN - 1 == MOST_LEVELS
    assert sum(found) / len(found) == pytest.approx(35, rel=0.2)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("classes", [20, 777, 3_000])
def test_arithmetic_agrees_with_the_parents(name: ShapeName, classes: int) -> None:
    made = shaped_release(name, classes)
    parents = {parent.iri for each in made.classes for parent in each.parents}
    for each in made.classes:
        assert made.by_iri[each.iri] == each
        assert made.has_children(each) == (each.iri in parents)
        assert set(made.ancestors(each)) == set(GeneratedRelease.ancestors(made, each))
    assert [each.iri for each in made.classes] == sorted(made.by_iri)
    assert "http://example.org/none_0000001" not in made.by_iri


@pytest.mark.parametrize("name", SHAPES)
def test_the_next_release_relabels_a_quarter_of_a_per_cent(name: ShapeName) -> None:
    first, second = (shaped_release(name, 4_000, number) for number in (1, 2))
    differ = [
        after.iri
        for before, after in zip(first.classes, second.classes, strict=True)
        if before != after
    ]
    assert tuple(differ) == second.changes["relabelled"]
    assert len(differ) == 10


@pytest.mark.parametrize("name", SHAPES)
def test_pages_of_a_million_classes_take_little_memory_and_no_start(name: ShapeName) -> None:
    tracemalloc.start()
    began = process_time()
    made = shaped_release(name, MILLION)
    documents = Documents(made, "C")
    for first in range(0, MILLION, 200_000):
        rows = [documents.v2_class(each) for each in made.classes[first : first + 100]]
        assert len(rows) == 100
    took_s = process_time() - began
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 10_000_000
    assert took_s < 20  # tracing makes it ten times as slow


@pytest.mark.parametrize("name", SHAPES)
def test_two_releases_are_loaded_as_the_oracle_knows_them(
    name: ShapeName, database: DatabaseTarget, tmp_path: Path
) -> None:
    with running_sample(classes=700, shape=name) as sample:
        settings = settings_for(sample.url, database, tmp_path, page_size=200)
        for number in (1, 2):
            sample.publish(number)
            load_once(settings)
            expected = expected_rows(shaped_release(name, 700, number))
            published = published_rows(partial(ask, database))
            assert {each: getattr(expected, each) for each in published} == published
            ancestors = published_ancestors(partial(ask, database))
            assert ancestors == expected_ancestors(expected.parent_edges)
    assert ask(database, "select kind, count(*) from efo_changes group by 1") == [("relabelled", 2)]
