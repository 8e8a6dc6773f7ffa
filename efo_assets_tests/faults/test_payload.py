"""Faults of the payload (group P): what pages hold is loaded, mended and counted, or refused."""

import json
import subprocess
import sys
import zlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from efo_assets.errors import EfoError, PageRejected, RecordRejected
from efo_assets.ols.page_store import PageStore
from efo_assets.pipeline.load import stage
from efo_assets.sample.ontology import release
from efo_assets.settings import Settings
from efo_assets.warehouse.audit import Verdict
from efo_assets.warehouse.load import Load
from efo_assets.warehouse.warehouse import Warehouse
from efo_assets_tests.faults import broken
from efo_assets_tests.faults.downloading import assert_whole, download, iris, refused
from efo_assets_tests.faults.fake_ols import FakeOls, Fault, fake_ols
from efo_assets_tests.oracle.rows import expected_rows
from efo_assets_tests.warehouse.loads import ask

fault = pytest.mark.fault
PROBES = 8
"""Record, totals, record twice; and the record twice in the middle of the pages."""
MEMORY_GOAL_BYTES = 512 << 20
OIO = "http://www.geneontology.org/formats/oboInOwl#"
DEFINITION = "http://purl.obolibrary.org/obo/IAO_0000115"
Found = dict[str, Verdict]


def staged(warehouse: Warehouse, ols: FakeOls, folder: Path, **options: Any) -> tuple[Load, Found]:
    """Download, decode, stage and audit; the load, and the checks that found something."""
    download(ols, folder, **options)
    pages = PageStore(folder).latest("efo")
    assert pages is not None
    load = stage(Settings(ols_url=ols.url, data_dir=folder), warehouse, pages)
    return load, {each.check.name: each for each in warehouse.audit(load) if each.offenders}


def published(warehouse: Warehouse) -> set[tuple[Any, ...]]:
    return {tuple(row) for row in ask(warehouse, "select iri, label from efo_terms")}


def assert_refused(warehouse: Warehouse, load: Load, *checks: str) -> None:
    """The publisher names the checks, and what is published stays (I2)."""
    with warehouse.connect() as connection:
        found = connection.execute("select to_regclass('public.efo_terms')").fetchone()
    before = published(warehouse) if found and found[0] else None
    with pytest.raises(EfoError, match=r"the audit refuses it: .*" + ".*".join(checks)):
        warehouse.publish(load)
    if before is not None:
        assert published(warehouse) == before
    assert ask(
        warehouse, "select count(*) from releases where load_id = '" + load.load_id + "'"
    ) == [(0,)]


def clean(number: int = 1) -> set[tuple[Any, ...]]:
    """IRI and label of every class of a generated release."""
    return {(row.iri, row.label) for row in expected_rows(release(100, 1, number)).terms}


def on_first_class(**fields: Any) -> Any:
    return broken.on_page(broken.first_class(**fields), times=None)


def first_row_of_page_2() -> str:
    current = [each for each in release(100, 1).classes if not each.is_obsolete]
    return current[20].iri


# Bodies that are refused.


