"""Which release of an ontology OLS serves: its names, its dates and its three totals.

The *identity* says whether there is anything new. The *fingerprint* guards one download against
a mixture: OLS loads its data anew every 48 hours, and `loaded` changes with the release unchanged.
"""

import hashlib
import re
from typing import Any

import msgspec

from efo_assets.privacy.printable import release_name

OWL_VERSION_IRI = "http://www.w3.org/2002/07/owl#versionIRI"
OWL_VERSION_INFO = "http://www.w3.org/2002/07/owl#versionInfo"


class Totals(msgspec.Struct, frozen=True):
    """How many classes OLS counts in each of its lists."""

    current: int
    obsolete: int
    all: int


class Release(msgspec.Struct, frozen=True):
    """One release of an ontology as OLS serves it; None where it gives no value."""

    ontology: str
    version_iri: str | None
    version: str | None
    loaded: str | None
    source_file_timestamp: str | None
    totals: Totals

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits over everything: a download whose release changes is mixed."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:16]

    @property
    def identity(self) -> tuple[str | None, str | None, Totals]:
        """Equal for two releases without news between them."""
        return self.version_iri, self.version, self.totals

    @property
    def name(self) -> str:
        """A name for people, such as `efo 3.92.0`."""
        return release_name(self.ontology, self.version)

    @classmethod
    def from_document(cls, ontology: str, document: dict[str, Any], totals: Totals) -> "Release":
        """Read the release from OLS's v2 ontology document."""
        keys = OWL_VERSION_IRI, OWL_VERSION_INFO, "loaded", "sourceFileTimestamp"
        version_iri, version, loaded, file_timestamp = (first_text(document.get(k)) for k in keys)
        return cls(ontology, version_iri, version, loaded, file_timestamp, totals)


class Listed(msgspec.Struct, frozen=True):
    """An ontology in OLS's list, which gives its versions but counts it by an upper bound."""

    ontology: str = msgspec.field(name="ontologyId")
    classes_given: Any = msgspec.field(name="numberOfClasses", default=None)
    version_iri_given: Any = msgspec.field(name=OWL_VERSION_IRI, default=None)
    version_given: Any = msgspec.field(name=OWL_VERSION_INFO, default=None)

    @property
    def classes(self) -> int:
        """All classes that its file names, imported ones too; 0 where OLS doesn't say."""
        text = str(self.classes_given)
        return int(text) if re.fullmatch(r"[0-9]{1,12}", text) else 0

    @property
    def version_iri(self) -> str | None:
        """As `Release` has it."""
        return first_text(self.version_iri_given)

    @property
    def version(self) -> str | None:
        """As `Release` has it."""
        return first_text(self.version_given)

    @property
    def name(self) -> str:
        """A name for people, such as `efo 3.92.0`."""
        return release_name(self.ontology, self.version)


def first_text(value: object) -> str | None:
    """The first value as text; OLS writes a scalar, a list, a reified value or nothing.

    NUL, which PostgreSQL refuses, becomes U+FFFD, as in the rows.
    """
    waiting = [value]
    while waiting:
        first = waiting.pop()
        if isinstance(first, list):
            waiting += reversed(first)
        elif isinstance(first, dict):
            waiting.append(first.get("value"))
        elif first is not None and first != "":
            return str(first).replace("\0", "\ufffd")
    return None
