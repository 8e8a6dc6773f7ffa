"""A guest in other people's processes: importing the package changes nothing outside it."""

import subprocess
import sys
from pathlib import Path

import pytest

import efo_assets

PACKAGE = Path(efo_assets.__path__[0])
LOOK = """
import logging, signal, sys, warnings
import stamina.instrumentation

def state():
    return {
        "stamina's hooks": stamina.instrumentation.get_on_retry_hooks(),
        "log records": logging.getLogRecordFactory(),
        "logger class": logging.getLoggerClass(),
        "root handlers": list(logging.root.handlers),
        "root filters": list(logging.root.filters),
        "root level": logging.root.level,
        "handlers of other loggers": {
            name: [*log.handlers, *log.filters]
            for name, log in logging.root.manager.loggerDict.items()
            if isinstance(log, logging.Logger) and (log.handlers or log.filters)
            and not name.startswith("efo_assets")
        },
        "tracebacklimit": getattr(sys, "tracebacklimit", None),
        "excepthook": sys.excepthook,
        "warning filters": list(warnings.filters),
        "signal handlers": {each: signal.getsignal(each) for each in signal.valid_signals()},
        "switch interval": sys.getswitchinterval(),
    }
"""
OTHERS = "import dagster, aiohttp, psycopg, pydantic, prometheus_client"
"""What these change when they are imported is not our doing."""


@pytest.mark.parametrize(
    "ours",
    [
        "import efo_assets.definitions; efo_assets.definitions.build_defs()",
        "import efo_assets; efo_assets.ontology_graph(efo_assets.Ontology(id='mondo'))",
        "import efo_assets; efo_assets.OlsOntologyComponent(id='mondo')",
        "import efo_assets.__main__",
        "import efo_assets.monitoring.exporter",
        "import efo_assets.agents.tools",
    ],
)
def test_importing_it_changes_nothing_outside(ours: str) -> None:
    code = f"""{LOOK}
{OTHERS}
before = state()
{ours}
after = state()
for name, value in before.items():
    if after[name] != value:
        print(name, value, after[name])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout == ""


def test_every_module_takes_its_logger_from_the_boundary() -> None:
    bare = [path for path in PACKAGE.rglob("*.py") if "getLogger(__name__)" in path.read_text()]
    assert bare == []