@pytest.mark.parametrize(
    ("breaks", "said"),
    [
        pytest.param(
            broken.rewritten(lambda text: text.replace(b'"curie":"', b'"curie":"\xff', 1)),
            r"isn't UTF-8: invalid start byte \(byte \d+\)",
            marks=fault("P01"),
            id="no UTF-8",
        ),
        pytest.param(
            broken.rewritten(lambda text: text.replace(b'"elements"', b'"x":' + b"[" * 100_000)),
            "nested too deep",
            marks=fault("P07"),
            id="deep",
        ),
        pytest.param(
            broken.edited(lambda page: page.update(totalElements="many")),
            r"Expected `int`, got `str` - at `\$\.totalElements`",
            marks=fault("P10"),
            id="total is text",
        ),
        pytest.param(
            broken.edited(lambda page: page.update(elements={"iri": "x"})),
            "Expected `array`, got `object`",
            marks=fault("P10"),
            id="object for list",
        ),
        pytest.param(
            broken.first_class(isObsolete="true"),
            r"Expected `bool \| null`, got `str` - at `\$\.elements\[0\]\.isObsolete`",
            marks=fault("P10"),
            id="obsolete is text",
        ),
        pytest.param(
            broken.first_class(iri=None),
            "Expected `str`, got `null`",
            marks=fault("P11"),
            id="null",
        ),
        pytest.param(broken.first_class(iri=""), "no IRI", marks=fault("P11"), id="empty IRI"),
        pytest.param(
            broken.every_class(lambda each: each.pop("iri")),
            "missing required field `iri`",
            marks=fault("P11"),
            id="no IRI",
        ),
        pytest.param(
            broken.edited(lambda page: page.pop("totalElements") and None),
            "missing required field `totalElements`",
            marks=fault("P13"),
            id="renamed envelope",
        ),
    ],
)
def test_a_body_that_breaks_the_contract_is_refused_with_its_place(
    breaks: Fault, said: str, tmp_path: Path
) -> None:
    with fake_ols(broken.on_rows(breaks, *range(20, 30))) as ols:
        sentence = refused(ols, tmp_path, PageRejected, said)
        assert ols.pages_answered_twice == []
    assert "rows 20-29 of the current list" in sentence


@fault("P01")
def test_no_utf_8_is_asked_for_twice_in_each_size(tmp_path: Path) -> None:
    wrong = broken.rewritten(lambda text: text.replace(b'"curie":"', b'"curie":"\xff', 1))
    with fake_ols(broken.on_rows(wrong, *range(20, 30))) as ols:
        refused(ols, tmp_path, PageRejected, "UTF-8")
        assert sum(asked.page == 2 and len(asked.rows) == 10 for asked in ols.pages) == 2 + 0


@fault("P09")
@pytest.mark.parametrize("name", ["page", "totalElements", "elements"])
def test_a_key_that_stands_twice_in_the_envelope_is_refused(name: str, tmp_path: Path) -> None:
    def twice(text: bytes) -> bytes:
        return text[:-1] + b"," + json.dumps(name).encode() + b":" + _value(text, name) + b"}"

    with fake_ols(broken.on_page(broken.rewritten(twice))) as ols:
        done = download(ols, tmp_path)
        assert_whole(done, ols)
    assert done.traffic.retries == 1


def _value(text: bytes, name: str) -> bytes:
    return json.dumps(json.loads(text)[name]).encode()


# Bodies that are accepted.


@fault("P02")
def test_a_byte_order_mark_is_dropped_all_the_way(warehouse: Warehouse, tmp_path: Path) -> None:
    marked = broken.rewritten(lambda text: b"\xef\xbb\xbf" + text)
    with fake_ols(broken.everywhere(marked)) as ols:
        load, found = staged(warehouse, ols, tmp_path)
    warehouse.publish(load)
    assert published(warehouse) == clean()
    assert "terms_are_complete" not in found


@pytest.mark.parametrize(
    ("label", "stored"),
    [
        pytest.param("a\0b", "a\ufffdb", marks=fault("P03"), id="NUL"),
        pytest.param("\\", "\\", marks=fault("P19"), id="backslash"),
        pytest.param("\\N\t\n\r\\.\u202e🧬e\u0301", None, marks=fault("P19"), id="awkward"),
        pytest.param(5, "5", marks=fault("P10"), id="number"),
        pytest.param([["x", ["yy"]]], "x", marks=fault("P10"), id="nested lists"),
        pytest.param("x" * 2600, None, marks=fault("P05"), id="long label"),
    ],
)
def test_a_label_comes_out_as_it_went_in_or_mended(
    label: Any, stored: str | None, warehouse: Warehouse, tmp_path: Path
) -> None:
    with fake_ols(on_first_class(label=label)) as ols:
        load, _ = staged(warehouse, ols, tmp_path)
    warehouse.publish(load)
    assert dict(published(warehouse))[first_row_of_page_2()] == (stored or label)
    assert {iri for iri, _ in published(warehouse)} == {iri for iri, _ in clean()}


