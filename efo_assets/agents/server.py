"""The tools by the Model Context Protocol: over standard input and output, or HTTP on the loopback.

The SDK (`mcp`) is an optional extra, and is imported here alone.
"""

import functools
import inspect
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from typing import Any

import anyio
import uvicorn
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.transport_security import TransportSecuritySettings
from mcp_types import CallToolResult, InputRequiredResult, ToolAnnotations
from pydantic import ValidationError

from efo_assets.agents.tools import INSTRUCTIONS, LONGEST_INPUT, Answer, Tools
from efo_assets.errors import EfoError, SettingsError
from efo_assets.privacy.disclosure import no_secret_shown, shown
from efo_assets.warehouse.reader import Reader

LOOPBACK = "127.0.0.1"
PATH = "/mcp"
LARGEST_REQUEST_BYTES = 100_000
GRACE_S = 2
"""How long requests that are under way may take when the server ends."""
_READS = ToolAnnotations(
    read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
)


class Server(MCPServer):
    """Refuses what a tool doesn't take by one sentence, where the SDK says nothing or a page."""

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[Any, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        """As the SDK's."""
        for tool in await self.list_tools():
            taken = tool.input_schema["properties"]
            if tool.name == name and (unknown := sorted(arguments.keys() - taken.keys())):
                raise ToolError(
                    f'{name} takes no argument "{shown(unknown[0][:LONGEST_INPUT])}": it takes '
                    f"{', '.join(taken)}."
                )
        try:
            return await super().call_tool(name, arguments, context)
        except ToolError as error:
            if not isinstance(error.__cause__, ValidationError):
                raise
            wrong = error.__cause__.errors(include_url=False)[0]
            sentence = f"{wrong['msg'][:1].lower()}{wrong['msg'][1:]}"
            raise ToolError(
                f'The argument "{wrong["loc"][0]}" of {name} is wrong: {sentence}.'
            ) from None


def server(reader: Reader) -> Server:
    """A server of the tools, which isn't connected yet."""
    made = Server(
        "efo_assets",
        title="Ontology terms",
        version=version("efo_assets"),
        instructions=INSTRUCTIONS,
        log_level="WARNING",
        subscriptions=False,
    )
    for tool in Tools(reader).all:
        made.add_tool(_guarded(tool), description=inspect.getdoc(tool), annotations=_READS)
    return made


def _guarded(tool: Callable[..., Answer]) -> Callable[..., Answer]:
    @functools.wraps(tool)
    def guarded(*args: object, **options: object) -> Answer:
        try:
            with no_secret_shown():
                return tool(*args, **options)
        except EfoError as error:
            raise ToolError(shown(error)) from None

    return guarded


def serve_stdio(reader: Reader) -> None:
    """Serve the client that started this process, until it closes our standard input.

    Ctrl-C and SIGTERM end it, too.

    Raises:
        EfoError: a request is too large, which ends it.
    """
    _log_to_stderr()
    is_too_large = _let_signals_end_input()
    anyio.run(server(reader).run_stdio_async)
    if is_too_large.is_set():
        raise EfoError(
            f"A request of over {LARGEST_REQUEST_BYTES:,} bytes came, which ends the server "
            "without an answer to it: start it again, and ask for less at once."
        )


def _let_signals_end_input() -> threading.Event:
    """Let a signal end standard input, since the SDK reads it in a thread that nothing else ends.

    What comes passes a pair of sockets, of which a signal closes the end that is written to.
    A request that is too large does so, too, and is told by the event: the SDK has no way to answer
    what it hasn't read.
    """
    is_too_large = threading.Event()
    ours, theirs = socket.socketpair()
    client = os.dup(0)
    os.dup2(theirs.fileno(), 0)
    theirs.close()

    def end(*_: object) -> None:
        with suppress(OSError):
            ours.shutdown(socket.SHUT_WR)

    def pass_on() -> None:
        length = 0
        with suppress(OSError):
            while data := os.read(client, 65_536):
                lines = data.split(b"\n")
                if length + len(lines[0]) > LARGEST_REQUEST_BYTES:
                    is_too_large.set()
                    break
                length = len(lines[-1]) + (length if len(lines) == 1 else 0)
                ours.sendall(data)
        end()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    # A daemon, since it may wait for its client for ever.
    threading.Thread(target=pass_on, name="efo-agent-input", daemon=True).start()
    return is_too_large


def serve_http(reader: Reader, port: int) -> None:
    """Serve clients of this machine until Ctrl-C or SIGTERM; port 0 takes any free one.

    Raises:
        SettingsError: the port can't be listened at.
    """
    _log_to_stderr()
    try:
        listening = socket.create_server((LOOPBACK, port))
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise SettingsError(
            f"{LOOPBACK}:{port} can't be listened at ({reason}): end what listens there, or take "
            "another --port."
        ) from None
    with listening:
        port = listening.getsockname()[1]
        application = server(reader).streamable_http_app(
            streamable_http_path=PATH,
            # Without sessions nothing is left behind by a client that goes away.
            stateless_http=True,
            json_response=True,
            max_request_body_size=LARGEST_REQUEST_BYTES,
            # A page in a browser of this machine has a name of its own for 127.0.0.1, or an origin.
            transport_security=TransportSecuritySettings(
                allowed_hosts=[f"{LOOPBACK}:{port}", f"localhost:{port}"]
            ),
        )
        config = uvicorn.Config(application, log_level="warning", timeout_graceful_shutdown=GRACE_S)
        sys.stdout.write(f"http://{LOOPBACK}:{port}{PATH}\nServed until Ctrl-C.\n")
        sys.stdout.flush()
        anyio.run(lambda: uvicorn.Server(config).serve(sockets=[listening]))


def _log_to_stderr() -> None:
    """Before the SDK does so in its own way."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
