"""The generated ontology: EFO's shape and size, none of its content, release after release.

`release(classes, seed, number, identity)` is a pure function: the same arguments give the same
classes on every machine. Each release changes about 0.25 % of the classes of the one before, with
every kind of change at least once. People meet it under names of its own, as `SAMPLE`; as `EFO` it
is for tests and measurements. Nothing here knows JSON, HTTP, PostgreSQL or the loader.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import product
from operator import attrgetter
from random import Random
from typing import Any, NamedTuple, TypeAlias

from efo_assets.sample.words import KINDS, PLACES, QUALITIES, VERBS

OBO = "http://purl.obolibrary.org/obo/"
OIO = "http://www.geneontology.org/formats/oboInOwl#"
REPLACED_BY = f"{OBO}IAO_0100001"
CONSIDER = f"{OIO}consider"
OBSOLETED_IN = "http://www.ebi.ac.uk/efo/obsoleted_in_version"
REASON = "http://www.ebi.ac.uk/efo/reason_for_obsolescence"
ANNOTATED = (
    (5, f"{OIO}inSubset", (f"{OBO}mondo#sample_subset",)),
    (15, f"{OIO}inSubset", (f"{OBO}a#one", f"{OBO}a#two")),
    (9, "http://www.ebi.ac.uk/efo/gwas_trait", ("true",)),
)
"""What every so-many-th current class states: a property and its values."""
OBSOLETE_SHARE = 0.105
CHANGED_SHARE = 0.0025
SPACE_SHARES = (30, 24, 16, 10, 6, 6, 4, 4)
"""Shares of the classes, in per cent, that the prefixes of an identity have."""
XREF_PREFIXES = ("UMLS", "DOID", "SCTID", "NCIT", "ICD10", "Orphanet", "MEDGEN", "OMIM", "MedDRA")
MESH_SPELLINGS = ("MESH", "MeSH", "MSH")
RARE_XREFS = (
    (61, 29, "MESH:C{:06d}"),
    (211, 29, "MSH:Q{:06d}"),
    (223, 29, "MESH:C04.588.{}"),
    (227, 29, "mesh:d{:06d}"),
    (229, 29, "https://meshb.nlm.nih.gov/record/ui?ui=D{:06d}"),
    (233, 29, "http://identifiers.org/mesh/D{:06d}"),
    (131, 17, "https://example.org/page/{}"),
    (137, 19, "no colon {}"),
    (139, 23, "UMLS:CUI:C{:07d}"),
)
"""A cross reference of the classes whose number leaves the second number divided by the first."""
MATCHES = (
    (6, "exact", "http://identifiers.org/snomedct/{}", "snomedct", "{}"),
    (35, "exact", "MESH:C{:09d}", "mesh", "C{:09d}"),
    (10, "close", "http://linkedlifedata.com/resource/umls/id/C{:07d}", "umls", "C{:07d}"),
    (14, "narrow", f"{OBO}DOID_{{}}", "doid", "{}"),
    (22, "broad", "https://omim.org/phenotypicSeries/PS{}", "omim.ps", "{}"),
    (26, "related", "https://example.org/related/{}", "url", "https://example.org/related/{}"),
)
"""A match of every so-many-th class: relation, value, prefix and accession."""
SCOPES = ("exact", "exact", "exact", "related", "narrow", "broad")
TYPES = (f"{OBO}OMO_0003000", f"{OBO}mondo#ABBREVIATION")
AWKWARD = (
    *("tab\there", "line\nbreak", "back\\slash \\N \\.", "emoji 🧬", "e\u0301 combining"),
    *("\u202eright to left", "nul \0 inside", "carriage\rreturn", " spaces ", "a|b`c`[d](e)"),
)


@dataclass(frozen=True, slots=True)
class Identity:
    """The names of an ontology and of its classes; what the classes say is the same under all."""

    ontology: str
    """OLS's id; in capitals the prefix of the classes that the ontology itself defines."""
    title: str
    home: str
    """What the IRIs of the ontology, of its releases and of those classes begin with."""
    imports: str
    """What the IRIs of imported classes begin with."""
    spaces: tuple[str, ...]
    """Prefixes of IRIs, one for each of `SPACE_SHARES`."""
    version: str
    """A versionInfo with {} in place of the number."""
    first_version: int = 0
    """The number before that of the first release."""

    @property
    def iri(self) -> str:
        """The ontology's IRI."""
        return f"{self.home}{self.ontology}.owl"

    @property
    def prefix(self) -> str:
        """Of the classes that the ontology itself defines."""
        return self.ontology.upper()

    def class_iri(self, space: str, number: int) -> str:
        """The IRI of a class."""
        return f"{self.home if space == self.prefix else self.imports}{space}_{number:07d}"


