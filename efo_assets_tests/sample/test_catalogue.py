"""The sample catalogue: listed as by OLS, made when asked for, and loaded as the oracle knows."""

import json
import tracemalloc
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import click
import psycopg
import pytest
from click.testing import CliRunner

from efo_assets.__main__ import cli
from efo_assets.sample.catalogue import BAD, FEWEST, LARGEST, SHAPED_FROM, Member, spread
from efo_assets.sample.server import Sample, running_sample
from efo_assets.settings import DatabaseTarget
from efo_assets_tests.databases import connected
from efo_assets_tests.faults.engine import load_once, settings_for
from efo_assets_tests.graph.materializing import published_ancestors, published_rows
from efo_assets_tests.oracle.derived import expected_ancestors
from efo_assets_tests.oracle.rows import expected_rows
from efo_assets_tests.pipeline.test_recordings import RECORDED

COUNT = 47
OWL = "http://www.w3.org/2002/07/owl#"
DOCUMENTS = sorted((RECORDED / "v2").glob("*.ontology.json"))


@pytest.fixture(scope="module")
def catalogue() -> Iterator[Sample]:
    with running_sample(ontology="sample", catalogue=(*spread(COUNT, 0.01), *BAD)) as running:
        yield running


def get(sample: Sample, path: str) -> Any:
    with urlopen(f"{sample.url}/ols4/api/v2/ontologies{path}") as answer:
        return json.load(answer)


def listed(sample: Sample) -> list[str]:
    """The ids of all ontologies, page by page as OLS serves them by default."""
    pages = [get(sample, f"?page={number}") for number in range(get(sample, "")["totalPages"])]
    return [each["ontologyId"] for page in pages for each in page["elements"]]


def status(sample: Sample, path: str) -> int:
    try:
        get(sample, path)
    except HTTPError as error:
        error.close()
        return error.code
    return 200


def test_the_list_comes_in_pages_of_20_that_make_the_whole(catalogue: Sample) -> None:
    first, last, beyond = (get(catalogue, f"?page={number}") for number in (0, 2, 3))
    total = COUNT + len(BAD) + 1
    assert {**first, "elements": []} == {
        "page": 0,
        "numElements": 20,
        "totalPages": 3,
        "totalElements": total,
        "elements": [],
        "facetFieldsToCounts": {},
    }
    assert (last["numElements"], len(last["elements"])) == (total - 40, total - 40)
    assert (beyond["numElements"], beyond["elements"]) == (0, [])
    ids = listed(catalogue)
    assert ids == sorted({"sample", *catalogue.catalogue})
    assert len(get(catalogue, "?size=500")["elements"]) == total


def test_what_is_listed_is_the_document_of_each_ontology(catalogue: Sample) -> None:
    for each in get(catalogue, "?size=500")["elements"]:
        if each["ontologyId"] != "failing":
            assert get(catalogue, f"/{each['ontologyId']}") == each


@pytest.mark.skipif(not DOCUMENTS, reason=f"no recordings at {RECORDED}")
def test_a_document_has_all_that_every_recorded_one_has(catalogue: Sample) -> None:
    shapes = [
        {(name, type(value)) for name, value in json.loads(path.read_text()).items()}
        for path in DOCUMENTS
    ]
    document = get(catalogue, "/sample001")
    assert set.intersection(*shapes) <= {(name, type(each)) for name, each in document.items()}
    assert {"loaded", f"{OWL}versionIRI", f"{OWL}versionInfo"} <= document.keys()


def test_sizes_are_spread_as_those_of_ols() -> None:
    sizes = [member.classes for member in spread(270)]
    assert sum(sizes) == pytest.approx(11_000_000, rel=0.05)
    assert sizes == sorted(sizes)
    assert sizes[-1] == LARGEST
    assert sum(size < 10_000 for size in sizes) > 180
    scaled = [member.classes for member in spread(270, 0.05)]
    assert sum(scaled) == pytest.approx(550_000, rel=0.05)
    assert scaled[0] == FEWEST


def test_listing_270_ontologies_makes_no_class() -> None:
    with running_sample(catalogue=spread(270)) as sample:
        tracemalloc.start()
        assert len(listed(sample)) == 271
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak_bytes < 5_000_000


def test_totals_are_those_of_the_member(catalogue: Sample) -> None:
    for member in list(catalogue.catalogue.values())[:COUNT:9]:
        query = f"/{member.ontology}/classes?size=1&includeObsoleteEntities=true"
        assert get(catalogue, query)["totalElements"] == member.classes
        assert len(member.release().classes) == member.classes


