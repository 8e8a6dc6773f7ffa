"""The sample OLS server as a process of its own, warmed, with its counters."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

LATENCY = {"base_latency_ms": 250.0, "row_latency_ms": 3.0}
"""Reproduces the 2-3 s per 100 terms that earlier pipelines report of OLS."""
NO_LATENCY = dict.fromkeys(LATENCY, 0.0)
START_TIMEOUT_S = 3600.0
POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Sample:
    """A running sample server."""

    url: str

    def counters(self) -> dict[str, Any]:
        """Requests, most in flight and bytes since the last `reset`."""
        return self._ask("GET", "requests")

    def reset(self) -> None:
        """Count anew."""
        self._ask("DELETE", "requests")

    def configure(self, **state: float) -> None:
        """Change what the server serves: `release`, `base_latency_ms`, `row_latency_ms`."""
        self._ask("PUT", "state", state)

    def _ask(self, method: str, what: str, body: Any = None) -> dict[str, Any]:
        data = json.dumps(body).encode() if body is not None else None
        request = Request(
            f"{self.url}/_sample/{what}",
            data=data,
            method=method,
            headers={"Content-Type": "application/json"},
        )
        with urlopen(request) as answer:
            text = answer.read()
        return dict(json.loads(text)) if text else {}


@contextmanager
def sample_server(classes: int, *options: str, releases: int = 2) -> Iterator[Sample]:
    """Start the server, wait until so many releases are rendered, end it in the end."""
    with tempfile.TemporaryDirectory() as folder:
        port_file = Path(folder) / "port"
        command = [sys.executable, "-m", "efo_assets", "sample", "--as-efo", f"--warm={releases}"]
        command += ["--port", "0", "--port-file", str(port_file)]
        command += ["--classes", str(classes), *options]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            yield Sample(f"http://127.0.0.1:{_port(server, port_file)}")
        finally:
            server.terminate()
            server.wait()


def _port(server: "subprocess.Popen[bytes]", port_file: Path) -> int:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and server.poll() is None:
        if port_file.exists():
            return int(port_file.read_text())
        time.sleep(POLL_S)
    raise SystemExit("The sample server did not start.")
