"""Which database a cross reference points into: one name for all spellings, and for its URLs.

Names are the Bioregistry's prefixes, from the excerpt `bioregistry.json` (230 KB, version in its
first line; `tools/prefixes.py` makes it). A prefix that the Bioregistry doesn't know
stays, in lower case.
"""

import json
import re
from collections.abc import Mapping
from functools import cache, lru_cache
from importlib.resources import files
from typing import NamedTuple

URL_PREFIX = "url"
"""The prefix of a web address that no registered database owns."""
_ADDRESS = re.compile(r"https?://(.+)", re.DOTALL)
_RESOLVER = re.compile(
    r"(?:(?:www\.)?identifiers\.org|n2t\.net|bioregistry\.io|bio2rdf\.org)/([^/:]+)[/:](.+)"
    r"|purl\.obolibrary\.org/obo/([A-Za-z]+)_(.+)",
    re.DOTALL,
)
_CUTS = re.compile(r"[/#=_:]")
_BLANKS = "".join(filter(str.isspace, map(chr, range(0x3001)))) + "\u200b\ufeff"
_SEPARATOR = re.compile(rf"[,;|{_BLANKS}]+")
_separator_in = _SEPARATOR.search
_SEPARATOR_OF_ADDRESSES = re.compile(rf"[,;|]*[{_BLANKS}]+")
"""An address may hold the other separators itself."""
_WITHOUT_MARKS = str.maketrans("", "", " -_./")
"""What doesn't count in a spelling, as in the Bioregistry's own look-up."""


class Prefixes(NamedTuple):
    """Registered prefixes: by spelling in lower case, and by the beginning of a URL."""

    by_spelling: Mapping[str, str]
    by_letters: Mapping[str, str]
    """By spelling without hyphens and the like."""
    by_url: Mapping[str, str]
    """Without the scheme."""
    within_words: tuple[str, ...]
    """Those of `by_url` that end within a word, such as omim.org/phenotypicSeries/PS."""

    def references(self, value: str) -> tuple[list[str], bool]:
        """The cross references in a value, and whether there may be more than can be told apart.

        They are several where each for itself has a registered prefix or is a web address.
        """
        if _separator_in(value) is None:
            return [value], False
        text = value.strip(_BLANKS)
        if _separator_in(text) is None:
            return [text], False
        is_address = "://" in text
        separator = _SEPARATOR_OF_ADDRESSES if is_address else _SEPARATOR
        parts = [part for part in separator.split(text) if part]
        known = [self._is_known(part) for part in parts]
        if all(known):
            return parts, False
        return [text], any(known[1:]) or (not is_address and re.search("[,;|]", text) is not None)

    def _is_known(self, text: str) -> bool:
        entry = self.split(text)
        return entry is not None and (entry[0] in self.by_spelling or "://" in text)

    def registered(self, spelling: str) -> str | None:
        """The registered prefix that is spelled so, in whatever case; None if none is."""
        lower = spelling.lower()
        return self.by_spelling.get(lower) or self.by_letters.get(lower.translate(_WITHOUT_MARKS))

    def split(self, value: str) -> tuple[str, str] | None:
        """Prefix and accession of a cross reference (a CURIE or a URL); None if it is neither."""
        value = value.strip(_BLANKS)
        if value.startswith("http") and (address := _ADDRESS.fullmatch(value)):
            return self._of_address(address[1]) or (URL_PREFIX, value)
        prefix, _, accession = value.partition(":")
        name, accession = _name(prefix), accession.strip(_BLANKS)
        return (name, accession) if name and accession else None

    def _of_address(self, address: str) -> tuple[str, str] | None:
        resolved = _RESOLVER.fullmatch(address)
        if resolved is not None:
            prefix = self.registered(resolved[1] or resolved[3])
            return (prefix, resolved[2] or resolved[4]) if prefix else None
        for cut in reversed([cut.end() for cut in _CUTS.finditer(address)]):
            prefix = self.by_url.get(address[:cut])
            if prefix and cut < len(address):
                return prefix, address[cut:]
        if not address.startswith(self.within_words):
            return None
        url = max(filter(address.startswith, self.within_words), key=len)
        return (self.by_url[url], address.removeprefix(url)) if url != address else None


@lru_cache(4096)
def _name(spelling: str) -> str:
    """The prefix that is spelled so: the registered one, else in lower case."""
    spelling = spelling.strip(_BLANKS).lower()
    return registered().registered(spelling) or spelling


@cache
def registered() -> Prefixes:
    """The prefixes of the excerpt."""
    text = (files("efo_assets") / "bioregistry.json").read_text(encoding="utf-8")
    excerpt: dict[str, dict[str, list[str]]] = json.loads(text)
    names = excerpt["prefixes"]
    by_spelling = {spelling: prefix for prefix, each in names.items() for spelling in each}
    # A prefix's own name goes before another's synonym.
    by_spelling |= {prefix: prefix for prefix in names}
    by_url = {url: prefix for prefix, urls in excerpt["urls"].items() for url in urls}
    return Prefixes(
        by_spelling,
        {spelling.translate(_WITHOUT_MARKS): prefix for spelling, prefix in by_spelling.items()},
        by_url,
        tuple(url for url in by_url if not _CUTS.match(url[-1])),
    )