def test_each_bad_one_is_bad_in_its_own_way(catalogue: Sample) -> None:
    assert {f"{OWL}versionIRI", f"{OWL}versionInfo"}.isdisjoint(get(catalogue, "/noversion"))
    classes = get(catalogue, "/unlabelled/classes?size=1000")["elements"]
    assert classes
    assert not any("label" in each for each in classes)
    assert get(catalogue, "/empty")["numberOfClasses"] == "0"
    assert get(catalogue, "/empty/classes")["totalElements"] == 0
    assert "failing" in listed(catalogue)
    assert [status(catalogue, f"/failing{path}") for path in ("", "/classes")] == [500, 500]
    parents = {
        each["iri"]: each["directParent"][0]
        for each in get(catalogue, "/cyclic/classes?size=1000")["elements"]
    }
    above = start = next(iter(parents))
    for _ in parents:
        above = parents[above]
        if above == start:
            break
    assert above == start, "no class is above itself"


def test_a_hidden_ontology_is_neither_listed_nor_known_until_it_is_back(
    catalogue: Sample,
) -> None:
    runner = CliRunner()

    def hide(*ontologies: str) -> None:
        done = runner.invoke(cli, ["sample", "hide", *ontologies, "--url", catalogue.url])
        assert done.exit_code == 0, done.output

    before = listed(catalogue)
    hide("sample001", "sample")
    assert listed(catalogue) == [each for each in before if each not in ("sample", "sample001")]
    assert status(catalogue, "/sample001") == 404
    assert get(catalogue, "/sample001/classes")["totalElements"] == 0
    hide()
    assert listed(catalogue) == before


def test_one_ontology_gets_a_release_and_the_others_keep_theirs(catalogue: Sample) -> None:
    def versions() -> dict[str, str]:
        documents = get(catalogue, "?size=500")["elements"]
        return {each["ontologyId"]: each.get(f"{OWL}versionInfo", "") for each in documents}

    before = versions()
    for ontology in ("sample002", "sample040"):
        words = ["sample", "release", "2", "--ontology", ontology, "--url", catalogue.url]
        assert CliRunner().invoke(cli, words).exit_code == 0
    assert versions() == before | {"sample002": "2.0", "sample040": "2.0"}
    catalogue.state.releases.clear()


def test_requests_are_counted_over_all_ontologies(catalogue: Sample) -> None:
    catalogue.reset()
    for path in ("", "/sample001", "/sample002/classes", "/failing", "/nosuch/classes"):
        status(catalogue, path)
    with urlopen(f"{catalogue.url}/_sample/requests") as answer:
        counts = json.load(answer)
    assert (counts["total"], counts["max_in_flight"]) == (5, 1)


@pytest.mark.parametrize("words", [["--catalogue", "1"], ["--catalogue", "3", "--scale", "0"]])
def test_no_such_catalogue_is_one_sentence(words: list[str]) -> None:
    with pytest.raises(click.BadParameter):
        CliRunner().invoke(cli, ["sample", *words], catch_exceptions=False, standalone_mode=False)


def test_three_of_them_in_one_database_are_as_the_oracle_knows_them(
    database: DatabaseTarget, tmp_path: Path
) -> None:
    members = [Member("small", FEWEST), Member("middle", 300), Member("large", SHAPED_FROM)]

    def ask(schema: str, query: str) -> list[tuple[Any, ...]]:
        with connected(database) as connection:
            path = psycopg.sql.Identifier(schema)
            connection.execute(psycopg.sql.SQL("set search_path to {}").format(path))
            # In the schema of its name, an ontology's tables have plain names.
            return connection.execute(query.replace("efo_", "")).fetchall()

    with running_sample(ontology="sample", catalogue=members) as sample:
        for number in (1, 2):
            sample.publish(number)
            for member in members:
                settings = settings_for(
                    sample.url,
                    database,
                    tmp_path,
                    ontology=member.ontology,
                    schema=member.ontology,
                    page_size=500,
                    allow_shrink=True,  # one class that goes is 5 % of the smallest
                )
                load_once(settings)
        for member in members:
            schema_asked = partial(ask, member.ontology)
            expected = expected_rows(member.release(2))
            published = published_rows(schema_asked)
            assert {each: getattr(expected, each) for each in published} == published
            ancestors = published_ancestors(schema_asked)
            assert ancestors == expected_ancestors(expected.parent_edges)