SAMPLE = Identity(
    ontology="sample",
    title="Generated sample data",
    home="http://example.org/sample/",
    imports="http://example.org/imported/",
    spaces=("TRAIT", "DISEASE", "SAMPLE", "PROTEIN", "SIGN", "CHEMICAL", "CELL", "ORGAN"),
    version="{}.0",
)
FIRST_VERSION = 900
"""Generated versions of EFO begin far beyond the real ones."""
EFO = Identity(
    ontology="efo",
    title="Generated sample data in the shape of EFO",
    home="http://www.ebi.ac.uk/efo/",
    imports=OBO,
    spaces=("OBA", "MONDO", "EFO", "PR", "HP", "CHEBI", "CL", "UBERON"),
    version="3.{}.0",
    first_version=FIRST_VERSION,
)
IDENTITIES = {identity.ontology: identity for identity in (SAMPLE, EFO)}


class Synonym(NamedTuple):
    """A synonym as an editor states it."""

    text: str
    scope: str = "exact"
    is_alternative_term: bool = False
    axioms: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = ()
    """Types and sources of each axiom about it."""


class Xref(NamedTuple):
    """A cross reference as found, with who states it and where it links."""

    value: str
    sources: tuple[str, ...] = ()
    url: str | None = None


class Match(NamedTuple):
    """An entry of another database that a class is matched with, by a skos relation.

    `value` is the IRI or CURIE that the ontology spells; prefix and accession are what it means.
    """

    relation: str
    value: str
    prefix: str
    accession: str


class Parent(NamedTuple):
    """A parent and its relation: is_a, part_of, develops_from or is_a_implied."""

    iri: str
    predicate: str


@dataclass(frozen=True, slots=True)
class GeneratedClass:
    """One class, as an ontology editor would see it."""

    iri: str
    curie: str
    labels: tuple[str | bool | float, ...]
    definitions: tuple[str, ...]
    is_obsolete: bool
    is_defining: bool
    parents: tuple[Parent, ...]
    synonyms: tuple[Synonym, ...]
    xrefs: tuple[Xref, ...]
    matches: tuple[Match, ...] = ()
    annotations: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """IRI of a property to what the class states by it; synonyms and cross references apart."""
    has_anonymous_parent: bool = False

    @property
    def short_form(self) -> str:
        """The last part of the IRI."""
        return _short_form(self.iri)


Classes: TypeAlias = Mapping[str, GeneratedClass]
"""By IRI."""


