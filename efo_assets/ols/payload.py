"""Bodies as OLS sends them: inflate, then decode into a type. No input or output lives here.

aiohttp takes half a gzip body with a matching length for a success, and msgspec skips what it
isn't asked for without looking whether it is UTF-8. So both steps are done here and checked: the
gzip trailer must be there and agree, and every byte must be text.
"""

import json
import re
from codecs import utf_8_decode
from collections.abc import Iterable, Iterator
from threading import local
from typing import Literal, TypeVar

import msgspec
from zlib_ng import zlib_ng as zlib

GZIP_MAGIC = b"\x1f\x8b"
BOM = b"\xef\xbb\xbf"
REPLACEMENT_ESCAPE = rb"\ufffd"
"""As long as the escape of the surrogate that it replaces, so byte offsets stay true."""

Body = bytes | memoryview
"""JSON text, not compressed."""
Encoding = Literal["gzip", "identity"]

_GZIP_WBITS = 31
_FED_BYTES = 1 << 14
_PIECE_BYTES = 1 << 16
"""Small enough to come from the heap's free lists."""
_FIRST_ROOM_BYTES = 1 << 20
_PAIR_OR_ESCAPE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a whole pair
    rb"|\\u([dD][89a-fA-F][0-9a-fA-F]{2})"  # half of one
    rb"|\\."  # any other escape, so that an escaped backslash starts nothing
)

T = TypeVar("T")


class PayloadError(ValueError):
    """A body that cannot be accepted: why, and the byte where it shows if that is known."""

    def __init__(self, reason: str, byte_offset: int | None = None) -> None:
        super().__init__(reason if byte_offset is None else f"{reason} (byte {byte_offset})")
        self.byte_offset = byte_offset


class BodyTooLarge(PayloadError):
    """A body beyond the cap, as received or once inflated."""

    def __init__(self, cap_bytes: int) -> None:
        super().__init__(f"the body is larger than the cap of {cap_bytes:,} bytes")


class NotText(PayloadError):
    """A body that is not UTF-8."""


class TooFewRows(PayloadError):
    """A sound page that ends early; the next answer may be whole."""


class UnexpectedContent(PayloadError):
    """A sound body with other contents than asked; likely the same when asked again."""


def encoding_named(content_encoding: str | None) -> Encoding:
    """What a `Content-Encoding` header means.

    Raises:
        PayloadError: neither gzip nor identity.
    """
    match (content_encoding or "identity").strip().lower():
        case "gzip" | "x-gzip":
            return "gzip"
        case "identity":
            return "identity"
        case other:
            raise PayloadError(f"the body has Content-Encoding {other[:40]!r}; we asked for gzip")


class Inflater(local):
    """Inflates one body after the other into the same memory; each thread has its own.

    A page is some megabytes of JSON. Allocated anew for each, in several threads, that leaves the
    heap of the C library in pieces: 94,000 classes took 750 MB where nothing was kept.
    """

    def __init__(self) -> None:
        self._room = bytearray(_FIRST_ROOM_BYTES)

    def inflate(self, body: bytes, content_encoding: str | None, cap_bytes: int) -> memoryview:
        """Undo the `Content-Encoding` of `body`; the result is valid until the next call.

        Raises:
            BodyTooLarge: the result would be larger than `cap_bytes`.
            PayloadError: an encoding we didn't ask for, or a gzip body that is cut or damaged.
        """
        end = 0
        for piece in _inflated(body) if encoding_named(content_encoding) == "gzip" else (body,):
            begin, end = end, end + len(piece)
            if end > cap_bytes:
                raise BodyTooLarge(cap_bytes)
            if end > len(self._room):
                # Not extended in place: a view of it may still be in use.
                larger = bytearray(max(end, 2 * len(self._room)))
                larger[:begin] = memoryview(self._room)[:begin]
                self._room = larger
            self._room[begin:end] = piece
        return memoryview(self._room)[:end]


