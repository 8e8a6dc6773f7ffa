"""Masks secrets in text: those that are configured, in every spelling, and any that looks like one.

What is configured is known to `settings.configured_secrets`; what looks like a secret stands before
the @ of a URL or after `password=`. `disclosure` and `logs` put text through here.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

from efo_assets.settings import configured_secrets

MASK = "***"
SHORTEST_SECRET_CHARACTERS = 4
"""Shorter ones would take letters out of common words; they go only where a URL holds them."""
DEEPEST = 40
"""What is nested deeper is left out."""

_IN_URL = re.compile(r"(?<=://)[^\s/?#\"'<>]*@")
_AFTER_KEYWORD = re.compile(r"(?i)\b(password|passwd|pwd)(\s*=\s*)('(?:[^'\\]|\\.)*'|[^\s&;,'\"]+)")


def scrubbed(text: str, environment: Mapping[str, str] | None = None) -> str:
    """Mask every secret in a text; `environment` (default: `os.environ`) holds those configured."""
    return _scrub(environment)(text)


def scrubbed_whole(value: Any, environment: Mapping[str, str] | None = None) -> Any:
    """Mask every secret in the strings of dicts, lists and tuples, keys included."""
    return _walk(value, _scrub(environment), DEEPEST)


def _scrub(environment: Mapping[str, str] | None) -> Callable[[str], str]:
    spellings = {
        spelling
        for secret in configured_secrets(environment)
        for spelling in _spellings(secret)
        if len(spelling) >= SHORTEST_SECRET_CHARACTERS
    }
    # The longest first: one secret may hold another.
    longest_first = sorted(spellings, key=len, reverse=True)
    known = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

    def scrub(text: str) -> str:
        text = known.sub(MASK, text)
        text = _IN_URL.sub(f"{MASK}@", text)
        return _AFTER_KEYWORD.sub(rf"\1\2{MASK}", text)

    return scrub


def _spellings(secret: str) -> set[str]:
    """The ways a secret is spelled: plain, in a URL, in a Python or a JSON string."""
    return {
        secret,
        quote(secret),
        quote(secret, safe=""),
        quote_plus(secret),
        repr(secret)[1:-1],
        json.dumps(secret)[1:-1],
    }


def _walk(value: Any, scrub: Callable[[str], str], depth: int) -> Any:
    walked: Any
    match value:
        case str():
            walked = scrub(value)
        case None | bool() | int() | float():
            walked = value
        case bytes():
            walked = scrub(value.decode(errors="replace"))
        case Mapping() if depth:
            walked = {scrub(str(k)): _walk(v, scrub, depth - 1) for k, v in value.items()}
        case list() | tuple() | set() | frozenset() if depth:
            walked = [_walk(each, scrub, depth - 1) for each in value]
        case _:
            walked = scrub(str(value)) if depth else MASK
    return walked
