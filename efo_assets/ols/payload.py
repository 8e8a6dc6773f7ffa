"""Bodies as OLS sends them: inflate, then decode into a type. No input or output lives here.

aiohttp takes half a gzip body with a matching length for a success, and msgspec skips what it
isn't asked for without looking whether it is UTF-8. So both steps are done here and checked: the
gzip trailer must be there and agree, and every byte must be text.
"""

import re
import zlib
from functools import lru_cache
from typing import Any, TypeVar

import msgspec

GZIP_MAGIC = b"\x1f\x8b"
BOM = b"\xef\xbb\xbf"
REPLACEMENT_ESCAPE = rb"\ufffd"
"""As long as the escape of the surrogate that it replaces, so byte offsets stay true."""

_GZIP_WBITS = 31
_PAIR_OR_ESCAPE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a whole pair
    rb"|\\u([dD][89a-fA-F][0-9a-fA-F]{2})"  # half of one
    rb"|\\."  # any other escape, so that an escaped backslash starts nothing
)

T = TypeVar("T")


class PayloadError(ValueError):
    """A body that cannot be accepted: `reason`, and the byte where it shows if that is known."""

    def __init__(self, reason: str, byte_offset: int | None = None) -> None:
        at = "" if byte_offset is None else f" (byte {byte_offset})"
        super().__init__(f"{reason}{at}")
        self.reason = reason
        self.byte_offset = byte_offset


class BodyTooLarge(PayloadError):
    """A body beyond the cap, as received or once inflated."""

    def __init__(self, cap_bytes: int) -> None:
        super().__init__(f"the body is larger than the cap of {cap_bytes:,} bytes")


def is_gzip(content_encoding: str | None) -> bool:
    """Say whether the `Content-Encoding` is gzip.

    Raises:
        PayloadError: it is neither gzip nor identity.
    """
    encoding = (content_encoding or "identity").strip().lower()
    if encoding in ("gzip", "x-gzip"):
        return True
    if encoding == "identity":
        return False
    raise PayloadError(f"the body has Content-Encoding {encoding[:40]!r}; we asked for gzip")


def inflate(body: bytes, content_encoding: str | None, cap_bytes: int) -> bytes:
    """Undo the `Content-Encoding` of `body`, to at most `cap_bytes`.

    Raises:
        BodyTooLarge: the result would be larger than `cap_bytes`.
        PayloadError: an encoding we didn't ask for, or a gzip body that is cut or damaged.
    """
    plain = _gunzip(body, cap_bytes) if is_gzip(content_encoding) else body
    if len(plain) > cap_bytes:
        raise BodyTooLarge(cap_bytes)
    return plain


def _gunzip(body: bytes, cap_bytes: int) -> bytes:
    members: list[bytes] = []
    room_bytes, rest = cap_bytes, body
    while rest or not members:
        member, rest = _member(rest, room_bytes, len(body) - len(rest))
        room_bytes -= len(member)
        if room_bytes < 0:
            raise BodyTooLarge(cap_bytes)
        members.append(member)
    return members[0] if len(members) == 1 else b"".join(members)


def _member(data: bytes, room_bytes: int, offset: int) -> tuple[bytes, bytes]:
    """Inflate one gzip member to at most one byte more than there is room for."""
    if not data.startswith(GZIP_MAGIC):
        raise PayloadError("the body says gzip, and what is there isn't", offset)
    inflater = zlib.decompressobj(_GZIP_WBITS)
    try:
        plain = inflater.decompress(data, room_bytes + 1)
    except zlib.error as error:
        raise PayloadError(f"the gzip body is damaged: {error}", offset) from None
    if not inflater.eof and len(plain) <= room_bytes:
        raise PayloadError("the gzip body is cut", offset + len(data))
    return plain, inflater.unused_data


def parse(body: bytes, type: type[T]) -> tuple[T, int]:  # noqa: A002  (msgspec's own word)
    """Decode JSON `body` as `type`; also give how many lone surrogates became U+FFFD.

    A byte order mark is dropped. PostgreSQL has no place for a lone surrogate, and msgspec calls
    one "truncated": each is replaced by U+FFFD and counted.

    Raises:
        PayloadError: not UTF-8, not JSON, nested too deep, or not of the shape of `type`.
    """
    text = body.removeprefix(BOM)
    _check_utf8(text)
    try:
        return _decode(text, type), 0
    except PayloadError as error:
        repaired, replaced = _replace_lone_surrogates(text)
        if not replaced:
            raise error from None
    return _decode(repaired, type), replaced


def _check_utf8(text: bytes) -> None:
    if text.isascii():
        return
    try:
        text.decode()
    except UnicodeDecodeError as error:
        raise PayloadError(f"the body isn't UTF-8: {error.reason}", error.start) from None


@lru_cache(maxsize=64)
def _decoder(wanted: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(wanted)


def _decode(text: bytes, wanted: type[T]) -> T:
    try:
        value: T = _decoder(wanted).decode(text)  # type: ignore[arg-type]  # a type is hashable
    except msgspec.ValidationError as error:
        raise PayloadError(f"the JSON has another shape: {error}") from None
    except msgspec.DecodeError as error:
        raise PayloadError(f"the body isn't JSON: {error}", _byte_named_in(error, text)) from None
    except RecursionError:
        raise PayloadError("the JSON is nested too deep") from None
    return value


def _byte_named_in(error: msgspec.DecodeError, text: bytes) -> int | None:
    """Msgspec writes the offset into its sentence; without one, the text ended early."""
    return None if "(byte " in str(error) else len(text)


def _replace_lone_surrogates(text: bytes) -> tuple[bytes, int]:
    replaced = 0

    def mend(found: re.Match[bytes]) -> bytes:
        nonlocal replaced
        if found[1] is None:
            return found[0]
        replaced += 1
        return REPLACEMENT_ESCAPE

    return _PAIR_OR_ESCAPE.sub(mend, text), replaced