def _inflated(body: bytes) -> Iterator[bytes]:
    """The gzip members of a body, in pieces."""
    begin = 0
    while begin < len(body) or not begin:
        if body[begin : begin + 2] != GZIP_MAGIC:
            raise PayloadError("the body says gzip, and what is there isn't", begin)
        inflater = zlib.decompressobj(_GZIP_WBITS)
        try:
            while not inflater.eof:
                fed = inflater.unconsumed_tail
                if not fed:
                    fed = body[begin : begin + _FED_BYTES]
                    begin += len(fed)
                piece = inflater.decompress(fed, _PIECE_BYTES)
                if not fed and not piece and not inflater.eof:
                    raise PayloadError("the gzip body is cut", begin)
                yield piece
        except zlib.error as error:  # type: ignore[misc]  # its stub says instance
            raise PayloadError(f"the gzip body is damaged: {error}", begin) from None
        begin -= len(inflater.unused_data)


def parse(body: Body, type: type[T]) -> tuple[T, int]:  # noqa: A002  (msgspec's own word)
    """JSON `body` as `type`, and how many lone surrogates in it became U+FFFD.

    A byte order mark is dropped. PostgreSQL has no place for a lone surrogate, and msgspec calls
    one "truncated".

    Raises:
        PayloadError: not UTF-8, not JSON, nested too deep, or not of the shape of `type`.
    """
    text = memoryview(body)
    text = text[len(BOM) :] if text[: len(BOM)] == BOM else text
    _check_utf8(text)
    try:
        return _decode(text, type), 0
    except PayloadError as error:
        replaced = sum(match[1] is not None for match in _PAIR_OR_ESCAPE.finditer(text))
        if not replaced:
            raise error from None
    repaired = _PAIR_OR_ESCAPE.sub(
        lambda match: match[0] if match[1] is None else REPLACEMENT_ESCAPE, text
    )
    return _decode(repaired, type), replaced


def refuse_repeated_keys(body: Body, names: Iterable[str], rows: str, of_row: str) -> None:
    """Refuse an object in which one of these keys stands twice: a decoder takes the last of them.

    Looks closely at what stands around the rows, which are the array at the key `rows`, of objects
    that each have the key `of_row`: searching all of a page for a short text takes milliseconds.

    Raises:
        PayloadError: it does.
    """
    text = bytes(body)
    quoted = f'"{rows}"'.encode()
    begin = text.find(quoted) + len(quoted)
    # Backwards, since CPython's search skips bytes that way, and takes half the time.
    if text.rfind(quoted, begin) < 0:
        end = max(begin, text.rfind(f'"{of_row}"'.encode()))
        around = text[:begin] + text[end:]
        if all(around.count(f'"{name}"'.encode()) <= 1 for name in names):
            return
    # Such a text may also stand in a value: look closer. The outermost object comes last.
    try:
        # Python makes no number of more than 4,300 digits; only the keys are of use here.
        keys = json.loads(
            text, parse_int=str, object_pairs_hook=lambda pairs: [key for key, _ in pairs]
        )
    except RecursionError:
        raise PayloadError("the JSON is nested too deep") from None
    repeated = next((name for name in names if keys.count(name) > 1), None)
    if repeated is not None:
        raise PayloadError(f"the key {repeated!r} stands in it twice")


def _check_utf8(text: memoryview) -> None:
    begin = 0
    while begin < len(text):
        piece = bytes(text[begin : begin + _PIECE_BYTES])
        is_last = begin + len(piece) == len(text)
        try:
            # A character may go on in the next piece.
            begin += len(piece) if piece.isascii() else utf_8_decode(piece, "strict", is_last)[1]
        except UnicodeDecodeError as error:
            offset = begin + error.start
            raise NotText(f"the body isn't UTF-8: {error.reason}", offset) from None


def _decode(text: Body, wanted: type[T]) -> T:
    try:
        return msgspec.json.decode(text, type=wanted)
    except msgspec.ValidationError as error:
        raise PayloadError(f"the JSON has another shape: {error}") from None
    except msgspec.DecodeError as error:
        # msgspec writes the offset into its sentence; without one, the text ended early.
        at = None if "(byte " in str(error) else len(text)
        raise PayloadError(f"the body isn't JSON: {error}", at) from None
    except RecursionError:
        raise PayloadError("the JSON is nested too deep") from None
