"""How large the code is and how far its story is spread; `python -m tools.count [FOLDER]`.

Counts lines of Python and SQL, files, lengths of functions (in lines, from `def` to the last one),
functions whose name stands once more in the package than where it is defined, and the modules and
SQL files that one release passes from page to published row: those of which a line of a function
runs, and those that are read, while a release of a small generated ontology is loaded.
"""

import ast
import json
import re
import statistics
import subprocess
import sys
from collections import Counter
from pathlib import Path

DEFINED_AND_CALLED = 2
PACKAGE, TESTS = "efo_assets", "efo_assets_tests"

# Runs in the environment and with the engine of the tree that is counted, be it older or newer.
_TRACED = """
import json, sys, tempfile
from pathlib import Path
root = str(Path.cwd() / "efo_assets")
seen = set()
def trace(frame, event, arg):
    name = frame.f_code.co_filename
    if name.startswith(root) and frame.f_code.co_name != "<module>" and "/sample/" not in name:
        seen.add(name[len(root) + 1:])
def hear(event, args):
    if event == "open" and str(args[0]).startswith(root) and str(args[0]).endswith(".sql"):
        seen.add(str(args[0])[len(root) + 1:])
from efo_assets_tests.faults.engine import load_once, settings_for
from efo_assets.sample.server import running_sample
from efo_assets.warehouse.embedded import embedded_server, remove
import threading
folder = Path(tempfile.mkdtemp(prefix="efo-c-"))
folder.chmod(0o755)
sys.addaudithook(hear)  # SQL files are read once, by the first connection
with running_sample(classes=60) as sample, embedded_server(folder) as target:
    threading.setprofile(trace)
    sys.setprofile(trace)
    load_once(settings_for(sample.url, target, folder / "data"))
    sys.setprofile(None)
    threading.setprofile(None)
remove(folder)
print(json.dumps(sorted(seen)))
"""


def main() -> None:
    """Print one line for each figure."""
    root = Path(sys.argv[1] if len(sys.argv) > 1 else ".").absolute()
    package, tests = root / PACKAGE, root / TESTS
    sources = [path.read_text() for path in package.rglob("*.py")]
    lengths, names = _functions(sources)
    words = Counter(word for text in sources for word in re.findall(r"\w+", text))
    once = sum(words[name] == DEFINED_AND_CALLED for name in names)
    passed = _passed(root)
    for what, figure in (
        ("package, lines of Python", _lines(package, "*.py")),
        ("package, lines of SQL", _lines(package, "*.sql")),
        ("package, files of Python", len(sources)),
        ("package, files of SQL", len(list(package.rglob("*.sql")))),
        ("tests, lines of Python", _lines(tests, "*.py")),
        ("tests, files of Python", len(list(tests.rglob("*.py")))),
        ("package, longest line", max(len(line) for s in sources for line in s.splitlines())),
        ("functions", len(lengths)),
        ("function, median lines", statistics.median(lengths)),
        ("function, 90th percentile", statistics.quantiles(lengths, n=10)[-1]),
        ("functions named once beside their definition, %", round(100 * once / len(lengths))),
        ("modules one release passes", sum(each.endswith(".py") for each in passed)),
        ("SQL files one release reads", sum(each.endswith(".sql") for each in passed)),
    ):
        sys.stdout.write(f"{what:<50} {figure:>8,}\n")


def _lines(folder: Path, pattern: str) -> int:
    return sum(len(path.read_text().splitlines()) for path in folder.rglob(pattern))


def _functions(sources: list[str]) -> tuple[list[int], list[str]]:
    """Length and name of each function and method."""
    found = [
        node
        for text in sources
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return [(each.end_lineno or 0) - each.lineno + 1 for each in found], [e.name for e in found]


def _passed(root: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", _TRACED], cwd=root, stdout=subprocess.PIPE, text=True, check=True
    )
    found: list[str] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    main()
