"""The files of `sql/`: every statement is used, and none is asked for that is not there."""

import re
from pathlib import Path

import efo_assets
from efo_assets.warehouse.audit import CHECKS
from efo_assets.warehouse.migrations import MIGRATIONS
from efo_assets.warehouse.statements import named_statements
from efo_assets.warehouse.tables import DERIVED
from efo_assets.warehouse.views import VIEWS

PACKAGE = Path(efo_assets.__file__).parent
ASKED_FOR = re.compile(r"""(?:statement|\.ask)\(\s*"(\w+)\"""")
WORD = re.compile(r"""\"(\w+)\"""")


def test_every_statement_is_used_and_every_one_that_is_named_exists() -> None:
    code = "".join(file.read_text("utf-8") for file in PACKAGE.rglob("*.py"))
    # Those whose names the code puts together.
    composed = {f"check_{check.name}" for check in CHECKS}
    composed |= {f"derive_{table.staged_name}" for table in DERIVED}
    composed |= {f"migration_{number:03}_{name}" for number, name in enumerate(MIGRATIONS, 1)}
    composed |= {"edges_named", "edges_left_out"}
    for view in VIEWS:
        kind = "view" if view.arguments is None else "function"
        composed.add(view.template or f"{kind}_{view.name}")
    present = named_statements().keys()
    # Some are handed on by name before they are asked for.
    assert present - {*WORD.findall(code)} - composed == set()
    assert {*ASKED_FOR.findall(code)} - present == set()


def test_values_are_bound_by_name_alone() -> None:
    positional = re.compile(r"(?<!%)%[sbt]")
    assert [name for name, text in named_statements().items() if positional.search(text)] == []
