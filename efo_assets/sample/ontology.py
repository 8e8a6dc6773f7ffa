"""The generated ontology: EFO's shape and size, none of its content, release after release.

`release(classes, seed, number, identity)` is a pure function: the same arguments give the same
classes on every machine. Each release changes about 0.25 % of the classes of the one before, with
every kind of change at least once. People meet it under names of its own, as `SAMPLE`; as `EFO` it
is for tests and measurements. Nothing here knows JSON, HTTP, PostgreSQL or the loader.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
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
    (27, "http://www.ebi.ac.uk/efo/gwas_trait", (True,)),
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
    (191, 31, "KEGG_COMPOUND:C{:05d}"),
    (193, 31, "ICD10-CM:E{}"),
    (197, 33, "ICD-9:{}"),
    (199, 33, "NCBI_Gene:{}"),
    (239, 37, "MESH:D{0:06d}, UMLS:C{0:07d}"),
    (241, 39, "ICD10:E{0}; ICD10:F{0}"),
    (251, 43, "https://example.org/a/{0} https://example.org/b/{0}"),
    (257, 47, "UMLS:C{:07d}, and others"),
    (263, 49, " OMIM:{}"),
    (269, 57, "\u00a0NCIT:C{}\u200b"),
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
TWO_AXIOMS = (((TYPES[0],), ("MONDO:1",)), ((TYPES[1],), ("DOID:2", "MONDO:1")))
GSSO = (((), ("GSSO:1",)),)
AWKWARD = (
    *("tab\there", "line\nbreak", "back\\slash \\N \\.", "emoji 🧬", "e\u0301 combining"),
    *("\u202eright to left", "nul \0 inside", "carriage\rreturn", " spaces ", "a|b`c`[d](e)"),
)
ODD_SPACES = "\u00a0\u2000\u2003\u2009\u200b\u202f\ufeff"
"""White space as editors paste it."""
SCRIPTS = ("Sjögren", "ß-cell", "İnce", "βούτυρο", "ДНК", "خلية", "細胞")
OBSOLETE_MARKS = ("obsolete_", "obsolete_", "obsolete ", "OBSOLETE: ", "obsolete:")
"""What stands before the label of an obsolete class."""
Scalar: TypeAlias = str | bool | int | float
"""A value as JSON has it, where a text is expected."""


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
    """A synonym as an editor states it.

    With the scope "" it is one of oboInOwl:hasSynonym, with "other" one of a property that says
    nothing of scopes.
    """

    text: Scalar
    scope: str = "exact"
    is_alternative_term: bool = False
    axioms: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = ()
    """Types and sources of each axiom about it."""


ODD_SYNONYMS = (
    (103, 31, (Synonym("both scopes {}"), Synonym("both scopes {}", "related"))),
    (107, 41, (Synonym("two axioms {}", axioms=TWO_AXIOMS),)),
    (109, 43, (Synonym("twins by case {}"), Synonym("twins by CASE {}"))),
    (83, 47, (Synonym("no scope {}", "", axioms=GSSO),)),
    (
        173,
        51,
        (
            Synonym("one scope {}", "narrow", axioms=TWO_AXIOMS),
            Synonym("one scope {}", "", axioms=GSSO),
        ),
    ),
    (179, 55, (Synonym("another property {}", "other"),)),
    (227, 46, (Synonym("\u00a0 \u200b"),)),
    (229, 48, (Synonym(""),)),
    (233, 52, (Synonym(1.5, "related"), Synonym(True, ""))),
)
"""Synonyms of the classes whose number leaves the second number divided by the first."""


class Xref(NamedTuple):
    """A cross reference as found, with who states it and where it links."""

    value: str
    sources: tuple[str, ...] = ()
    """Of one axiom."""
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
    curie: str | None
    labels: tuple[Scalar, ...]
    definitions: tuple[Scalar, ...]
    is_obsolete: bool
    is_defining: bool
    parents: tuple[Parent, ...]
    synonyms: tuple[Synonym, ...]
    xrefs: tuple[Xref, ...]
    matches: tuple[Match, ...] = ()
    annotations: Mapping[str, tuple[Scalar, ...]] = field(default_factory=dict)
    """IRI of a property to what the class states by it; synonyms and cross references apart."""
    has_anonymous_parent: bool = False
    is_oddly_written: bool = False
    """Whether nulls, empty texts and nodes without a value stand among its values in JSON."""

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
    classes: Sequence[GeneratedClass]
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

    @cached_property
    def by_iri(self) -> Classes:
        """The classes by IRI."""
        return {each.iri: each for each in self.classes}

    def has_children(self, each: GeneratedClass) -> bool:
        """Whether the class is a parent, over whatever relation."""
        return each.iri in self._parents

    def ancestors(self, each: GeneratedClass) -> tuple[str, ...]:
        """All listed ancestors over every relation; worked out once."""
        if each.iri not in self._ancestors:
            ancestors: dict[str, None] = {}
            for parent in each.parents:
                if parent.iri in self.by_iri:
                    above = self.ancestors(self.by_iri[parent.iri])
                    ancestors |= dict.fromkeys((parent.iri, *above))
            self._ancestors[each.iri] = tuple(ancestors)
        return self._ancestors[each.iri]

    @cached_property
    def _parents(self) -> set[str]:
        return {parent.iri for each in self.classes for parent in each.parents}

    @cached_property
    def _ancestors(self) -> dict[str, tuple[str, ...]]:
        return {}


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
        is_twin = position % 499 == 38
        iri = _other_case(iris[-1]) if is_twin else identity.class_iri(space, position)
        is_obsolete = position > 2 and chance.random() < OBSOLETE_SHARE
        iris.append(iri)
        each = _class(chance, identity, position, iris, current, is_obsolete=is_obsolete)
        if is_twin:
            labels = tuple(str(label).upper() for label in generated[-1].labels)
            each = replace(each, labels=labels)
        generated.append(each)
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
        curie=None if number % 251 == 53 else _curie(iri),
        labels=_labels(chance, label, number, is_obsolete=is_obsolete),
        definitions=_definitions(chance, label, number),
        is_obsolete=is_obsolete,
        is_defining=iri.startswith(identity.home),
        parents=() if is_obsolete else _parents(chance, identity, number, current),
        synonyms=_synonyms(chance, label, number, is_obsolete=is_obsolete),
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
        is_oddly_written=number % 127 == 35,
    )


def _labels(chance: Random, label: str, number: int, *, is_obsolete: bool) -> tuple[Scalar, ...]:
    if number % 2503 == 58:
        return ()
    if number % 997 in (5, 6):
        return (number % 2 == 0,) if number % 997 == 5 else (float(number) + 0.5,)
    if number % 67 == 17:
        label = label.replace(" ", ODD_SPACES[number % len(ODD_SPACES)], 1)
    if number % 71 == 19:
        label = f"{SCRIPTS[number % len(SCRIPTS)]} {label}"
    text = f"{_obsolete_mark(number)}{label}" if is_obsolete else label
    if number % 997 == 27:
        return text, text.upper()
    return (text, f"{text} of the {chance.choice(PLACES)}") if number % 101 == 7 else (text,)


def _obsolete_mark(number: int) -> str:
    return OBSOLETE_MARKS[number % len(OBSOLETE_MARKS)]


def _definitions(chance: Random, label: str, number: int) -> tuple[Scalar, ...]:
    odd = (10**30,) if number % 239 == 29 else ()
    if chance.random() < 0.2:
        return odd
    sentences = [
        f"{chance.choice(VERBS)} the {chance.choice(PLACES)} with {chance.choice(QUALITIES)} "
        f"{chance.choice(KINDS)} and {chance.choice(KINDS)} of the {chance.choice(PLACES)}."
        for _ in range(chance.randint(1, 4))
    ]
    first = f"Any {label} that {' '.join(sentences)}"
    return (first, f"A {label}.") if number % 89 == 3 else (first, *odd)


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


def _synonyms(chance: Random, label: str, number: int, *, is_obsolete: bool) -> tuple[Synonym, ...]:
    """Synonyms of a class; editors strip some classes of them as they make them obsolete."""
    synonyms = (*_usual_synonyms(chance, label, number), *_odd_synonyms(number))
    return () if is_obsolete and number % 3 == 1 else synonyms


def _usual_synonyms(chance: Random, label: str, number: int) -> Iterator[Synonym]:
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


def _odd_synonyms(number: int) -> Iterator[Synonym]:
    if number % 97 == 21:
        yield Synonym(f"{AWKWARD[number % len(AWKWARD)]} {number}")
    if number % 113 == 45:
        yield Synonym(f"{SCRIPTS[number % 7]}{ODD_SPACES[number % 7]}{number}")
    for every, rest, synonyms in ODD_SYNONYMS:
        if number % every == rest:
            for synonym in synonyms:
                text = synonym.text
                text = text.format(number) if isinstance(text, str) else text
                yield synonym._replace(text=text)


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
        sources = ("MONDO:equivalentTo",) if draw >= 0.4 else ()
        return (f"DOID:{draw * 1e4:.0f}", *sources) if draw >= 0.7 else sources
    return ("MONDO:otherHierarchy", f"DOID:{chance.randint(1, 9999)}")


def _obsolete_annotations(
    chance: Random, identity: Identity, number: int, iris: Sequence[str], current: Sequence[str]
) -> dict[str, tuple[Scalar, ...]]:
    version = f"3.{number % 80}"
    annotations: dict[str, tuple[Scalar, ...]] = {
        OBSOLETED_IN: (float(version) if number % 6 == 0 else version,)
    }
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
    use = "use\u00a0" if number % 2 else "use "
    form = (target, _curie(target), short, f"{use}{short}", "")[number % 5]
    return (form,) if form else ()


def _short_form(iri: str) -> str:
    return iri.rsplit("/", 1)[-1]


def _curie(iri: str) -> str:
    return _short_form(iri).replace("_", ":")


def _number(iri: str) -> int:
    return int(iri[-7:])


def _other_case(iri: str) -> str:
    """An IRI that differs in the case of its prefix alone."""
    return iri.removesuffix(_short_form(iri)) + _short_form(iri).lower()


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
        if each.synonyms and each.xrefs and each.definitions
        if isinstance(next(iter(each.labels), None), str)
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
        "labels": tuple(f"{_obsolete_mark(_number(each.iri))}{text}" for text in each.labels[:1]),
        "is_obsolete": True,
        # Editors strip some classes of them as they make them obsolete.
        "synonyms": () if _number(each.iri) % 3 == 1 else each.synonyms,
        "xrefs": each.xrefs if _number(each.iri) % 3 == 0 else (),
        "matches": each.matches if _number(each.iri) % 3 == 0 else (),
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