@dataclass(frozen=True)
class GeneratedRelease:
    """All classes of one release, in OLS's order, and what was changed to get there."""

    number: int
    classes: tuple[GeneratedClass, ...]
    changes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Kind of change to the IRIs that it was made to."""
    identity: Identity = EFO

    @property
    def version(self) -> str:
        """The versionInfo."""
        return self.identity.version.format(self.identity.first_version + self.number)

    @property
    def version_iri(self) -> str:
        """The versionIRI."""
        identity = self.identity
        return f"{identity.home}releases/v{self.version}/{identity.ontology}.owl"

    @property
    def timestamp(self) -> str:
        """When OLS loaded it; a fixed date per release."""
        return f"2030-{(self.number - 1) % 12 + 1:02d}-15T00:00:00"


@lru_cache(maxsize=4)
def release(classes: int, seed: int, number: int = 1, identity: Identity = EFO) -> GeneratedRelease:
    """Generate release `number` (from 1) of an ontology that began with `classes` classes."""
    if number > 1:
        return _next_release(release(classes, seed, number - 1, identity), seed)
    chance = Random(seed)
    iris: list[str] = []
    current: list[str] = []
    generated: list[GeneratedClass] = []
    for position in range(classes):
        space = chance.choices(identity.spaces, SPACE_SHARES)[0]
        iri = identity.class_iri(space, position)
        is_obsolete = position > 2 and chance.random() < OBSOLETE_SHARE
        iris.append(iri)
        generated.append(_class(chance, identity, position, iris, current, is_obsolete=is_obsolete))
        if not is_obsolete:
            current.append(iri)
    return GeneratedRelease(1, _in_order(generated), identity=identity)


def _in_order(classes: Iterable[GeneratedClass]) -> tuple[GeneratedClass, ...]:
    return tuple(sorted(classes, key=attrgetter("iri")))


def _class(
    chance: Random,
    identity: Identity,
    number: int,
    iris: Sequence[str],
    current: Sequence[str],
    *,
    is_obsolete: bool,
) -> GeneratedClass:
    """The class of the last of these IRIs; `current` holds those that may be its parents."""
    iri = iris[-1]
    words = " ".join(chance.choice(kind) for kind in (QUALITIES, PLACES, KINDS))
    label = f"{words} {number}" if chance.random() < 0.9 else words
    return GeneratedClass(
        iri=iri,
        curie=_curie(iri),
        labels=_labels(chance, label, number, is_obsolete=is_obsolete),
        definitions=_definitions(chance, label, number),
        is_obsolete=is_obsolete,
        is_defining=iri.startswith(identity.home),
        parents=() if is_obsolete else _parents(chance, identity, number, current),
        synonyms=tuple(_synonyms(chance, label, number)),
        xrefs=tuple(_xrefs(chance, number)),
        matches=tuple(
            Match(relation, value.format(number), prefix, accession.format(number))
            for every, relation, value, prefix, accession in MATCHES
            if number % every == 1
        ),
        annotations=(
            _obsolete_annotations(chance, identity, number, iris, current)
            if is_obsolete
            else {iri: values for every, iri, values in ANNOTATED if number % every == 0}
        ),
        has_anonymous_parent=number % 211 == 13,
    )


def _labels(
    chance: Random, label: str, number: int, *, is_obsolete: bool
) -> tuple[str | bool | float, ...]:
    if number % 997 in (5, 6):
        return (number % 2 == 0,) if number % 997 == 5 else (float(number) + 0.5,)
    text = f"obsolete_{label}" if is_obsolete else label
    return (text, f"{text} of the {chance.choice(PLACES)}") if number % 101 == 7 else (text,)


def _definitions(chance: Random, label: str, number: int) -> tuple[str, ...]:
    if chance.random() < 0.2:
        return ()
    sentences = [
        f"{chance.choice(VERBS)} the {chance.choice(PLACES)} with {chance.choice(QUALITIES)} "
        f"{chance.choice(KINDS)} and {chance.choice(KINDS)} of the {chance.choice(PLACES)}."
        for _ in range(chance.randint(1, 4))
    ]
    first = f"Any {label} that {' '.join(sentences)}"
    return (first, f"A {label}.") if number % 89 == 3 else (first,)


def _parents(
    chance: Random, identity: Identity, number: int, current: Sequence[str]
) -> tuple[Parent, ...]:
    if number < 3 or not current:
        return ()
    known = len(current)
    # Towards small numbers: some classes get hundreds of children, and depth stays near EFO's.
    picks = [
        current[int(known * chance.random() ** 4)] for _ in range(chance.choice((1, 1, 2, 2, 3)))
    ]
    parents = dict.fromkeys(Parent(iri, "is_a") for iri in picks)
    draw = chance.random()
    for below, predicate in ((0.06, "part_of"), (0.08, "develops_from"), (0.1, "is_a_implied")):
        if draw < below:
            other = current[int(known * chance.random())]
            if other not in picks:
                parents[Parent(other, predicate)] = None
            break
    if number % 503 == 11:
        parents[Parent(identity.class_iri("NOWHERE", number), "is_a")] = None
    return tuple(parents)


def _synonyms(chance: Random, label: str, number: int) -> Iterator[Synonym]:
    texts = [
        f"{chance.choice(KINDS)} of {chance.choice(PLACES)} {chance.choice(QUALITIES)}",
        f"{label}, {chance.choice(QUALITIES)}",
        f"{chance.choice(PLACES)} {chance.choice(KINDS)} NOS {number}",
        f"{label} type {chance.randint(1, 9)}",
        f"{chance.choice(QUALITIES)} {label}",
        f"{label[:3].upper()}{number}",
    ]
    for text in dict.fromkeys(texts[: chance.choice((0, 1, 2, 3, 4, 6))]):
        yield Synonym(text, chance.choice(SCOPES), chance.random() < 0.1, _axioms(chance))
    if number % 97 == 21:
        yield Synonym(f"{AWKWARD[number % len(AWKWARD)]} {number}")
    if number % 103 == 31:
        for scope in ("exact", "related"):
            yield Synonym(f"both scopes {number}", scope)
    if number % 107 == 41:
        axioms = (((TYPES[0],), ("MONDO:1",)), ((TYPES[1],), ("DOID:2", "MONDO:1")))
        yield Synonym(f"two axioms {number}", axioms=axioms)


def _axioms(chance: Random) -> tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]:
    draw = chance.random()
    if draw < 0.5:
        return ()
    sources = tuple(
        f"{chance.choice(XREF_PREFIXES)}:{chance.randint(1, 99999)}"
        for _ in range(chance.choice((1, 1, 2)))
    )
    return (((chance.choice(TYPES),) if draw > 0.9 else (), sources),)


def _xrefs(chance: Random, number: int) -> Iterator[Xref]:
    for prefix in chance.sample(XREF_PREFIXES, chance.choice((1, 2, 3, 4, 5, 5))):
        value = f"{prefix}:{chance.choice('ACDE')}{chance.randint(1000, 999999)}"
        url = f"https://example.org/{value.replace(':', '/')}" if chance.random() < 0.5 else None
        yield Xref(value, _sources(chance), url)
    if chance.random() < 0.12:
        identifier = f"D{chance.randint(1, 20000):06d}"
        spelling = chance.choice(MESH_SPELLINGS)
        yield Xref(f"{spelling}:{identifier}", _sources(chance))
        if number % 7 == 0:
            other = MESH_SPELLINGS[(MESH_SPELLINGS.index(spelling) + 1) % len(MESH_SPELLINGS)]
            yield Xref(f"{other}:{identifier}", ("MONDO:equivalentTo",))
    for every, rest, value in RARE_XREFS:
        if number % every == rest:
            yield Xref(value.format(number))


def _sources(chance: Random) -> tuple[str, ...]:
    draw = chance.random()
    if draw < 0.8:
        return ("MONDO:equivalentTo",) if draw >= 0.4 else ()
    return ("MONDO:otherHierarchy", f"DOID:{chance.randint(1, 9999)}")


def _obsolete_annotations(
    chance: Random, identity: Identity, number: int, iris: Sequence[str], current: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    annotations: dict[str, tuple[str, ...]] = {OBSOLETED_IN: (f"3.{number % 80}",)}
    annotations[REASON] = ("merged in sample data",)
    if replaced_by := _replaced_by(chance, identity, number, iris, current):
        annotations[REPLACED_BY] = replaced_by
    if number % 4 == 0:
        considered = (chance.choice(current), _curie(chance.choice(iris)))
        annotations[CONSIDER] = considered[: 1 + number % 3]
    return annotations


def _replaced_by(
    chance: Random, identity: Identity, number: int, iris: Sequence[str], current: Sequence[str]
) -> tuple[str, ...]:
    """Values of every form; most name a current class, some a class that is obsolete itself."""
    target, other = chance.choice(current), chance.choice(current)
    for every, rest, values in (
        (43, 2, (iris[-1],)),  # the class itself
        (31, 3, (identity.class_iri("NOWHERE", number),)),
        (37, 4, ("no term of this kind is needed any more",)),
        (29, 5, (target, _curie(other))),
        (41, 6, (f"{_curie(target)} or {other}",)),
    ):
        if number % every == rest:
            return values
    if number % 3 == 1:
        target = chance.choice(iris)
    short = _short_form(target)
    form = (target, _curie(target), short, f"use {short}", "")[number % 5]
    return (form,) if form else ()


def _short_form(iri: str) -> str:
    return iri.rsplit("/", 1)[-1]


def _curie(iri: str) -> str:
    return _short_form(iri).replace("_", ":")


def _next_release(before: GeneratedRelease, seed: int) -> GeneratedRelease:
    """Make each kind of change as often as it is due, to classes of its own, keeping all sound."""
    release_number, identity = before.number + 1, before.identity
    chance = Random(f"{seed}/{release_number}")
    classes = {each.iri: each for each in before.classes}
    with_children = {parent.iri for each in before.classes for parent in each.parents}
    leaves = [
        each.iri
        for each in before.classes
        if not each.is_obsolete and each.parents and each.iri not in with_children
    ]
    free = [
        each.iri
        for each in before.classes
        if each.synonyms and each.xrefs and each.definitions and isinstance(each.labels[0], str)
    ]
    chance.shuffle(leaves)
    chance.shuffle(free)
    touched: set[str] = set()
    changes: dict[str, list[str]] = {kind: [] for kind in CHANGE_KINDS}
    times = max(1, round(len(classes) * CHANGED_SHARE / len(CHANGE_KINDS)))
    for kind, turn in product(CHANGE_KINDS, range(times)):
        if kind == "new":
            number = 8_000_000 + release_number * 10_000 + turn
            parent, iri = leaves[turn], identity.class_iri(identity.prefix, number)
            classes[iri] = _class(chance, identity, number, [iri], [parent], is_obsolete=False)
            touched.add(parent)  # a parent must not go in the same release
        else:
            # Only a leaf can go or become obsolete without leaving its children behind.
            pool = leaves if kind in ("gone", "obsoleted", "re-parented") else free
            iri = next(each for each in iter(pool.pop, None) if each not in touched)
            each = classes.pop(iri)
            if kind != "gone":
                classes[iri] = replace(each, **EDITS[kind](each, f"r{release_number}", classes))
        touched.add(iri)
        changes[kind].append(iri)
    made = {kind: tuple(iris) for kind, iris in changes.items()}
    return GeneratedRelease(release_number, _in_order(classes.values()), made, identity)


def _other_root(each: GeneratedClass, classes: Classes) -> tuple[Parent, ...]:
    """The first root that isn't a parent yet; without any the class becomes a root itself.

    A root has no ancestors, so no cycle can come of it.
    """
    used = {parent.iri for parent in each.parents}
    roots = (c.iri for c in classes.values() if not (c.parents or c.is_obsolete or c.iri in used))
    return tuple(Parent(iri, "is_a") for iri in sorted(roots)[:1])


EDITS: Mapping[str, Callable[[GeneratedClass, str, Classes], dict[str, Any]]] = {
    "relabelled": lambda each, mark, _: {"labels": (f"{each.labels[0]} {mark}",)},
    "redefined": lambda each, mark, _: {"definitions": (f"{each.definitions[0]} {mark}",)},
    "obsoleted": lambda each, *_: {
        "labels": (f"obsolete_{each.labels[0]}",),
        "is_obsolete": True,
        "parents": (),
        "has_anonymous_parent": False,
        "annotations": {REPLACED_BY: (each.parents[0].iri,), REASON: ("merged",)},
    },
    "re-parented": lambda each, _, classes: {"parents": _other_root(each, classes)},
    "synonym added": lambda each, mark, _: {
        "synonyms": (
            *each.synonyms,
            Synonym(f"added synonym {mark} {each.curie}"),
        )
    },
    "synonym removed": lambda each, *_: {"synonyms": each.synonyms[1:]},
    "xref added": lambda each, mark, _: {
        "xrefs": (*each.xrefs, Xref(f"ADDED:{mark}-{each.curie}"))
    },
    "xref removed": lambda each, *_: {"xrefs": each.xrefs[1:]},
}
"""Kind of change to the fields that it changes; texts that it adds to hold the release's mark."""
CHANGE_KINDS = ("new", "gone", *EDITS)
