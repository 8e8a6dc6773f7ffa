"""Serve the project's metrics to Prometheus until SIGTERM or Ctrl-C."""

import argparse
import sys
from collections.abc import Sequence

from efo_assets.errors import SettingsError
from efo_assets.monitoring.exporter import DEFAULT_PORT, serve
from efo_assets.settings import Settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m efo_assets.monitoring", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="0 takes any free one")
    given = parser.parse_args(arguments)
    try:
        serve(Settings.from_environment(), given.host, given.port)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