@fault("P03")
@fault("P04")
def test_nul_and_lone_surrogates_follow_one_rule_in_every_column(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    fields = {
        "label": "a~b",
        DEFINITION: "c~d",
        f"{OIO}hasExactSynonym": "e~f",
        f"{OIO}hasDbXref": [
            {"type": ["reification"], "value": "DB:g~h", "axioms": [{f"{OIO}source": "i~j"}]}
        ],
    }
    for escape in (b"\\u0000", b"\\ud800"):

        def spoil(reply: Any, escape: bytes = escape) -> Any:
            mended = broken.first_class(**fields)(reply)
            return broken.rewritten(lambda text: text.replace(b"~", escape))(mended)

        with fake_ols(broken.on_page(spoil, times=None)) as ols:
            load, found = staged(warehouse, ols, tmp_path / escape.hex())
        assert found["values_are_well_formed"].offenders >= 5
        values = [
            value
            for table, columns in (
                ("terms", "label, definition"),
                ("synonyms", "synonym"),
                ("xrefs", "accession, sources[1]"),
            )
            for row in ask(warehouse, f"select {columns} from {load.schema}.{table}")
            for value in row
        ]
        for mended in ("a\ufffdb", "c\ufffdd", "e\ufffdf", "g\ufffdh", "i\ufffdj"):
            assert mended in values


@fault("P12")
def test_unknown_fields_change_nothing_and_stay_in_the_raw_page(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    new = broken.every_class(lambda each: each.update(brandNew={"a": [1, {"b": None}]}))
    with fake_ols(broken.on_pages(new)) as ols:
        done = download(ols, tmp_path)
        load, _ = staged(warehouse, ols, tmp_path)
    assert all(b"brandNew" in bytes(page.body) for page in done.page_set.bodies())
    (note,) = done.notes
    assert note.startswith("OLS sends 1 fields that it didn't before (brandNew): kept in the pages")
    warehouse.publish(load)
    assert published(warehouse) == clean()


@fault("P20")
@pytest.mark.parametrize(
    "moment",
    ["99999-99-99T99:99:99", "yesterday", 1e300, ["2026", "2027"], {"value": None}, "x" * 9999],
)
def test_dates_of_any_kind_are_kept_as_text_or_null(
    moment: Any, warehouse: Warehouse, tmp_path: Path
) -> None:
    odd = broken.edited(lambda record: record.update(loaded=moment, sourceFileTimestamp=moment))
    with fake_ols(broken.on_record(odd)) as ols:
        load, _ = staged(warehouse, ols, tmp_path)
    warehouse.publish(load)
    assert published(warehouse) == clean()


# Loads that are refused.


@fault("P11")
@pytest.mark.parametrize("label", [None, "", [], {"no": "value"}], ids=str)
def test_a_class_without_a_label_is_listed_and_has_its_short_form_for_one(
    label: Any, warehouse: Warehouse, tmp_path: Path
) -> None:
    with fake_ols(on_first_class(label=label)) as ols:
        load, found = staged(warehouse, ols, tmp_path)
    iri = first_row_of_page_2()
    short_form = iri.rpartition("/")[2]
    assert short_form in found["terms_have_labels"].samples
    assert not found["terms_have_labels"].blocks
    warehouse.publish(load)
    assert (iri, short_form) in published(warehouse)


@fault("P13")
@pytest.mark.parametrize(
    ("gone", "check"),
    [
        (f"{OIO}hasExactSynonym", "synonyms_are_plausible"),
        (f"{OIO}hasDbXref", "xrefs_did_not_shrink"),
        ("directParent", "edges_did_not_shrink"),
        ("label", "terms_have_labels"),
    ],
)
def test_a_field_that_ols_drops_is_noticed_against_the_last_release(
    gone: str, check: str, warehouse: Warehouse, tmp_path: Path
) -> None:
    with fake_ols() as ols:
        first, _ = staged(warehouse, ols, tmp_path)
        warehouse.publish(first)
        before = published(warehouse)

        def without(each: dict[str, Any]) -> None:
            each.pop(gone, None)
            if gone == "directParent":
                each.pop("hierarchicalParent", None)

        ols.release_of = lambda _: 2
        ols.script = broken.on_pages(broken.every_class(without))
        load, found = staged(warehouse, ols, tmp_path)
    assert check in found
    assert_refused(warehouse, load, check)
    assert published(warehouse) == before


@pytest.mark.parametrize(
    ("parents", "check", "blocks"),
    [
        pytest.param("self", "edges_have_no_cycle", True, marks=fault("P16")),
        pytest.param("cycle", "edges_have_no_cycle", True, marks=fault("P14")),
        pytest.param("absent", "edges_are_not_dangling", False, marks=fault("P15")),
    ],
)
def test_wrong_parents_are_named(
    parents: str, check: str, blocks: bool, warehouse: Warehouse, tmp_path: Path
) -> None:
    current = [each.iri for each in release(100, 1).classes if not each.is_obsolete]
    first, second = current[20], current[21]
    others = {"self": (first, second), "cycle": (second, first), "absent": ("http://x/absent",) * 2}

    def edit(page: dict[str, Any]) -> None:
        for each, parent in zip(page["elements"], others[parents], strict=False):
            each.update(directParent=[parent], hierarchicalParent=[parent])

    with fake_ols(broken.on_page(broken.edited(edit), times=None)) as ols:
        load, found = staged(warehouse, ols, tmp_path)
    assert first in json.dumps([asdict(found[check])], default=str)
    assert found[check].check.blocking is blocks
    if blocks:
        assert_refused(warehouse, load, check)
    else:
        warehouse.publish(load)
        assert ask(
            warehouse,
            "select count(*) from efo_parent_edges as e join efo_terms as t on t.id = e.parent_id"
            " where t.iri = 'http://x/absent'",
        ) == [(0,)]


@fault("P17")
def test_iris_that_nearly_are_the_same_are_several_terms(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    near = [
        "http://x/Caf\u00e9",
        "http://x/Cafe\u0301",
        "http://x/caf\u00e9",
        "http://x/Caf\u00e9 ",
    ]

    def edit(page: dict[str, Any]) -> None:
        for each, iri in zip(page["elements"], near, strict=False):
            each["iri"] = iri

    with fake_ols(broken.on_page(broken.edited(edit), times=None)) as ols:
        load, found = staged(warehouse, ols, tmp_path)
    assert "terms_are_unique" not in found
    assert 4 in [sample["times"] for sample in found["iris_are_not_alike"].samples]
    assert not found["iris_are_not_alike"].check.blocking
    warehouse.publish(load)
    assert set(near) <= {iri for iri, _ in published(warehouse)}


@fault("P05")
def test_a_key_that_postgresql_could_not_index_is_refused_before_copy(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    with (
        fake_ols(on_first_class(**{f"{OIO}hasExactSynonym": "x" * 10_000_000})) as ols,
        pytest.raises(RecordRejected, match=r"has a synonym of 10,000,000 bytes") as caught,
    ):
        staged(warehouse, ols, tmp_path)
    assert first_row_of_page_2() in str(caught.value)
    assert "the pages are kept" in str(caught.value)
    assert ask(warehouse, "select state from loads") == [("dropped",)]


@fault("P06")
def test_a_page_beyond_the_cap_is_asked_for_in_smaller_pages_once(tmp_path: Path) -> None:
    with fake_ols(classes=60) as ols:
        ols.script = lambda asked: (
            broken.body(b" " * 500_000) if not asked.is_probe and len(asked.rows) > 5 else None
        )
        done = download(ols, tmp_path, body_cap_bytes=400_000)
        assert set(iris(done)) == ols.iris()
        assert max(asked.attempt for asked in ols.pages if len(asked.rows) > 5) == 0
    assert done.page_set.plan.page_size == 5
    assert "larger than the cap of 400,000 bytes" in done.notes[0]


@fault("P21")
@pytest.mark.parametrize("listing", ["record", "current", "obsolete", "all"])
def test_a_record_or_total_beyond_the_cap_is_asked_for_once(listing: str, tmp_path: Path) -> None:
    huge = broken.bomb(3 << 20)
    with fake_ols(lambda asked: huge if asked.listing == listing else None) as ols:
        refused(ols, tmp_path, PageRejected, "larger than the cap", body_cap_bytes=1 << 20)
        assert [asked.listing for asked in ols.log].count(listing) == 1


# Memory.

CHILD = r"""
import json, re, sys
from pathlib import Path
from efo_assets.errors import EfoError
from efo_assets_tests.faults.downloading import download
said = ""
try:
    download(sys.argv[1], Path(sys.argv[2]))
except EfoError as error:
    said = f"{type(error).__name__}: {error}"
# Not ru_maxrss, which begins with what the parent had.
peak = int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) << 10
print(json.dumps([said, peak]))
"""


def peak_of(ols: FakeOls, folder: Path) -> tuple[str, int]:
    """What a download in a process of its own said, and its peak of memory in bytes."""
    made = subprocess.run(
        [sys.executable, "-c", CHILD, ols.url, str(folder)],
        check=True,
        capture_output=True,
        text=True,
    )
    said, peak_bytes = json.loads(made.stdout)
    return said, peak_bytes


def _long_string(page: dict[str, Any]) -> None:
    page["elements"][0][DEFINITION] = "x" * 10_000_000


def swollen_behind_gzip(label_bytes: int) -> Fault:
    """A page whose first label is that long, in a gzip body of a thousandth."""
    packer = zlib.compressobj(wbits=31)
    piece = b"x" * (1 << 20)
    packed = packer.compress(b'{"page":0,"totalElements":9,"elements":[{"iri":"x","label":"')
    packed += b"".join(packer.compress(piece) for _ in range(label_bytes // len(piece)))
    return broken.body(packed + packer.compress(b'"}]}') + packer.flush(), "gzip")


@pytest.mark.parametrize(
    ("breaks", "said"),
    [
        pytest.param(
            broken.bomb(300 << 20), "larger than the cap of 67,108,864", marks=fault("T19")
        ),
        pytest.param(
            broken.swollen(b"", b" ", 200 << 20),
            "larger than the cap of 67,108,864",
            marks=fault("P06"),
        ),
        pytest.param(
            broken.swollen(b'{"elements":[{"x":"', b"x", 260 << 20),
            "larger than the cap of 67,108,864",
            marks=fault("P21"),
        ),
        pytest.param(
            swollen_behind_gzip(1 << 30), "larger than the cap of 67,108,864", marks=fault("P21")
        ),
        pytest.param(broken.edited(_long_string), "", marks=fault("P05")),
    ],
    ids=["bomb", "200 MB page", "260 MB string", "1 GB behind gzip", "10 MB string"],
)
def test_memory_stays_within_the_goal(breaks: Fault, said: str, tmp_path: Path) -> None:
    with fake_ols(broken.on_rows(breaks, 23), classes=60) as ols:
        sentence, peak_bytes = peak_of(ols, tmp_path)
        asked_most = max(asked.attempt for asked in ols.pages)
        asked_in_all = len(ols.log)
    assert said in sentence
    assert bool(said) == sentence.startswith("PageRejected")
    if said:
        assert asked_most == 0, "nothing beyond the cap is asked for twice"
        assert asked_in_all <= PROBES + 7 + 2, "each page once, and the halves of one"
    assert peak_bytes <= MEMORY_GOAL_BYTES
