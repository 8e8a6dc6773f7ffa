"""Bodies as they come: cut, damaged, padded, in several members, with characters across pieces."""

import gzip
import random
import zlib
from typing import Any

import pytest

from efo_assets.ols.payload import BodyTooLarge, Inflater, PayloadError, parse

CAP = 1 << 24
PIECE = 1 << 16
TEXT = bytes(random.Random(1).choices(b"abcdefgh {}", k=3 * PIECE + 17))


@pytest.mark.parametrize("encoding", [None, "identity", "Identity "])
def test_a_plain_body_stays_as_it_is(encoding: str | None) -> None:
    assert bytes(Inflater().inflate(TEXT, encoding, CAP)) == TEXT


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", " GZIP"])
@pytest.mark.parametrize("members", [(TEXT,), (TEXT[:5], b"", TEXT[5:]), (b"",)])
def test_gzip_in_any_number_of_members_is_inflated(
    encoding: str, members: tuple[bytes, ...]
) -> None:
    body = b"".join(gzip.compress(member) for member in members)
    assert bytes(Inflater().inflate(body, encoding, CAP)) == b"".join(members)


def test_the_memory_of_the_last_body_is_used_again() -> None:
    inflater = Inflater()
    long, short = gzip.compress(TEXT * 20), gzip.compress(b"short")
    assert bytes(inflater.inflate(long, "gzip", CAP)) == TEXT * 20
    kept = inflater.inflate(short, "gzip", CAP)
    assert bytes(kept) == b"short"
    again = inflater.inflate(gzip.compress(b"other"), "gzip", CAP)
    assert (bytes(again), bytes(kept)) == (b"other", b"other")
    assert again.obj is kept.obj


def test_a_view_that_is_held_does_not_hinder_a_larger_body() -> None:
    inflater = Inflater()
    held = inflater.inflate(b"held", None, CAP)
    assert len(inflater.inflate(bytes(1 << 22), None, CAP)) == 1 << 22
    assert bytes(held) == b"held"


@pytest.mark.parametrize("kept", [1, 2, 11, 5000, -8, -4, -1])
def test_a_cut_gzip_body_is_refused_wherever_it_is_cut(kept: int) -> None:
    body = gzip.compress(TEXT)[:kept]
    with pytest.raises(PayloadError, match=r"cut|isn't"):
        Inflater().inflate(body, "gzip", CAP)


@pytest.mark.parametrize("at", [-1, -8, 3000])
def test_a_changed_byte_is_seen(at: int) -> None:
    body = bytearray(gzip.compress(TEXT))
    body[at] ^= 0x55
    with pytest.raises(PayloadError, match=r"damaged|cut"):
        Inflater().inflate(bytes(body), "gzip", CAP)


@pytest.mark.parametrize("body", [b"", TEXT, zlib.compress(TEXT), gzip.compress(TEXT) + b"\0"])
def test_what_says_gzip_and_is_not_is_refused(body: bytes) -> None:
    with pytest.raises(PayloadError, match="says gzip"):
        Inflater().inflate(body, "gzip", CAP)


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip"])
def test_an_encoding_that_was_not_asked_for_is_refused(encoding: str) -> None:
    with pytest.raises(PayloadError, match="we asked for gzip"):
        Inflater().inflate(b"", encoding, CAP)


def test_a_bomb_stops_at_the_cap_and_not_after_it() -> None:
    bomb = gzip.compress(bytes(CAP + 1))
    inflater = Inflater()
    with pytest.raises(BodyTooLarge, match="16,777,216 bytes"):
        inflater.inflate(bomb, "gzip", CAP)
    assert len(inflater.inflate(gzip.compress(bytes(CAP)), "gzip", CAP)) == CAP


@pytest.mark.parametrize("before", range(-4, 1))
def test_a_character_may_lie_across_two_pieces(before: int) -> None:
    value = "x" * (PIECE + before - 1) + "\N{MICROSCOPE}é" + "y" * PIECE
    text = b'"' + value.encode() + b'"'
    assert parse(memoryview(text), str) == (value, 0)


@pytest.mark.parametrize("length", [0, PIECE - 2, PIECE - 1, PIECE, 2 * PIECE])
@pytest.mark.parametrize("wrong", [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf0\x9f\x94"])
def test_what_is_not_text_is_named_with_its_byte(length: int, wrong: bytes) -> None:
    text = b'"' + b"x" * length + wrong + b'"'
    with pytest.raises(PayloadError, match="isn't UTF-8") as caught:
        parse(text, Any)
    assert caught.value.byte_offset == length + 1


def test_text_that_ends_within_a_character_is_refused() -> None:
    with pytest.raises(PayloadError, match="isn't UTF-8"):
        parse('{"a": "é'.encode()[:-1], Any)


@pytest.mark.parametrize(
    ("text", "value", "replaced"),
    [
        (rb'"\ud83d\udd2c"', "\N{MICROSCOPE}", 0),
        (rb'"\ud83d"', "\N{REPLACEMENT CHARACTER}", 1),
        (rb'"\udd2c\ud83d"', "\N{REPLACEMENT CHARACTER}" * 2, 2),
        (rb'"\\ud83d"', r"\ud83d", 0),
        (rb'"\\\ud83d \ud83d\udd2c"', "\\\N{REPLACEMENT CHARACTER} \N{MICROSCOPE}", 1),
        (b'\xef\xbb\xbf"bom"', "bom", 0),
    ],
)
def test_lone_surrogates_are_replaced_and_counted(text: bytes, value: str, replaced: int) -> None:
    assert parse(text, str) == (value, replaced)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"", "isn't JSON"),
        (b"<html>", "isn't JSON"),
        (b'{"a": 1', "isn't JSON"),
        (b"{} {}", "isn't JSON"),
        (b'{"a":' * 100_000, "nested too deep"),
        (b"[1]", "another shape"),
    ],
)
def test_what_is_no_json_object_is_refused(text: bytes, sentence: str) -> None:
    with pytest.raises(PayloadError, match=sentence):
        parse(text, dict[str, Any])
