"""The process that Prometheus scrapes: `/metrics`, and `/healthz` for a supervisor. Read-only.

People find the reports of releases at `/reports`. Metrics are read from Dagster's instance
(DAGSTER_HOME) and the ledger in PostgreSQL (EFO_DATABASE_URL, or the embedded server) whenever
`/metrics` is requested. A source that is down is a metric, too.
"""

import logging
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.registry import Collector

from efo_assets.errors import SettingsError
from efo_assets.monitoring.catalogue import DAGSTER, DATABASE
from efo_assets.monitoring.dagster_metrics import read_instance
from efo_assets.monitoring.history import opened_instance
from efo_assets.monitoring.reports import PATH, POLICY, page
from efo_assets.monitoring.sources import Source, Sources
from efo_assets.monitoring.warehouse_metrics import opened_warehouse, read_warehouse
from efo_assets.settings import Settings, dagster_home

CLIENT_TIMEOUT_S = 10
"""A client that sends no request, or doesn't read its answer, holds a thread no longer."""


def serve(settings: Settings, host: str, port: int) -> None:
    """Serve the metrics until SIGTERM or Ctrl-C; port 0 takes any free one.

    The body of a command: it sets up logging and SIGTERM for the whole process.

    Raises:
        SettingsError: host and port can't be listened at.
    """
    # What others log at INFO (migrations of an SQLite history, say) is of no use here.
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("efo_assets").setLevel(logging.INFO)
    with (
        suppress(KeyboardInterrupt),
        opened_sources(settings, dagster_home()) as sources,
        bound(sources, host, port, settings.data_dir) as server,
    ):
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        sources.begin()
        sys.stdout.write(f"Metrics at http://{host}:{server.server_port}/metrics\n")
        sys.stdout.flush()
        server.serve_forever()


@contextmanager
def opened_sources(settings: Settings, home: Path | None) -> Iterator[Sources]:
    """Dagster's history and the database, closed with the block; `home` is Dagster's."""
    with (
        closing(Source(DAGSTER, lambda: opened_instance(home), read_instance)) as history,
        closing(Source(DATABASE, lambda: opened_warehouse(settings), read_warehouse)) as database,
    ):
        yield Sources([history, database])


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Handler(WSGIRequestHandler):
    timeout = CLIENT_TIMEOUT_S

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
        """Log nothing: a line for each scrape says nothing."""


def bound(collector: Collector, host: str, port: int, data_dir: Path) -> WSGIServer:
    """A server that listens and isn't serving yet; exports are in the data directory.

    Raises:
        SettingsError: the address can't be listened at.
    """
    try:
        return make_server(host, port, _application(collector, data_dir), _Server, _Handler)
    except (OSError, OverflowError) as error:  # Python's word for a port beyond 65535
        reason = getattr(error, "strerror", None) or error
        raise SettingsError(
            f"The metrics can't be served at {host}:{port} ({reason}): end what listens there, or "
            "take another --host or --port."
        ) from None


def _application(collector: Collector, data_dir: Path) -> WSGIApplication:
    registry = CollectorRegistry()
    registry.register(collector)
    metrics: WSGIApplication = make_wsgi_app(registry)

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        headers = [("Content-Type", "text/plain; charset=utf-8")]
        path = environ["PATH_INFO"]
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            status = "405 Method Not Allowed"
            headers.append(("Allow", "GET, HEAD"))
        elif path == "/metrics":
            return metrics(environ, start_response)
        elif f"{path}/".startswith(f"{PATH}/") and (report := page(data_dir, path)) is not None:
            of_page = [("Content-Security-Policy", POLICY), ("X-Content-Type-Options", "nosniff")]
            start_response("200 OK", [("Content-Type", "text/html; charset=utf-8"), *of_page])
            return [report]
        elif path == "/healthz":
            # The process is well when it answers; whether its sources are is in the metrics.
            status = "200 OK"
        else:
            status = "404 Not Found"
        start_response(status, headers)
        return [f"{status[4:]}\n".encode()]

    return answer
