"""An ontology of attacks in every text: on SQL, on HTML and Markdown, on terminals, on URLs."""

from typing import Any

from efo_assets_tests.faults.fake_ols import Ontology

TAG = "zq7x"
"""In each of the strings, so that they are found wherever they get."""
SQL = (
    "'; drop table canary; --",
    "'); delete from canary; --",
    "' or '1'='1",
    '"; drop table canary; --',
    '"."canary',
    "$$; drop table canary; $$",
    "$1",
    "%s",
    "%(load_id)s",
    "%%",
    "{}",
    "{schema}",
    "{0.__class__}",
    "\\'; drop table canary; --",
    "\\",
    "E'\\047; drop table canary'",
    "U&'\\0027'",
    "/* */; drop table canary",
    "-- ",
    "\\.",
    "\\N",
    "\t\n\r\\.\n",
    "NULL",
    "PGCOPY\n\xff\r\n",
    "'||pg_sleep(9)||'",
    "'; copy canary to program 'id'; --",
    "'; select pg_read_file('/etc/passwd'); --",
    "\u02bc; drop table canary",
    "\uff07; drop table canary",
    "\u2019 or 1=1",
    "\xbf'; drop table canary",
    "a\u0000b'; drop table canary",
    "${IFS}",
    ";\x00",
)
MARKUP = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "[x](javascript:alert(1))",
    "![](http://127.0.0.1:9/beacon)",
    "[x]: javascript:alert(1)",
    "| a | b |\n|---|---|",
    "```\n</code>",
    "<a href='//127.0.0.1:9'>",
    "&lt;b&gt;",
    "javascript:alert(1)",
    "data:text/html,<script>",
)
TERMINAL = (
    "\x1b[2J\x1b[1;1H",
    "\x1b]0;title\x07",
    "\x1b]8;;http://127.0.0.1:9\x1b\\link\x1b]8;;\x1b\\",
    "\x1bP+q\x1b\\",
    "\x9b2J",
    "\x08\x08\x08",
    "\r2026-01-01 00:00:00 +0000 - dagster - CRITICAL - forged",
    "\n2026-01-01 00:00:00 +0000 - dagster - CRITICAL - forged",
    "\u202eevil\u2066",
    "\u2028\u2029\x85.",
)
TEXTS = tuple(f"{TAG} {text}" for text in (*SQL, *MARKUP, *TERMINAL))
OWL = "http://www.w3.org/2002/07/owl#"
OIO = "http://www.geneontology.org/formats/oboInOwl#"
ELSEWHERE = "http://169.254.169.254/latest"


def stored(text: str) -> str:
    """The text as PostgreSQL can hold it."""
    return text.replace("\0", "\ufffd")


def iri(number: int) -> str:
    """One that is an attack itself."""
    return f"http://127.0.0.1:9/{number}/{TEXTS[number]}"


def hostile_class(number: int) -> dict[str, Any]:
    """A class all of whose texts are one attack."""
    text = TEXTS[number]
    return {
        "iri": iri(number),
        "curie": f"{text}:{number}",
        "label": [f"{text} {number}", text],
        "http://purl.obolibrary.org/obo/IAO_0000115": [text],
        f"{OIO}hasExactSynonym": [
            {
                "type": ["reification"],
                "value": text,
                "axioms": [{f"{OIO}hasSynonymType": text, f"{OIO}hasDbXref": text}],
            }
        ],
        f"{OIO}hasDbXref": [f"{text}:1", text, f"{ELSEWHERE}/{text}", f"MESH:{text}"],
        "directParent": [] if number == 0 else [iri(number - 1)],
        "isObsolete": False,
        "isDefiningOntology": True,
        "linkedEntities": {f"MESH:{text}": {"url": f"javascript:{text}"}},
        "_links": {"self": {"href": ELSEWHERE}, "next": {"href": ELSEWHERE}},
    }


def hostile_ontology(version: str = TEXTS[0]) -> Ontology:
    """All of `TEXTS` as one release whose names are attacks, too."""
    document = {
        "ontologyId": TEXTS[1],
        f"{OWL}versionIRI": version,
        f"{OWL}versionInfo": [{"value": version}],
        "loaded": version,
        "sourceFileTimestamp": version,
        "_links": {"classes": {"href": ELSEWHERE}},
    }
    rows = [hostile_class(number) for number in range(len(TEXTS))]
    return Ontology(document, {"current": rows, "obsolete": [], "all": rows})
