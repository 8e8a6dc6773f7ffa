"""The faults of the fake OLS: what is wrong with a reply, and which replies are wrong.

A fault is a function from reply to reply; `first_of`, `on_page` and their like make scripts of
them. Nothing here knows the client.
"""

import asyncio
import gzip
import random
import socket
import struct
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from efo_assets_tests.faults.fake_ols import Asked, Fault, Reply, Script, Send, Wire

LINGER_AND_RESET = struct.pack("ii", 1, 0)


# Which replies.


def on_page(
    fault: Fault, *, page: int = 2, times: int | None = 1, listing: str = "current"
) -> Script:
    """Break the first answers to one page; with `times=None`, all of them."""

    def script(asked: Asked) -> Fault | None:
        hit = not asked.is_probe and (asked.listing, asked.page) == (listing, page)
        return fault if hit and (times is None or asked.attempt < times) else None

    return script


def on_pages(fault: Fault, *, times: int | None = None) -> Script:
    """Break every page, or the first answers to each."""

    def script(asked: Asked) -> Fault | None:
        hit = not asked.is_probe and (times is None or asked.attempt < times)
        return fault if hit else None

    return script


def on_rows(fault: Fault, *rows: int, listing: str = "current") -> Script:
    """Break every page, of whatever size, that holds one of these rows."""

    def script(asked: Asked) -> Fault | None:
        hit = asked.listing == listing and any(row in asked.rows for row in rows)
        return fault if hit and not asked.is_probe else None

    return script


def on_record(fault: Fault, *, times: int | None = None) -> Script:
    """Break the ontology document."""

    def script(asked: Asked) -> Fault | None:
        hit = asked.listing == "record" and (times is None or asked.attempt < times)
        return fault if hit else None

    return script


def everywhere(fault: Fault) -> Script:
    """Break every answer."""
    return lambda _: fault


def randomly(rate: float, seed: int, *faults: Fault) -> Script:
    """Break this share of the pages' answers; the same ones for the same seed, in any order."""

    def script(asked: Asked) -> Fault | None:
        chance = random.Random(f"{seed} {asked.target} {asked.attempt}")
        return chance.choice(faults) if not asked.is_probe and chance.random() < rate else None

    return script


def first_of(*scripts: Script) -> Script:
    """The first of several scripts that has a fault."""

    def script(asked: Asked) -> Fault | None:
        return next((fault for each in scripts if (fault := each(asked)) is not None), None)

    return script


# What is wrong: meaning.


def status(code: int, text: str | bytes = "mapper failed", **headers: str) -> Fault:
    """Answer with a status, a text and more headers."""
    body = text.encode() if isinstance(text, str) else text

    def fault(reply: Reply) -> Reply:
        plain = replace(reply, status=code, body=body, encoding=None)
        return replace(plain, headers=(("Content-Type", "text/plain"),)).with_headers(**headers)

    return fault


def redirect(target: str) -> Fault:
    """Send the client elsewhere."""
    return status(302, "", Location=target)


def headers(**more: str) -> Fault:
    """Add headers."""
    return lambda reply: reply.with_headers(**more)


def edited(edit: Callable[[Any], Any]) -> Fault:
    """Change the document; `edit` changes it in place or gives another."""

    def fault(reply: Reply) -> Reply:
        return replace(reply, document=edit(reply.document) or reply.document)

    return fault


def first_class(**fields: Any) -> Fault:
    """Change fields of the first class of a page."""
    return edited(lambda page: page["elements"][0].update(fields))


def every_class(edit: Callable[[dict[str, Any]], Any]) -> Fault:
    """Change each class of a page in place."""

    def edit_page(page: dict[str, Any]) -> None:
        for each in page["elements"]:
            edit(each)

    return edited(edit_page)


def body(
    content: bytes, encoding: str | None = None, content_type: str = "application/json"
) -> Fault:
    """Answer with these bytes."""
    return lambda reply: replace(
        reply, body=content, encoding=encoding, headers=(("Content-Type", content_type),)
    )


def rewritten(rewrite: Callable[[bytes], bytes]) -> Fault:
    """Change the JSON text, compressed or not afterwards as the reply was."""

    def fault(reply: Reply) -> Reply:
        return replace(reply, body=rewrite(reply.plain), encoding=None)

    return fault


# What is wrong: encoding. Lengths are right.


def _gzip_rewritten(rewrite: Callable[[bytes], bytes]) -> Fault:
    return lambda reply: replace(reply, body=rewrite(gzip.compress(reply.plain)), encoding="gzip")


