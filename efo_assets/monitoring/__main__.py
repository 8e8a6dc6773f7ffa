"""Serve the project's metrics to Prometheus until SIGTERM or Ctrl-C.

Reads Dagster's instance (DAGSTER_HOME) and the ledger in PostgreSQL (EFO_DATABASE_URL, or the
embedded server) whenever /metrics is asked for. A source that is down is a metric, too.
"""

import argparse
import logging
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NoReturn

from efo_assets.errors import SettingsError
from efo_assets.monitoring.exporter import opened_sources
from efo_assets.monitoring.server import bound
from efo_assets.settings import Settings, dagster_home

DEFAULT_PORT = 9464


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m efo_assets.monitoring", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="0 takes any free one")
    given = parser.parse_args(arguments)
    # What others say at INFO (migrations of an SQLite history, say) is of no use here.
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("efo_assets").setLevel(logging.INFO)
    try:
        return _serve(Settings.from_environment(), given.host, given.port)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
    except (OSError, OverflowError) as error:  # Python's word for a port beyond 65535
        reason = getattr(error, "strerror", None) or error
        sys.stderr.write(
            f"The metrics can't be served at {given.host}:{given.port} ({reason}): "
            "end what listens there, or take another --host or --port.\n"
        )
    return 1


def _serve(settings: Settings, host: str, port: int) -> int:
    with (
        suppress(KeyboardInterrupt),
        opened_sources(settings, dagster_home()) as sources,
        bound(sources, host, port) as server,
    ):
        signal.signal(signal.SIGTERM, _end)
        sources.begin()
        sys.stdout.write(f"Metrics at http://{host}:{server.server_port}/metrics\n")
        sys.stdout.flush()
        server.serve_forever()
    return 0


def _end(*_: Any) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
