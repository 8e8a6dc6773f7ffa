"""The sample server answers as the contract says of each generation of OLS4."""

import gzip
import json
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

import pytest

from efo_assets.sample.documents import RDFS
from efo_assets.sample.ontology import release
from efo_assets.sample.server import Sample, running_sample

CLASSES = 120


def get(sample: Sample, path: str, **headers: str) -> Any:
    with urlopen(Request(f"{sample.url}{path}", headers=headers)) as answer:
        return json.loads(answer.read())


def classes(sample: Sample, query: str) -> Any:
    return get(sample, f"/api/v2/ontologies/efo/classes?{query}")


def test_the_three_totals_add_up(sample: Sample) -> None:
    current = classes(sample, "size=1")["totalElements"]
    obsolete = classes(sample, "size=1&isObsolete=true")["totalElements"]
    everything = classes(sample, "size=1&includeObsoleteEntities=true")["totalElements"]
    assert (current + obsolete, everything) == (CLASSES, CLASSES)
    assert obsolete > 0


def test_each_class_is_in_the_list_it_was_asked_from(sample: Sample) -> None:
    for query, obsolete in (("size=200", False), ("size=200&isObsolete=true", True)):
        found = classes(sample, query)["elements"]
        assert found
        assert {each["isObsolete"] for each in found} == {obsolete}


def test_pages_make_the_whole_in_the_order_of_iris(sample: Sample) -> None:
    iris = [
        each["iri"]
        for page in range(5)
        for each in classes(sample, f"page={page}&size=30&includeObsoleteEntities=true")["elements"]
    ]
    assert iris == [each.iri for each in release(CLASSES, 1).classes]
    assert classes(sample, "page=9&size=30")["elements"] == []


def test_generation_a_cuts_a_page_silently_and_counts_pages_for_the_size_asked(
    sample: Sample,
) -> None:
    sample.state.generation, sample.state.cap = "A", 10
    page = classes(sample, "page=1&size=30&includeObsoleteEntities=true")
    expected = [each.iri for each in release(CLASSES, 1).classes[30:40]]
    assert [each["iri"] for each in page["elements"]] == expected


@pytest.mark.parametrize("generation", ["B", "C"])
def test_later_generations_clamp_the_size(sample: Sample, generation: Any) -> None:
    sample.state.generation, sample.state.cap = generation, 10
    page = classes(sample, "page=1&size=30&includeObsoleteEntities=true")
    expected = [each.iri for each in release(CLASSES, 1).classes[10:20]]
    assert [each["iri"] for each in page["elements"]] == expected


def test_generation_a_writes_one_value_as_a_scalar(sample: Sample) -> None:
    assert isinstance(classes(sample, "size=1")["elements"][0]["label"], list)
    sample.state.generation = "A"
    assert not isinstance(classes(sample, "size=1")["elements"][0]["label"], list)


@pytest.mark.fault("H30")
@pytest.mark.parametrize(("generation", "rows"), [("A", 0), ("B", 0), ("C", 5)])
def test_an_unknown_parameter_was_a_filter(sample: Sample, generation: Any, rows: int) -> None:
    sample.state.generation = generation
    assert len(classes(sample, "size=5&nosuch=1")["elements"]) == rows


@pytest.mark.parametrize(("generation", "status"), [("A", 500), ("B", 500), ("C", 404)])
def test_an_unknown_ontology_is_refused_but_its_list_is_empty(
    sample: Sample, generation: Any, status: int
) -> None:
    sample.state.generation = generation
    with pytest.raises(HTTPError) as caught:
        get(sample, "/api/v2/ontologies/nosuch")
    caught.value.close()
    assert caught.value.code == status
    assert get(sample, "/api/v2/ontologies/nosuch/classes")["totalElements"] == 0


