"""The questions of docs/queries.sql, and their answers on the release that `make demo` loads."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from tabulate import tabulate

from efo_assets.demo import DEFAULT_CLASSES
from efo_assets.sample.expected import expected_rows
from efo_assets.sample.ontology import release
from efo_assets.warehouse.warehouse import Warehouse
from efo_assets_tests.warehouse.loads import publish

QUERIES = Path(__file__).parents[1] / "docs" / "queries.sql"
_HEAD = re.compile(r"^-- (\d+)\. (.+)\n", re.MULTILINE)


class Query(NamedTuple):
    """One question and the statement that answers it."""

    number: int
    question: str
    statement: str


def queries() -> list[Query]:
    """All of docs/queries.sql, in order."""
    _, *parts = _HEAD.split(QUERIES.read_text())
    return [
        Query(int(number), question, statement.strip())
        for number, question, statement in zip(parts[::3], parts[1::3], parts[2::3], strict=True)
    ]


def publish_demo(warehouse: Warehouse) -> None:
    """Publish what `make demo` publishes, from the generator's own expectation."""
    rows = expected_rows(release(DEFAULT_CLASSES, 1, 1))
    publish(
        warehouse,
        "3.901.0",
        terms=_with_lists(rows.terms),
        synonyms=_with_lists(rows.synonyms),
        edges=_with_lists(rows.parent_edges),
        xrefs=_with_lists(rows.xrefs),
    )


def _with_lists(rows: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return [tuple(list(each) if isinstance(each, tuple) else each for each in row) for row in rows]


def answers(warehouse: Warehouse) -> dict[int, tuple[list[str], list[tuple[Any, ...]]]]:
    """Column names and rows of each query, by number."""
    found = {}
    with warehouse.connect() as connection, connection.transaction():
        connection.execute("set local search_path = public, efo_meta")
        for query in queries():
            cursor = connection.execute(query.statement)  # type: ignore[call-overload]
            found[query.number] = ([each.name for each in cursor.description], cursor.fetchall())
    return found


def section(warehouse: Warehouse) -> str:
    """The README's section: each question, its SQL, and what it answers."""
    found = answers(warehouse)
    parts = []
    for number, question, statement in queries():
        columns, rows = found[number]
        table = tabulate(rows, headers=columns, tablefmt="presto", disable_numparse=False)
        parts += [
            f"**{number}. {question}**",
            f"```sql\n{statement}\n```",
            f"```text\n{table}\n```",
        ]
    return "\n\n".join(parts)
