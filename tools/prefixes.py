"""The excerpt of the Bioregistry that the package carries: which prefix a spelling or a URL means.

`pip install bioregistry`, then `python -m tools.prefixes`, writes
`efo_assets/bioregistry.json`. The package itself is 7 MB, wants 25 others, and takes a second
to start; the excerpt is a two-hundredth of its data. The Bioregistry's data is CC0.
"""

import json
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

TARGET = Path(__file__).parents[1] / "efo_assets" / "bioregistry.json"
RESOLVERS = re.compile(
    r"(?:identifiers\.org|n2t\.net|bioregistry\.io|bio2rdf\.org|name-to-thing\.org)/"
    r"|purl\.obolibrary\.org/obo/[A-Za-z]+_$|www\.ebi\.ac\.uk/ols/|www\.ontobee\.org/"
)
"""Hosts whose addresses name the prefix itself: one rule serves them all."""
NO_TERMS = frozenset({"pypi", "npm", "debian.package"})
"""Registries of software, to which no class of an ontology refers by a URL."""


def excerpt() -> dict[str, Any]:
    """Spellings and URL beginnings by prefix, without what a rule tells as well."""
    import bioregistry  # noqa: PLC0415  # no dependency of this project

    registry = bioregistry.read_registry()
    urls: dict[str, set[str]] = {}
    for url, prefix in bioregistry.manager.get_reverse_prefix_map().items():
        scheme, _, rest = url.partition("://")
        if scheme in {"http", "https"} and prefix not in NO_TERMS and not RESOLVERS.match(rest):
            urls.setdefault(prefix, set()).add(rest)
    return {
        "bioregistry": version("bioregistry"),
        "prefixes": {
            prefix: sorted(
                {each.lower() for each in registry[prefix].get_synonyms()} - {prefix.lower()}
            )
            for prefix in sorted(registry)
        },
        "urls": {prefix: sorted(urls[prefix]) for prefix in sorted(urls)},
    }


if __name__ == "__main__":
    TARGET.write_text(json.dumps(excerpt(), indent=0, ensure_ascii=False) + "\n", "utf-8")
