"""How earlier pipelines load EFO, for comparison: v1 pages of 20, a request per term for parents.

`python -m benchmarks.earlier URL CLASSES` fetches the pages one after another, then the parents
with 50 requests at once, inserts with executemany into a table made for it, and prints seconds and
requests as JSON. It drops what fails, keeps no xrefs, derives and checks nothing: like those it
stands for.
"""

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

import aiohttp
import psycopg

from efo_assets.warehouse.embedded import embedded_server
from efo_assets_tests.databases import connected

PAGE_SIZE = 20
PARENTS_AT_ONCE = 50

Term = dict[str, Any]


def main() -> None:
    """Load the first classes and print what it took."""
    url, classes = sys.argv[1], int(sys.argv[2])
    with TemporaryDirectory() as folder, embedded_server(Path(folder)) as target:
        began = time.monotonic()
        terms, parents, requests = asyncio.run(_fetch(url, classes))
        with connected(target) as connection:
            _insert(connection, terms, parents)
        seconds = time.monotonic() - began
    json.dump({"seconds": seconds, "terms": len(terms), "requests": requests}, sys.stdout)


async def _fetch(url: str, classes: int) -> tuple[list[Term], list[Sequence[str]], int]:
    # 0: no limit of aiohttp's own, the semaphore is the limit, as in the originals.
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        terms: list[Term] = []
        requests = 0
        while len(terms) < classes:
            page = {"page": requests, "size": PAGE_SIZE}
            async with session.get(f"{url}/api/ontologies/efo/terms", params=page) as answer:
                terms += (await answer.json())["_embedded"]["terms"]
            requests += 1
        gate = asyncio.Semaphore(PARENTS_AT_ONCE)
        parents = await asyncio.gather(*(_parents(session, gate, url, term) for term in terms))
        return terms, parents, requests + len(terms)


async def _parents(
    session: aiohttp.ClientSession, gate: asyncio.Semaphore, url: str, term: Term
) -> Sequence[str]:
    iri = quote(quote(term["iri"], safe=""), safe="")
    async with gate, session.get(_raw(f"{url}/api/ontologies/efo/terms/{iri}/parents")) as answer:
        body = await answer.json()
    return [parent["iri"] for parent in body.get("_embedded", {}).get("terms", [])]


def _raw(url: str) -> Any:
    from yarl import URL  # noqa: PLC0415  # OLS wants IRIs encoded twice, as they are here

    return URL(url, encoded=True)


def _insert(
    connection: psycopg.Connection[Any], terms: list[Term], parents: list[Sequence[str]]
) -> None:
    connection.execute("create table terms (iri text primary key, label text)")
    connection.execute("create table synonyms (iri text, synonym text)")
    connection.execute("create table parents (iri text, parent text)")
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into terms values (%s, %s)", [(term["iri"], term["label"]) for term in terms]
        )
        cursor.executemany(
            "insert into synonyms values (%s, %s)",
            # The originals would end with an error at a NUL or a number; here they may go on.
            [
                (term["iri"], str(text).replace("\0", ""))
                for term in terms
                for text in term.get("synonyms") or []
            ],
        )
        cursor.executemany(
            "insert into parents values (%s, %s)",
            [
                (term["iri"], parent)
                for term, found in zip(terms, parents, strict=True)
                for parent in found
            ],
        )


if __name__ == "__main__":
    main()
