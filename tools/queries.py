"""The questions of docs/queries.sql, and their answers on the release that `make demo` loads."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from tabulate import tabulate

from efo_assets.sample.demo import DEFAULT_CLASSES
from efo_assets.sample.ontology import release
from efo_assets.warehouse.warehouse import Warehouse
from efo_assets_tests.oracle.rows import ExpectedRows, expected_rows
from efo_assets_tests.warehouse.loads import publish

QUERIES = Path(__file__).parents[1] / "docs" / "queries.sql"
_HEAD = re.compile(r"^-- (\d+)\. (.+)\n", re.MULTILINE)

_ABOUT = (
    "Made by `python -m tools.readme` from [queries.sql](queries.sql), on two releases "
    "of generated sample data (20,000 classes). A test compares questions and answers, and sees "
    "that no plan reads a large table from end to end."
)
_PLAN = "<details><summary>Plan</summary>\n\n```text\n{}\n```\n\n</details>"


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
    """Publish what `make demo` publishes, and the next release, as the generator expects them."""
    for number in (1, 2):
        made = release(DEFAULT_CLASSES, 1, number)
        _publish(warehouse, made.version, expected_rows(made))


def _publish(warehouse: Warehouse, version: str, rows: ExpectedRows) -> None:
    publish(
        warehouse,
        version,
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
            cursor = connection.execute(query.statement)
            names = [column.name for column in cursor.description or ()]
            found[query.number] = (names, cursor.fetchall())
    return found


def plans(warehouse: Warehouse) -> dict[int, str]:
    """How PostgreSQL goes about each query, by number."""
    found = {}
    with warehouse.connect() as connection, connection.transaction():
        connection.execute("set local search_path = public, efo_meta")
        for query in queries():
            lines = connection.execute(f"explain (costs off) {query.statement}").fetchall()
            found[query.number] = "\n".join(line for (line,) in lines)
    return found


def section(warehouse: Warehouse, most: int | None = None) -> str:
    """Each question, its SQL, and what it answers; of all, or of the first ones."""
    found = answers(warehouse)
    parts = []
    for query in queries()[:most]:
        parts += _question(query, *found[query.number])
    return "\n\n".join(parts)


def page(warehouse: Warehouse) -> str:
    """docs/questions.md: every question, its SQL, what it answers, and the plan."""
    found, planned = answers(warehouse), plans(warehouse)
    parts = [
        "# Twenty questions",
        _ABOUT,
    ]
    for query in queries():
        parts += [*_question(query, *found[query.number]), _PLAN.format(planned[query.number])]
    return "\n\n".join(parts) + "\n"


def without_plans(text: str) -> str:
    """A page without its plans, which hang on statistics."""
    return re.sub(r"<details>.*?</details>\n*", "", text, flags=re.DOTALL).strip()


def _question(query: Query, columns: list[str], rows: list[tuple[Any, ...]]) -> list[str]:
    table = tabulate(rows, headers=columns, tablefmt="presto", disable_numparse=False)
    return [
        f"**{query.number}. {query.question}**",
        f"```sql\n{query.statement}\n```",
        f"```text\n{table}\n```",
    ]
