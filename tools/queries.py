"""The questions of docs/queries.sql with their answers and plans on the sample's first releases."""

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

from tabulate import tabulate

from efo_assets.__main__ import DEFAULT_CLASSES
from efo_assets.sample.ontology import SAMPLE, release
from efo_assets.warehouse.warehouse import Warehouse
from efo_assets_tests.oracle.rows import expected_rows
from efo_assets_tests.warehouse.loads import expected, publish

QUERIES = Path(__file__).parents[1] / "docs" / "queries.sql"
_HEAD = re.compile(r"^\\echo '(\d+)\. (.+)'\n(?:\\echo .+\n)*", re.MULTILINE)
"""What psql prints before an answer: the question, and a remark on the answer."""
_TITLE = """# Twenty-one questions

Made by `python -m tools.readme` from [queries.sql](queries.sql), on two releases of generated \
sample data (20,000 classes). A test compares questions and answers, and sees that no plan reads a \
large table from end to end."""
_PLAN = "<details><summary>Plan</summary>\n\n```text\n{}\n```\n\n</details>"


class Query(NamedTuple):
    """One question and the statement that answers it."""

    number: int
    question: str
    statement: str


class Answer(NamedTuple):
    """What PostgreSQL returns for a query."""

    columns: list[str]
    rows: list[tuple[Any, ...]]


def queries() -> list[Query]:
    """All of docs/queries.sql, in order."""
    _, *parts = _HEAD.split(QUERIES.read_text())
    return [
        Query(int(number), question.replace("''", "'"), statement.strip())
        for number, question, statement in zip(parts[::3], parts[1::3], parts[2::3], strict=True)
    ]


def publish_sample(warehouse: Warehouse) -> None:
    """Publish the release that `make demo` loads and the next one, as the oracle expects them."""
    for number in (1, 2):
        generated = release(DEFAULT_CLASSES, 1, number, SAMPLE)
        rows = expected(expected_rows(generated))
        publish(warehouse, generated.version, ontology=SAMPLE.ontology, **rows)


def answers(warehouse: Warehouse) -> dict[int, Answer]:
    """Answer of each query, by its number."""
    return _run(warehouse, "")


def plans(warehouse: Warehouse) -> dict[int, str]:
    """PostgreSQL's plan of each query, by its number."""
    lines = _run(warehouse, "explain (costs off) ")
    return {number: "\n".join(line for (line,) in plan.rows) for number, plan in lines.items()}


def _run(warehouse: Warehouse, prefix: str) -> dict[int, Answer]:
    with warehouse.connect() as connection, connection.transaction():
        connection.execute("set local search_path = public, efo_meta")
        results = {}
        for query in queries():
            cursor = connection.execute(prefix + query.statement)
            columns = [column.name for column in cursor.description or ()]
            results[query.number] = Answer(columns, cursor.fetchall())
        return results


def part(warehouse: Warehouse, numbers: Collection[int]) -> str:
    """These questions with their SQL and answers, without numbers, for the README."""
    results = answers(warehouse)
    return "\n\n".join(
        f"**{query.question}**\n\n" + "\n".join(_blocks(query, results[query.number]))
        for query in queries()
        if query.number in numbers
    )


def page(warehouse: Warehouse) -> str:
    """docs/questions.md: every question with its SQL, answer and plan."""
    results, explained = answers(warehouse), plans(warehouse)
    parts = [_TITLE]
    for query in queries():
        parts.append(f"**{query.number}. {query.question}**")
        parts += _blocks(query, results[query.number])
        parts.append(_PLAN.format(explained[query.number]))
    return "\n\n".join(parts) + "\n"


def without_plans(text: str) -> str:
    """A page without its plans, which depend on the planner's statistics."""
    return re.sub(r"<details>.*?</details>\n*", "", text, flags=re.DOTALL).strip()


def _blocks(query: Query, answer: Answer) -> list[str]:
    table = tabulate(answer.rows, headers=answer.columns, tablefmt="presto")
    return [f"```sql\n{query.statement}\n```", f"```text\n{table}\n```"]
