"""The report of a release: what it tells, and that nothing of the ontology's becomes markup."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from efo_assets.errors import ExportFailed, WarehouseError
from efo_assets.pipeline.report import HTML_NAME, html, link, markdown, write_report
from efo_assets.warehouse.report import MOST_ROWS
from efo_assets.warehouse.warehouse import Warehouse
from efo_assets_tests.warehouse.loads import Rows, edge, iri, publish, synonym, term, xref

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{ 7 * 7 }}\u202egnp"
MARKUP = "](javascript:alert(1)) **bold** <b> @channel https://evil.example www.evil.example | `x`"


class Page(HTMLParser):
    """What a browser makes of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str, attribute: str) -> list[str]:
        return [
            str(each[attribute]) for name, each in self.tags if name == tag and attribute in each
        ]


def rows(*terms: tuple[object, ...], **others: object) -> Rows:
    """A root, two branches and these terms."""
    fixed = [
        term("root", "root", is_root=True),
        term("one", "branch one"),
        term("two", "branch two"),
    ]
    edges = [edge("one", "root"), edge("two", "root"), *others.pop("edges", ())]  # type: ignore[misc]
    return {"terms": [*fixed, *terms], "edges": edges, **others}  # type: ignore[typeddict-item]


BEFORE = rows(
    term("kept", "old label"),
    term("old", "going"),
    term("gone", "vanishing"),
    edges=[edge("kept", "one"), edge("old", "two"), edge("gone", "one")],
    synonyms=[
        synonym("kept", "lost one"),
        synonym("old", "lost with its class"),
        synonym("gone", "lost with the vanished"),
    ],
    xrefs=[xref("kept", "mesh", "D000001"), xref("gone", "mesh", "D000003")],
)
AFTER = rows(
    term("kept", "new label"),
    term("old", "obsolete_going", is_obsolete=True, replaced_by=["EX:kept"]),
    term("new", HOSTILE),
    edges=[edge("kept", "one"), edge("new", "one"), edge("new", "two")],
    xrefs=[xref("kept", "mesh", "D000001"), xref("new", "mesh", "D000002")],
)


@pytest.fixture
def released(warehouse: Warehouse) -> Warehouse:
    warehouse.allow_shrink = True
    publish(warehouse, "1", **BEFORE)
    publish(warehouse, "2", **AFTER)
    return warehouse


def test_it_tells_what_the_release_changed(released: Warehouse) -> None:
    report = released.report()
    told = {name: [term.iri for term in listed.terms] for name, listed in report.lists.items()}
    assert told == {
        "added": [iri("new")],
        "obsoleted": [iri("old")],
        "relabelled": [iri("kept")],
        "lost synonyms": [iri("kept")],
        "removed": [iri("gone")],
        "restored": [],
    }
    ((replacement,),) = report.replacements.values()
    assert (replacement["iri"], replacement["status"]) == (iri("kept"), "resolved")
    assert [(each.label, *each[3:]) for each in report.branches] == [
        ("branch one", 1, 0, 1),
        ("branch two", 1, 1, 0),
    ]
    assert [each.version for each in report.growth] == ["2", "1"]
    assert report.mesh[:2] == (2, 2)
    assert report.mesh[3:] == (0, 0), "of a class that is new or gone, references are no change"
    page = Page(html(report, released.schema))
    for text in ("old label", "new label", "lost one", "vanishing", "branch two", "after 1"):
        assert text in page.text
    assert "lost with " not in page.text
    assert report.digest.release.content_hash.split("=")[1].split(":")[1].split()[0] in page.text


def test_text_of_the_ontology_is_never_markup(released: Warehouse) -> None:
    report = released.report()
    page = Page(html(report, released.schema))
    assert {tag for tag, _ in page.tags} & {"script", "img", "iframe", "object", "link"} == set()
    assert not any(name.startswith("on") for _, attrs in page.tags for name in attrs)
    base = f"{report.proof.source_url}/ontologies/"
    assert all(href.startswith(("#", base)) for href in page.all("a", "href"))
    assert HOSTILE.replace("\u202e", "\\u202e") in page.text
    assert "49" not in re.findall(r"alert\(1\)>(.{0,10})", page.text)


def test_markdown_shows_text_as_it_is(warehouse: Warehouse) -> None:
    warehouse.allow_shrink = True
    publish(warehouse, "1", **BEFORE)
    publish(
        warehouse, "2", **rows(*BEFORE["terms"][3:], term("new", MARKUP), edges=BEFORE["edges"][2:])
    )
    text = markdown(warehouse.report())
    (line,) = [line for line in text.splitlines() if "javascript" in line]
    unescaped = re.sub(
        r"\\[\\`*_{}\[\]()<>#+!|~@&:.]", "", line.partition(" ")[2].partition(">) ")[2]
    )
    assert not re.search(r"[\[\]()<>*@|`]|://|www\.", unescaped)