half_gzip = _gzip_rewritten(lambda zipped: zipped[: len(zipped) // 2])
gzip_without_trailer = _gzip_rewritten(lambda zipped: zipped[:-8])
gzip_with_bad_crc = _gzip_rewritten(lambda zipped: zipped[:-8] + b"\xde\xad\xbe\xef" + zipped[-4:])
gzip_with_flipped_byte = _gzip_rewritten(
    lambda zipped: (
        zipped[: (middle := len(zipped) // 2)]
        + bytes([zipped[middle] ^ 0x55])
        + zipped[middle + 1 :]
    )
)


def bomb_bytes(inflated_bytes: int) -> bytes:
    """A gzip body of zeros in members of 1 MB each: 300 MB in 306 KB."""
    return gzip.compress(bytes(1 << 20), 9) * (inflated_bytes >> 20)


def bomb(inflated_bytes: int) -> Fault:
    """A small body that becomes a huge one."""
    return lambda reply: replace(reply, body=bomb_bytes(inflated_bytes), encoding="gzip")


def said_encoding(name: str) -> Fault:
    """Name an encoding that was not asked for."""
    return lambda reply: replace(reply, body=reply.plain, encoding=name)


# What is wrong: the way it is sent.


def sent(send: Send) -> Fault:
    """Send the reply in another way."""
    return lambda reply: replace(reply, send=send)


def http_1_0(reply: Reply) -> Reply:
    """An old server: HTTP/1.0, one request for each connection, no length."""

    async def send(wire: Wire, reply: Reply) -> bool:
        await wire.write(reply.head(("Connection", "close")) + reply.sent_body)
        return False

    return replace(reply, version="1.0", send=send)


async def _nothing(_: Wire, __: Reply) -> bool:
    return False


closed_before_headers = sent(_nothing)


def _reset(wire: Wire) -> None:
    connection: socket.socket = wire.writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_AND_RESET)
    wire.writer.transport.abort()


def reset_after(sent_bytes: int) -> Fault:
    """RST after so many bytes of the body."""

    async def send(wire: Wire, reply: Reply) -> bool:
        await wire.write(reply.head() + reply.sent_body[:sent_bytes])
        _reset(wire)
        return False

    return sent(send)


def cut_at(share: float) -> Fault:
    """Close the connection after this share of all bytes, headers included."""

    async def send(wire: Wire, reply: Reply) -> bool:
        everything = reply.head() + reply.sent_body
        await wire.write(everything[: int(len(everything) * share)])
        return False

    return sent(send)


def swollen(begin: bytes, filler: bytes, total_bytes: int) -> Fault:
    """A plain body of this length, made while it is sent."""

    async def send(wire: Wire, reply: Reply) -> bool:
        await wire.write(reply.head(("Content-Length", str(total_bytes))) + begin)
        piece = filler * (1 << 16)
        for _ in range((total_bytes - len(begin)) // len(piece)):
            await wire.write(piece)
        return False

    return lambda reply: replace(reply, body=b"", encoding=None, send=send)


def dripping(interval_s: float) -> Fault:
    """One byte of the body after the other, until the client has had enough."""

    async def send(wire: Wire, reply: Reply) -> bool:
        await wire.write(reply.head())
        for byte in reply.sent_body:
            await wire.write(bytes([byte]))
            await wire.wait(interval_s)
            if wire.is_closed:
                break
        return False

    return sent(send)


def late(seconds: float) -> Fault:
    """Answer after some time."""

    async def send(wire: Wire, reply: Reply) -> bool:
        await wire.wait(seconds)
        await wire.write(reply.head() + reply.sent_body)
        return True

    return sent(send)


hanging = late(60.0)


async def _long_length(wire: Wire, reply: Reply) -> bool:
    length = str(len(reply.sent_body) + 1000)
    await wire.write(reply.head(("Content-Length", length)) + reply.sent_body)
    return False


async def _unterminated(wire: Wire, reply: Reply) -> bool:
    chunk = f"{len(reply.sent_body):x}\r\n".encode() + reply.sent_body + b"\r\n"
    await wire.write(reply.head(("Transfer-Encoding", "chunked")) + chunk)
    return False


async def _garbled_chunks(wire: Wire, reply: Reply) -> bool:
    await wire.write(reply.head(("Transfer-Encoding", "chunked")) + b"zz\r\n" + reply.sent_body)
    return False


async def _closed_when_idle(wire: Wire, reply: Reply) -> bool:
    await wire.write(reply.head() + reply.sent_body)
    await asyncio.sleep(0)
    return False


long_content_length = sent(_long_length)
chunked_without_end = sent(_unterminated)
garbled_chunks = sent(_garbled_chunks)
closed_when_idle = sent(_closed_when_idle)
