"""Which database a cross reference points into: one name for all spellings, and for its URLs.

Names are the Bioregistry's prefixes, from the excerpt `bioregistry.json` (230 KB, version in its
first line; `tools/prefixes.py` makes it). A prefix that the Bioregistry doesn't know
stays, in lower case.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

URL_PREFIX = "url"
"""The prefix of a web address that no registered database owns."""
_ADDRESS = re.compile(r"https?://(.+)", re.DOTALL)
_RESOLVER = re.compile(
    r"(?:(?:www\.)?identifiers\.org|n2t\.net|bioregistry\.io|bio2rdf\.org)/([^/:]+)[/:](.+)"
    r"|purl\.obolibrary\.org/obo/([A-Za-z]+)_(.+)",
    re.DOTALL,
)
_CUTS = re.compile(r"[/#=_:]")


@dataclass(frozen=True, slots=True)
class Prefixes:
    """Registered prefixes: by spelling in lower case, and by the beginning of a URL."""

    by_spelling: Mapping[str, str]
    by_url: Mapping[str, str]
    """Without the scheme."""
    within_words: tuple[str, ...]
    """Those of `by_url` that end within a word, such as omim.org/phenotypicSeries/PS."""

    def split(self, value: str) -> tuple[str, str] | None:
        """Prefix and accession of a cross reference (a CURIE or a URL); None if it is neither."""
        address = _ADDRESS.fullmatch(value)
        if address is not None:
            return self._of_address(address[1]) or (URL_PREFIX, value)
        prefix, colon, accession = value.partition(":")
        prefix, accession = prefix.strip().lower(), accession.strip()
        if not (colon and prefix and accession):
            return None
        return self.by_spelling.get(prefix, prefix), accession

    def _of_address(self, address: str) -> tuple[str, str] | None:
        resolved = _RESOLVER.fullmatch(address)
        if resolved is not None:
            spelling = (resolved[1] or resolved[3]).lower()
            prefix = self.by_spelling.get(spelling)
            return (prefix, resolved[2] or resolved[4]) if prefix else None
        cuts = [cut.end() for cut in _CUTS.finditer(address)]
        beginnings = [address[:cut] for cut in reversed(cuts)]
        beginnings.append(max(filter(address.startswith, self.within_words), key=len, default=""))
        for url in beginnings:
            if url in self.by_url and url != address:
                return self.by_url[url], address.removeprefix(url)
        return None


@cache
def registered() -> Prefixes:
    """The prefixes of the excerpt."""
    text = (files("efo_assets.ols") / "bioregistry.json").read_text(encoding="utf-8")
    excerpt: dict[str, dict[str, list[str]]] = json.loads(text)
    names = excerpt["prefixes"]
    by_spelling = {spelling: prefix for prefix, each in names.items() for spelling in each}
    # A prefix's own name goes before another's synonym.
    by_spelling |= {prefix: prefix for prefix in names}
    by_url = {url: prefix for prefix, urls in excerpt["urls"].items() for url in urls}
    return Prefixes(by_spelling, by_url, tuple(url for url in by_url if not _CUTS.match(url[-1])))