def test_a_link_leads_to_the_class_at_ols_unless_it_is_gone(released: Warehouse) -> None:
    report = released.report()
    twice = quote(quote(iri("new"), safe=""), safe="")
    assert link(report, iri("new")).endswith(f"/ontologies/efo/classes/{twice}")
    links = Page(html(report, released.schema)).all("a", "href")
    for told in (links, markdown(report)):
        assert link(report, iri("new")) in told
        assert link(report, iri("gone")) not in told


def test_the_first_release_has_nothing_to_compare_with(warehouse: Warehouse) -> None:
    publish(warehouse, "1", **BEFORE)
    report = warehouse.report()
    page = Page(html(report, warehouse.schema))
    assert "no earlier release" in page.text
    assert "no earlier release" in markdown(report)


def test_an_obsolete_class_leads_where_efo_resolve_does(warehouse: Warehouse) -> None:
    warehouse.allow_shrink = True
    obsoleted: dict[str, Any] = {
        "several": {"replaced_by": ["EX:one", "EX:two"], "consider": ["EX:root"]},
        "weaker": {"consider": ["EX:two"]},
        "text": {"replaced_by": ["nothing of use"]},
        "dead": {"replaced_by": ["EX:weaker"]},
        "none": {},
    }
    publish(warehouse, "1", **rows(*(term(name) for name in obsoleted)))
    after = (term(name, is_obsolete=True, **told) for name, told in obsoleted.items())
    publish(warehouse, "2", **rows(*after))
    report = warehouse.report()
    told = dict(re.findall(r"EX:(\w+)\]\(.*>\) label of \w+: (.*)", markdown(report)))
    assert told == {
        "several": "replaced by EX:one branch one; EX:two branch two",
        "weaker": "consider EX:two branch two",
        "text": "replaced by nothing",
        "dead": "replaced by nothing",
        "none": "replaced by nothing",
    }
    assert "None" not in Page(html(report, warehouse.schema)).text


def test_a_class_that_comes_back_current_is_restored_once(warehouse: Warehouse) -> None:
    warehouse.allow_shrink = True
    publish(warehouse, "1", **rows(term("x", is_obsolete=True)))
    publish(warehouse, "2", **rows())
    publish(warehouse, "3", **rows(term("x")))
    restored = warehouse.report().lists["restored"]
    assert ([each.iri for each in restored.terms], restored.of_all) == ([iri("x")], 1)


def test_a_list_says_how_many_it_leaves_out(warehouse: Warehouse) -> None:
    publish(warehouse, "1", **BEFORE)
    many = [term(f"n{number}") for number in range(MOST_ROWS + 3)]
    publish(warehouse, "2", **{**BEFORE, "terms": [*BEFORE["terms"], *many]})
    page = Page(html(warehouse.report(), warehouse.schema))
    assert "3 more are in the table public.efo_changes" in page.text
    assert f"Added ({MOST_ROWS + 3})" in page.text


def test_the_page_is_semantic(released: Warehouse) -> None:
    page = Page(html(released.report(), released.schema))
    tags = [tag for tag, _ in page.tags]
    assert tags.count("h1") == tags.count("main") == tags.count("title") - 1 == 1
    assert tags.count("table") == tags.count("caption")
    ids = [str(attrs["id"]) for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert {href[1:] for href in page.all("a", "href") if href.startswith("#")} <= set(ids)
    assert all(
        each.get("aria-hidden") or each.get("role") for tag, each in page.tags if tag == "svg"
    )
    assert ("html", {"lang": "en"}) in page.tags


def test_files_are_written_where_exports_are(released: Warehouse, tmp_path: Path) -> None:
    written = write_report(released, tmp_path, {"requests of the last download": 12})
    assert written.html == tmp_path / HTML_NAME
    assert "requests of the last download" in written.html.read_text()
    first = written.html.read_bytes(), written.markdown.read_bytes()
    again = write_report(released, tmp_path, {"requests of the last download": 12})
    assert (again.html.read_bytes(), again.markdown.read_bytes()) == first


def test_without_a_release_or_a_folder_it_is_one_sentence(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    with pytest.raises(WarehouseError, match="Nothing is published in schema public"):
        write_report(warehouse, tmp_path)
    publish(warehouse, "1", **BEFORE)
    (tmp_path / "taken").touch()
    with pytest.raises(ExportFailed, match="can't be written"):
        write_report(warehouse, tmp_path / "taken")
