"""Seeded mutations of pages: of bits, of structure, of types, and some that change no meaning."""

import json
import random
from collections.abc import Callable
from typing import Any

HUGE = "a number of 5,000 digits"
OF_EVERY_TYPE: tuple[Callable[[Any], Any], ...] = (
    lambda _: None,
    lambda _: True,
    lambda _: 5,
    lambda _: -0.0,
    lambda _: 1e300,
    lambda _: 10**30,
    lambda _: HUGE,
    lambda _: "",
    lambda _: "a\0b",
    lambda _: "\ud800",
    lambda _: "\udfff\ud83d\ude00",
    lambda _: "\ufeff\u202e\x1b[31m",
    lambda _: "x" * 3000,
    lambda _: [],
    lambda _: {},
    lambda old: [old, old],
    lambda old: [[old]],
    lambda old: {"value": old},
    lambda old: {"type": ["reification"], "value": old, "axioms": old},
    lambda old: {"type": ["reification"], "value": [old], "axioms": [{"x": old}, None, 5]},
    lambda _: _nested(5, 600),
    lambda _: {"url": {"value": _nested("x", 300)}},
)
BRACKETS = (
    b"[",
    b"]",
    b"{",
    b"}",
    b",",
    b":",
    b'"',
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b"null",
    b"\xff",
)
LIST_OR_SCALAR = ("label", "http://purl.obolibrary.org/obo/IAO_0000115", "curie")


def _nested(value: Any, depth: int) -> Any:
    for _ in range(depth):
        value = [value]
    return value


def bits(page: bytes, chance: random.Random) -> bytes:
    """Flip up to eight bits."""
    made = bytearray(page)
    for _ in range(chance.randint(1, 8)):
        made[chance.randrange(len(made))] ^= 1 << chance.randrange(8)
    return bytes(made)


def structure(page: bytes, chance: random.Random) -> bytes:
    """Cut, repeat, drop, move or insert a piece of the text."""
    begin, end = sorted(chance.sample(range(len(page) + 1), 2))
    end = min(end, begin + chance.choice((1, 10, 1000, len(page))))
    piece = chance.choice(BRACKETS) * chance.choice((1, 1, 2, 2000))
    return chance.choice(
        (
            page[:begin],
            page[begin:],
            page[:begin] + page[end:],
            page[:end] + page[begin:],
            page[end:] + page[:begin],
            page[:begin] + piece + page[begin:],
            page[:begin] + piece + page[end:],
        )
    )


def types(page: bytes, chance: random.Random) -> bytes:
    """Put values of other types in one to three places."""
    document = json.loads(page)
    for _ in range(chance.randint(1, 3)):
        holder, key = _place(document, chance)
        if chance.random() < 0.1:
            del holder[key]
        else:
            holder[key] = chance.choice(OF_EVERY_TYPE)(holder[key])
    # A number that Python's own limit keeps from being written.
    return json.dumps(document).replace(f'"{HUGE}"', "9" * 5000).encode()


def _place(document: Any, chance: random.Random) -> tuple[Any, Any]:
    """A random place below the document; shallow ones are as likely as deep ones."""
    holder, key = document, chance.choice(list(document))
    if (
        chance.random() < 0.9
        and isinstance(document.get("elements"), list)
        and document["elements"]
    ):
        holder, key = document["elements"], chance.randrange(len(document["elements"]))
    while chance.random() < 0.7 and isinstance(holder[key], dict | list) and holder[key]:
        holder = holder[key]
        key = (
            chance.choice(list(holder))
            if isinstance(holder, dict)
            else chance.randrange(len(holder))
        )
    return holder, key


def neutral(page: bytes, chance: random.Random) -> bytes:
    """Write the same in another way: order, spaces, escapes, shapes, unknown fields."""
    document = json.loads(page)
    for each in document["elements"]:
        if chance.random() < 0.5:
            shuffled = list(each.items())
            chance.shuffle(shuffled)
            each.clear()
            each.update(shuffled)
        for name in LIST_OR_SCALAR:
            if name in each and chance.random() < 0.5:
                each[name] = chance.choice(
                    (
                        [each[name]],
                        {"type": ["reification"], "value": each[name], "axioms": []},
                        [each[name], each[name]],
                    )
                )
        if chance.random() < 0.5:
            each[f"new{chance.random()}"] = {"a": [1, None, {"b": "c"}]}
    text = json.dumps(
        document,
        indent=chance.choice((None, 0, 3)),
        ensure_ascii=chance.random() < 0.5,
        sort_keys=chance.random() < 0.3,
    )
    return (
        chance.choice((b"", b"\xef\xbb\xbf", b"\n ")) + text.encode() + chance.choice((b"", b"\n"))
    )
