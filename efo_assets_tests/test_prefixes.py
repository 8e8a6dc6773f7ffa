"""The Bioregistry's excerpt: one prefix for all spellings of a database, and for its URLs."""

import json
from pathlib import Path

import pytest

from efo_assets import prefixes
from efo_assets.prefixes import registered

EXCERPT = Path(prefixes.__file__).with_name("bioregistry.json")
PAGE = Path(__file__).parents[1] / "docs" / "tables.md"


def test_the_docs_tell_the_excerpts_version_and_size() -> None:
    version = json.loads(EXCERPT.read_text())["bioregistry"]
    size = f"{round(EXCERPT.stat().st_size, -4) // 1000} KB, of {version}"
    assert size in PAGE.read_text()


def test_no_spelling_means_two_databases() -> None:
    names = json.loads(EXCERPT.read_text())["prefixes"]
    spellings = [each for prefix, others in names.items() for each in (prefix, *others)]
    assert len(spellings) == len(set(spellings)) > 3_000


@pytest.mark.parametrize(
    ("spelling", "prefix"),
    [
        ("MESH", "mesh"),
        ("MeSH", "mesh"),
        ("MSH", "mesh"),
        ("SCTID", "snomedct"),
        ("UMLS_CUI", "umls"),
        ("Orphanet", "orpha"),
        ("OMIMPS", "omim.ps"),
        ("NCIt", "ncit"),
        ("DOID", "doid"),
        ("NoSuchThing", "nosuchthing"),
        ("no_such-thing", "no_such-thing"),
        ("KEGG_COMPOUND", "kegg.compound"),
        ("KEGG-Compound", "kegg.compound"),
        ("NCBI_Gene", "ncbigene"),
        ("ICD-9", "icd9"),
        ("ICD10-CM", "icd10cm"),
        (" MESH ", "mesh"),
        ("\xa0\u200bMESH", "mesh"),
    ],
)
def test_a_prefix_is_the_bioregistrys_whatever_its_spelling(spelling: str, prefix: str) -> None:
    assert registered().split(f"{spelling}:1") == (prefix, "1")


@pytest.mark.parametrize(
    ("url", "prefix", "accession"),
    [
        ("http://id.nlm.nih.gov/mesh/D1", "mesh", "D1"),
        ("https://www.ncbi.nlm.nih.gov/mesh/?term=D1", "mesh", "D1"),
        ("http://purl.bioontology.org/ontology/MESH/D1", "mesh", "D1"),
        ("https://identifiers.org/mesh:D1", "mesh", "D1"),
        ("http://linkedlifedata.com/resource/umls/id/C1", "umls", "C1"),
        ("http://www.orpha.net/ORDO/Orphanet_1", "orpha", "1"),
        ("https://omim.org/entry/1", "omim", "1"),
        ("http://id.nlm.nih.gov/mesh/", "url", "http://id.nlm.nih.gov/mesh/"),
        ("http://purl.obolibrary.org/obo/nobody", "obo", "nobody"),
        ("https://example.org/", "url", "https://example.org/"),
    ],
)
def test_a_url_belongs_to_the_database_that_it_leads_to(
    url: str, prefix: str, accession: str
) -> None:
    assert registered().split(url) == (prefix, accession)


@pytest.mark.parametrize("value", ["", ":", "x:", ":1", " : ", "no colon"])
def test_what_is_no_reference_is_none(value: str) -> None:
    assert registered().split(value) is None


@pytest.mark.fault("P35")
@pytest.mark.parametrize(
    ("value", "references", "may_be_more"),
    [
        (" MESH:D1 ", ["MESH:D1"], False),
        ("MESH:D1, MSH:D2;UMLS:C1|DOID:1", ["MESH:D1", "MSH:D2", "UMLS:C1", "DOID:1"], False),
        ("MESH:D1 MESH:D2", ["MESH:D1", "MESH:D2"], False),
        ("MESH:D1;", ["MESH:D1"], False),
        ("http://x/a;b,c http://x/d", ["http://x/a;b,c", "http://x/d"], False),
        ("http://x/?terms=GO:1,GO:2", ["http://x/?terms=GO:1,GO:2"], False),
        ("MESH:D1,D2", ["MESH:D1,D2"], True),
        ("see MESH:D1", ["see MESH:D1"], True),
        ("MESH: D1", ["MESH: D1"], False),
        ("Name: with a title", ["Name: with a title"], False),
    ],
)
def test_several_references_in_a_value_are_several_or_told(
    value: str, references: list[str], may_be_more: bool
) -> None:
    assert registered().references(value) == (references, may_be_more)
