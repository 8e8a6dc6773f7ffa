"""The parts of README.md that are made from the code and from measurements.

`python -m tools.readme` rewrites them in place; a test fails when they are stale.
"""

import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from efo_assets.settings import Settings
from efo_assets.warehouse.tables import TABLES, Table
from efo_assets.warehouse.views import VIEWS
from efo_assets.warehouse.warehouse import Warehouse
from tools import queries

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
QUESTIONS = ROOT / "docs" / "questions.md"
IN_README = 10
"""Questions that the README shows; docs/questions.md has all of them."""
RESULTS = ROOT / "benchmarks" / "results.md"


def tables_section() -> str:
    """All published tables with their columns, from the specifications."""
    parts = [_table_section(table) for table in TABLES]
    parts += [
        f"**`{view.name}`** (view): {view.purpose}"
        if view.arguments is None
        else f"**`{view.name}({view.arguments})`** (function): {view.purpose}"
        for view in VIEWS
    ]
    return "\n\n".join(parts)


def _table_section(table: Table) -> str:
    rows = [
        f"| `{column.name}` | {column.type} | {'yes' if column.nullable else ''} "
        f"| {column.comment.replace('|', chr(92) + '|')} |"
        for column in table.published_columns
    ]
    key = ", ".join(f"`{name}`" for name in table.published_key)
    return "\n".join(
        [
            f"**`{table.name}`**: {table.comment} Unique: {key}.",
            "",
            "| column | type | null | |",
            "| --- | --- | --- | --- |",
            *rows,
        ]
    )


def sections() -> dict[str, str]:
    """Section name to the text that must stand in the README, but for the queries."""
    return {"tables": tables_section(), "bench": RESULTS.read_text().strip()}


def rewritten(text: str, parts: Mapping[str, str]) -> str:
    """`text` with these sections as they should be."""
    for name, section in parts.items():
        block = f"<!-- {name}:begin -->\n{section}\n<!-- {name}:end -->"
        pattern = re.compile(f"<!-- {name}:begin -->.*?<!-- {name}:end -->", re.DOTALL)
        if not pattern.search(text):
            raise SystemExit(f"README.md has no section {name}")
        text = pattern.sub(block.replace("\\", r"\\"), text)
    return text


def _write_questions() -> None:
    with tempfile.TemporaryDirectory(prefix="efo-readme-") as folder:
        settings = Settings.from_environment({"EFO_DATA_DIR": folder})
        with Warehouse.opened(settings) as warehouse:
            queries.publish_demo(warehouse)
            QUESTIONS.write_text(queries.page(warehouse))
            made = {**sections(), "queries": queries.section(warehouse, IN_README)}
    README.write_text(rewritten(README.read_text(), made))


if __name__ == "__main__":
    _write_questions()
    sys.stdout.write("README.md and docs/questions.md are up to date\n")
