"""HTTP: `/metrics` for Prometheus, `/healthz` for whoever supervises this process. Read-only."""

from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import Any, TypeAlias
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.registry import Collector

Environ: TypeAlias = dict[str, Any]
StartResponse: TypeAlias = Callable[..., Any]
Application: TypeAlias = Callable[[Environ, StartResponse], Iterable[bytes]]

CLIENT_TIMEOUT_S = 10
"""A client that sends no request, or doesn't read its answer, holds a thread no longer."""


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Handler(WSGIRequestHandler):
    timeout = CLIENT_TIMEOUT_S

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
        """Nothing: a line for each scrape says nothing."""


def application(collector: Collector) -> Application:
    """The two pages, over one collector."""
    registry = CollectorRegistry()
    registry.register(collector)
    metrics: Application = make_wsgi_app(registry)

    def answer(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return _said(start_response, "405 Method Not Allowed", [("Allow", "GET, HEAD")])
        if environ["PATH_INFO"] == "/metrics":
            return metrics(environ, start_response)
        # The process is well when it answers; whether its sources are is in the metrics.
        if environ["PATH_INFO"] == "/healthz":
            return _said(start_response, "200 OK")
        return _said(start_response, "404 Not Found")

    return answer


def _said(
    start_response: StartResponse, status: str, headers: list[tuple[str, str]] | None = None
) -> Iterable[bytes]:
    start_response(status, [("Content-Type", "text/plain; charset=utf-8"), *(headers or [])])
    return [f"{status[4:]}\n".encode()]


def bound(collector: Collector, host: str, port: int) -> WSGIServer:
    """A server that listens and isn't serving yet; port 0 takes any.

    Raises:
        OSError: the address can't be had.
    """
    return make_server(host, port, application(collector), _Server, _Handler)
