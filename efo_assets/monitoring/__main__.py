"""Serve the project's metrics to Prometheus until SIGTERM or Ctrl-C.

Reads Dagster's instance (DAGSTER_HOME) and the ledger in PostgreSQL (EFO_DATABASE_URL, or the
embedded server) whenever /metrics is asked for. A source that is down is a metric, too.
"""

import argparse
import logging
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, NoReturn

from efo_assets.errors import SettingsError
from efo_assets.monitoring.catalogue import DAGSTER, DATABASE
from efo_assets.monitoring.dagster_metrics import opened_instance, read_instance
from efo_assets.monitoring.server import bound
from efo_assets.monitoring.sources import Source, Sources
from efo_assets.monitoring.warehouse_metrics import opened_warehouse, read_warehouse
from efo_assets.settings import Settings

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
    database: Source[Any] = Source(DATABASE, lambda: opened_warehouse(settings), read_warehouse)
    history: Source[Any] = Source(DAGSTER, opened_instance, read_instance)
    with ExitStack() as closing:
        for source in (database, history):
            closing.callback(source.close)
        server = closing.enter_context(bound(Sources([history, database]), host, port))
        signal.signal(signal.SIGTERM, _end)
        for source in (database, history):
            source.reading()  # the first one opens the source and takes longest
        sys.stdout.write(f"Metrics at http://{host}:{server.server_port}/metrics\n")
        sys.stdout.flush()
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return 0
    return 0


def _end(*_: Any) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
