"""More ontologies for the sample server to serve beside its own: a whole catalogue, bad ones too.

A member is a name, a size and what OLS serves badly of it; its classes are made when somebody asks
for them, so 270 members take no time to begin with. For a test: `running_sample(catalogue=(*spread(
270, scale=0.05), *BAD))`. `member.release(1)` is what a member's rows must come from.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp
from statistics import NormalDist
from typing import Any, Literal, TypeAlias

from efo_assets.sample.documents import OWL, RDFS
from efo_assets.sample.ontology import GeneratedRelease, Identity, release
from efo_assets.sample.shapes import ShapeName, shaped_release

Json: TypeAlias = dict[str, Any]
Trouble: TypeAlias = Literal["no version", "cycle", "no label", "empty", "errors"]

LARGEST = 2_600_000
"""Classes of NCBITaxon, in July 2026, and the most that another has; 270 have 11 million."""
SECOND_LARGEST = 800_000
MEDIAN = 2_500
SPREAD = 2.45
"""Of the logarithm of sizes: a fifth have less than 400 classes, a tenth more than 40,000."""
FEWEST = 20
"""A release makes every kind of change, each to a class of its own."""
SHAPED_FROM = 2_000
"""Classes. From here on a member is a taxonomy, of which nothing is kept in memory."""
SPACES = ("TRAIT", "DISEASE", "PROTEIN", "SIGN", "CHEMICAL", "CELL", "ORGAN")
"""Of classes that members import: the same IRIs may be in several, as in OLS."""


@dataclass(frozen=True, slots=True)
class Member:
    """One ontology of a catalogue."""

    ontology: str
    """OLS's id: letters and digits, with no `_`, which would part the CURIE of a class."""
    classes: int = 200
    trouble: Trouble | None = None

    @property
    def identity(self) -> Identity:
        """Its names and those of its classes."""
        prefix = self.ontology.upper()
        return Identity(
            ontology=self.ontology,
            title=f"Generated sample data, {self.ontology}",
            home=f"http://example.org/{self.ontology}/",
            imports="http://example.org/imported/",
            spaces=(*SPACES[:2], prefix, *SPACES[2:]),
            version="{}.0",
        )

    @property
    def shape(self) -> ShapeName | Literal["efo"]:
        """What its classes are made as; a cycle is one only where a single root is above all."""
        return "taxonomy" if self.classes >= SHAPED_FROM or self.trouble == "cycle" else "efo"

    def release(self, number: int = 1) -> GeneratedRelease:
        """What it holds, its trouble apart: the same classes on every machine."""
        if self.shape == "efo":
            seed = zlib.crc32(self.ontology.encode())
            return release(self.classes, seed, number, self.identity)
        return shaped_release("taxonomy", self.classes, number, self.identity)

    def spoilt_document(self, document: Json) -> Json:
        """The ontology document as OLS serves it."""
        if self.trouble == "no version":
            missing = {f"{OWL}versionIRI", f"{OWL}versionInfo"}
            return {name: value for name, value in document.items() if name not in missing}
        return document | {"numberOfClasses": "0"} if self.trouble == "empty" else document

    def spoilt_class(self, document: Json, last_iri: str) -> Json:
        """A class as OLS serves it; in a cycle the class `last_iri` is above the root."""
        if self.trouble == "no label":
            return {k: v for k, v in document.items() if k not in ("label", f"{RDFS}label")}
        if self.trouble == "cycle" and not document["hasDirectParents"]:
            return document | {"directParent": [last_iri], "hierarchicalParent": [last_iri]}
        return document


BAD: Sequence[Member] = (
    Member("noversion", trouble="no version"),
    Member("cyclic", trouble="cycle"),
    Member("unlabelled", trouble="no label"),
    Member("empty", trouble="empty"),
    Member("failing", trouble="errors"),
)
"""What OLS serves badly, each in its own way. Any other can be hidden for a while."""


def spread(count: int, scale: float = 1.0) -> Sequence[Member]:
    """So many sound members, their sizes spread as those of OLS and multiplied by `scale`.

    Most are small, a few large, and the last is as large as NCBITaxon.
    """
    normal = NormalDist()
    places = ((number + 0.5) / (count - 1) for number in range(count - 1))
    sizes = [min(SECOND_LARGEST, MEDIAN * exp(SPREAD * normal.inv_cdf(at))) for at in places]
    return tuple(
        Member(f"sample{number:03d}", max(FEWEST, round(size * scale)))
        for number, size in enumerate([*sizes, LARGEST], start=1)
    )


def by_id(members: Sequence[Member]) -> Mapping[str, Member]:
    """The members by their ids, which are distinct."""
    found = {member.ontology: member for member in members}
    if len(found) < len(members):
        raise ValueError("two members of the catalogue have one id")
    return found
