"""A small proxy on the loopback: forwards plain requests, and opens tunnels for TLS.

It resolves no names: whatever host is asked for, it connects to the one address that it was given.
"""

import base64
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

PATIENCE_S = 20.0


@dataclass
class HttpProxy:
    """What the proxy does, and what it was asked."""

    upstream: tuple[str, int]
    login: str | None = None
    """`user:password` that it wants."""
    statuses: list[int] = field(default_factory=list)
    """Answers to the next requests in place of the truth."""
    asked: list[str] = field(default_factory=list)
    """Method and target of each request."""
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def refusal(self, headers: dict[str, str]) -> int | None:
        """The status to refuse a request with."""
        if self.statuses:
            return self.statuses.pop(0)
        if self.login is None:
            return None
        token = base64.b64encode(self.login.encode()).decode()
        return None if headers.get("proxy-authorization") == f"Basic {token}" else 407


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(1 << 16):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


@contextmanager
def running_http_proxy(port: int, login: str | None = None) -> Iterator[HttpProxy]:
    """Forward everything to this port of the loopback as long as the block runs."""
    proxy = HttpProxy(("127.0.0.1", port), login)

    class Handler(socketserver.StreamRequestHandler):
        timeout = PATIENCE_S

        def handle(self) -> None:
            method, target, _ = self.rfile.readline().decode().split(" ")
            lines = iter(lambda: self.rfile.readline().decode().strip(), "")
            headers = {name.lower(): value for name, value in (line.split(": ") for line in lines)}
            proxy.asked.append(f"{method} {target}")
            status = proxy.refusal(headers)
            if status is not None:
                refusal = f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                self.wfile.write(refusal.encode())
                return
            with socket.create_connection(proxy.upstream, PATIENCE_S) as upstream:
                if method == "CONNECT":
                    self.wfile.write(b"HTTP/1.1 200 Connected\r\n\r\n")
                    back = threading.Thread(target=_pump, args=(upstream, self.connection))
                    back.start()
                    _pump(self.connection, upstream)
                    back.join()
                else:
                    self._forward(target, headers, upstream)

        def _forward(self, target: str, headers: dict[str, str], upstream: socket.socket) -> None:
            path = "/" + target.split("/", 3)[3]
            kept = [f"{k}: {v}" for k, v in headers.items() if not k.startswith("proxy-")]
            request = [f"GET {path} HTTP/1.1", *kept, "connection: close"]
            upstream.sendall("\r\n".join([*request, "", ""]).encode())
            with upstream.makefile("rb") as reply:
                # One request for each connection keeps this small.
                self.wfile.write(reply.readline() + b"Connection: close\r\n")
                self.wfile.write(reply.read())

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        proxy.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield proxy
        server.shutdown()
