"""Write the parts of README.md and docs/ that follow from the code, the sample and measurements.

`python -m tools.readme` rewrites them in place; a test fails where one is stale.
"""

import sys
import tempfile
from pathlib import Path

from efo_assets.settings import Settings
from efo_assets.warehouse.schema import PREFIX, Schema
from efo_assets.warehouse.tables import TABLES, Table
from efo_assets.warehouse.views import WORDS, views_of
from efo_assets.warehouse.warehouse import Warehouse
from tools import queries

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
README = ROOT / "README.md"
IN_README = (2, 4, 10, 13)
"""Numbers of the questions that the README shows; docs/questions.md has all of them."""


def pages(warehouse: Warehouse) -> dict[Path, str]:
    """Each page with generated parts, as it should be; `warehouse` holds the sample's releases."""
    results = (ROOT / "benchmarks" / "results.md").read_text().strip()
    return {
        DOCS / "tables.md": _page(DOCS / "tables.md", "tables", tables_part()),
        DOCS / "figures.md": _page(DOCS / "figures.md", "figures", results),
        README: _page(README, "questions", queries.part(warehouse, IN_README)),
        DOCS / "questions.md": queries.page(warehouse),
    }


def tables_part() -> str:
    """All published tables with their columns, and the views, from the specifications."""
    tables = [_table_section(table) for table in TABLES]
    views = [
        f"**`{PREFIX}{WORDS.name}`** (table): {WORDS.purpose}",
    ]
    views += [
        f"**`{PREFIX}{view.name}`** (view): {view.purpose}"
        if view.arguments is None
        else f"**`{PREFIX}{view.name}({view.arguments})`** (function): {view.purpose}"
        for view in views_of(Schema("public"))
    ]
    return "\n\n".join(tables + views)


def _table_section(table: Table) -> str:
    key = ", ".join(f"`{name}`" for name in table.published_key)
    rows = [
        f"| `{column.name}` | {column.type} | {'yes' if column.nullable else ''} "
        f"| {column.comment.replace('|', chr(92) + '|')} |"
        for column in table.published_columns
    ]
    return "\n".join(
        [
            f"## {table.name}",
            "",
            f"{table.comment} Unique: {key}.",
            "",
            "| column | type | null | |",
            "| --- | --- | --- | --- |",
            *rows,
        ]
    )


def _page(path: Path, name: str, part: str) -> str:
    """The page's text with `part` between its markers."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    before, found, rest = path.read_text().partition(begin)
    _, found_end, after = rest.partition(end)
    if not found or not found_end:
        raise SystemExit(f"{path.name} has no part {name}")
    return f"{before}{begin}\n{part}\n{end}{after}"


def main() -> None:
    """Publish the sample in a PostgreSQL of its own, and write every page from it."""
    with tempfile.TemporaryDirectory(prefix="efo-readme-") as folder:
        settings = Settings.from_environment({"EFO_DATA_DIR": folder})
        with Warehouse.opened(settings) as warehouse:
            queries.publish_sample(warehouse)
            for path, text in pages(warehouse).items():
                path.write_text(text)
                sys.stdout.write(f"{path.relative_to(ROOT)} is up to date\n")


if __name__ == "__main__":
    main()
