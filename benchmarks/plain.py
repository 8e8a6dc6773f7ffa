"""A plain script that loads the same four tables: what all else costs is the difference to it.

`python -m benchmarks.plain URL` fetches v2's pages with 16 requests at once, decodes them, copies
terms, synonyms, parents and cross references into new tables in the embedded PostgreSQL of
`EFO_DATA_DIR`, adds keys, and prints the rows of each table as JSON. It keeps no page, can't go on
after a failure, proves nothing, derives nothing and takes no second release.
"""

import asyncio
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import GenericAlias
from typing import Any, TypeAlias

import aiohttp
import msgspec

from efo_assets.settings import DatabaseTarget
from efo_assets.warehouse.embedded import embedded_server
from efo_assets_tests.databases import connected

PAGE_SIZE = 500
AT_ONCE = 16
LISTS: tuple[dict[str, str], ...] = ({}, {"isObsolete": "true"})
OBO = "http://purl.obolibrary.org/obo/"
OIO = "http://www.geneontology.org/formats/oboInOwl#"
SKOS = "http://www.w3.org/2004/02/skos/core#"
SCOPES = {
    **{f"{OIO}has{scope.capitalize()}Synonym": scope for scope in ("exact", "related", "narrow")},
    f"{OIO}hasBroadSynonym": "broad",
    "http://www.ebi.ac.uk/efo/alternative_term": "exact",
    f"{OIO}hasSynonym": "related",
}
RELATIONS = {
    f"{OIO}hasDbXref": "xref",
    **{f"{SKOS}{kind}Match": kind for kind in ("exact", "close", "narrow", "broad", "related")},
}
TABLES = {
    "terms": ("iri", "curie", "label", "definition", "status"),
    "synonyms": ("iri", "scope", "synonym"),
    "parents": ("iri", "parent"),
    "xrefs": ("iri", "relation", "xref"),
}
KEYS = """
alter table terms add primary key (iri);
alter table synonyms add primary key (iri, scope, synonym), add foreign key (iri) references terms;
alter table parents add primary key (iri, parent), add foreign key (iri) references terms;
alter table xrefs add primary key (iri, relation, xref), add foreign key (iri) references terms;
analyze terms, synonyms, parents, xrefs;
"""

Sinks: TypeAlias = dict[str, Callable[[tuple[str | None, ...]], None]]
_fields = {iri: f"field_{number}" for number, iri in enumerate((*SCOPES, *RELATIONS))}
_Class = msgspec.defstruct(
    "_Class",
    [
        ("iri", str),
        ("curie", Any, None),
        ("label", Any, None),
        ("definition", Any, msgspec.field(default=None, name=f"{OBO}IAO_0000115")),
        ("parents", Any, msgspec.field(default=None, name="hierarchicalParent")),
        ("is_obsolete", Any, msgspec.field(default=False, name="isObsolete")),
        *((name, Any, msgspec.field(default=None, name=iri)) for iri, name in _fields.items()),
    ],
    gc=False,
)
_Page: Any = msgspec.defstruct(
    "_Page", [("totalElements", int), ("elements", GenericAlias(list, (_Class,)))], gc=False
)
_decoder = msgspec.json.Decoder(_Page)


def main() -> None:
    """Load what the server at the address in the command line serves."""
    with embedded_server(Path(os.environ["EFO_DATA_DIR"])) as target:
        json.dump(load(sys.argv[1], target), sys.stdout)


def load(url: str, target: DatabaseTarget) -> dict[str, int]:
    """Fill four new tables in an empty database; the rows of each."""
    with ExitStack() as stack:
        sinks: Sinks = {}
        cursors = {}
        for name, columns in TABLES.items():
            connection = stack.enter_context(connected(target))
            connection.execute(f"create table {name} ({' text, '.join(columns)} text)")
            cursors[name] = connection.cursor()
            statement = f"copy {name} from stdin (format binary)"
            copy = stack.enter_context(cursors[name].copy(statement))
            copy.set_types(["text"] * len(columns))
            sinks[name] = copy.write_row
        asyncio.run(_fetch(f"{url}/api/v2/ontologies/efo/classes", sinks))
    with connected(target) as connection:
        connection.execute(KEYS)
    return {name: cursor.rowcount for name, cursor in cursors.items()}


async def _fetch(url: str, sinks: Sinks) -> None:
    async with aiohttp.ClientSession(raise_for_status=True) as session:

        async def page(query: dict[str, str], number: int, size: int) -> Any:
            paging = {"page": str(number), "size": str(size)}
            async with session.get(url, params=query | paging) as answer:
                return _decoder.decode(await answer.read())

        waiting = []
        for query in LISTS:
            total = (await page(query, 0, 1)).totalElements
            waiting += [(query, number) for number in range(-(-total // PAGE_SIZE))]

        async def work() -> None:
            while waiting:
                for each in (await page(*waiting.pop(), PAGE_SIZE)).elements:
                    _write(each, sinks)

        await asyncio.gather(*(work() for _ in range(AT_ONCE)))


def _write(each: Any, sinks: Sinks) -> None:
    iri = each.iri
    labels, definitions = [*_texts(each.label)], [*_texts(each.definition)]
    status = "obsolete" if each.is_obsolete else "current"
    one = next(_texts(each.curie), None), next(iter(labels), None), next(iter(definitions), None)
    sinks["terms"]((iri, *one, status))
    for parent in dict.fromkeys(_texts(each.parents)):
        sinks["parents"]((iri, parent))
    for table, kinds in (("synonyms", SCOPES), ("xrefs", RELATIONS)):
        found = ((kind, _texts(getattr(each, _fields[name]))) for name, kind in kinds.items())
        rows = dict.fromkeys((iri, kind, text) for kind, texts in found for text in texts)
        for row in rows:
            sinks[table](row)


def _texts(value: Any) -> Iterator[str]:
    """The texts of a value: a scalar, a list, or an object that wraps one."""
    if isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, dict):
        yield from _texts(value.get("value"))
    elif value not in (None, ""):
        yield str(value).replace("\0", "")


if __name__ == "__main__":
    main()