def test_the_sample_is_served_under_its_own_id_alone() -> None:
    with running_sample(classes=30, ontology="sample") as sample:
        document = get(sample, "/api/v2/ontologies/sample")
        assert document["http://www.w3.org/2002/07/owl#versionInfo"] == "1.0"
        page = get(sample, "/api/v2/ontologies/sample/classes?size=1")
        assert page["elements"][0]["ontologyId"] == "sample"
        with pytest.raises(HTTPError, match="404") as caught:
            get(sample, "/api/v2/ontologies/efo")
        caught.value.close()
        assert get(sample, "/api/v2/ontologies/efo/classes")["totalElements"] == 0


def test_no_class_is_without_a_label_where_all_are_to_have_one() -> None:
    with running_sample(classes=100) as sample:
        found = classes(sample, "size=100")["elements"]
        (bare,) = [each for each in found if "label" not in each]
        sample.state.all_labelled = True
        labelled = classes(sample, "size=100")["elements"]
    changed = {**bare, "label": [bare["shortForm"]], f"{RDFS}label": [bare["shortForm"]]}
    assert labelled == [changed if each is bare else each for each in found]


def test_gzip_is_given_to_those_who_ask(sample: Sample) -> None:
    url = f"{sample.url}/api/v2/ontologies/efo/classes?size=5"
    with urlopen(Request(url, headers={"Accept-Encoding": "gzip"})) as answer:
        assert answer.headers["Content-Encoding"] == "gzip"
        zipped = json.loads(gzip.decompress(answer.read()))
    assert zipped == classes(sample, "size=5")


def test_v1_gives_terms_and_their_parents(sample: Sample) -> None:
    terms = get(sample, "/api/ontologies/efo/terms?size=50")["_embedded"]["terms"]
    assert len(terms) == 50
    with_parents = next(each for each in terms if not each["is_root"] and not each["is_obsolete"])
    iri = quote(quote(with_parents["iri"], safe=""), safe="")
    found = get(sample, f"/api/ontologies/efo/terms/{iri}/parents")
    wanted = next(e for e in release(CLASSES, 1).classes if e.iri == with_parents["iri"])
    assert {each["iri"] for each in found["_embedded"]["terms"]} == {
        parent.iri for parent in wanted.parents if parent.predicate == "is_a"
    } - {parent.iri for parent in wanted.parents if "NOWHERE" in parent.iri}


def test_another_release_is_served_from_the_next_request_on(sample: Sample) -> None:
    version = "http://www.w3.org/2002/07/owl#versionInfo"
    before = get(sample, "/api/v2/ontologies/efo")[version]
    sample.publish(2)
    assert get(sample, "/api/v2/ontologies/efo")[version] != before


@pytest.mark.parametrize(("options", "ontology"), [([], "sample"), (["--as-efo"], "efo")])
def test_the_command_serves_says_where_and_ends_cleanly(
    tmp_path: Path, options: list[str], ontology: str
) -> None:
    port_file = tmp_path / "port"
    command = [sys.executable, "-m", "efo_assets", "sample", "--port", "0", "--classes", "30"]
    command += options
    with subprocess.Popen(
        [*command, "--port-file", str(port_file)], stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        line = server.stdout.readline()
        url = f"http://127.0.0.1:{port_file.read_text()}"
        assert f"generated sample data at {url} as the ontology {ontology} (" in line
        with urlopen(f"{url}/api/v2/ontologies/{ontology}") as answer:
            assert json.load(answer)["ontologyId"] == ontology
        server.send_signal(signal.SIGTERM)
    assert server.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["--classes", "3"],
            "Invalid value for '--classes': 3 is not in the range 20<=x<=3000000.",
        ),
        (["--recorded", "/nowhere"], "--recorded takes a folder"),
    ],
)
def test_a_bad_argument_is_one_sentence(arguments: list[str], said: str) -> None:
    command = [sys.executable, "-m", "efo_assets", "sample", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_in_use_is_one_sentence(sample: Sample) -> None:
    port = sample.url.rpartition(":")[2]
    command = [sys.executable, "-m", "efo_assets", "sample", "--classes", "30", "--port", port]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"127.0.0.1:{port} can't be used" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_thread_of_a_running_sample_ends_with_it() -> None:
    before = threading.active_count()
    with running_sample(classes=30):
        assert threading.active_count() > before
    assert threading.active_count() == before
