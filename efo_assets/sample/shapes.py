"""Ontologies of other shapes and of any size, made class by class: what growth is measured with.

A class is a function of its number, so a page of a million classes costs no more than one of a
thousand, and nothing is kept of them. Each release relabels 0.25 % of the classes; none comes, goes
or is obsolete.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from operator import index
from typing import Literal, Protocol, TypeAlias, overload

from efo_assets.sample.ontology import (
    EFO,
    Classes,
    GeneratedClass,
    GeneratedRelease,
    Identity,
    Parent,
    Synonym,
    Xref,
)
from efo_assets.sample.words import KINDS, PLACES, QUALITIES

ShapeName: TypeAlias = Literal["taxonomy", "chains"]

LEVELS = 38
"""Of a taxonomy, as of NCBITaxon, whose classes have 26 ancestors on average; these have 25."""
LONG_CHAIN = 501
"""Classes: their 500 edges are the most that the loader follows."""
SHORT_CHAIN = 50
SHORT_CHAINS = 199
"""After each long one: so a class has 35 ancestors on average."""
KEPT_CLASSES = 4_096
"""Classes of one page have most of their ancestors in common."""
RELABELLED = 400
"""Every so-many-th class has another label in the next release."""


class Shape(Protocol):
    """A hierarchy over the numbers from 0 on, where each has one parent or none."""

    def parent(self, number: int) -> int | None:
        """The parent of a class."""

    def is_parent(self, number: int) -> bool:
        """Whether a class has children."""


@dataclass(frozen=True)
class Taxonomy:
    """One root and levels that grow evenly; every other class of a level has children."""

    classes: int

    @cached_property
    def _starts(self) -> Sequence[int]:
        """The first number of each level, and the number of all classes."""
        levels = min(LEVELS, self.classes)
        pairs = levels * (levels - 1)
        return [
            max(level, self.classes * level * (level - 1) // pairs) for level in range(levels + 1)
        ]

    def parent(self, number: int) -> int | None:
        """A class of the level above: the children of one stand together."""
        level = bisect_right(self._starts, number) - 1
        return None if level == 0 else self._parent(level, number - self._starts[level])

    def _parent(self, level: int, place: int) -> int:
        above, start, end = self._starts[level - 1 : level + 2]
        # The place in proportion, made even.
        return above + (place * (start - above) // (end - start) & ~1)

    def is_parent(self, number: int) -> bool:
        """Whether the first class that stands far enough in the level below is its child."""
        level = bisect_right(self._starts, number)
        if level == len(self._starts) - 1:
            return False
        above, start, end = self._starts[level - 1 : level + 2]
        first = -(-(number - above) * (end - start) // (start - above))
        return first < end - start and self._parent(level, first) == number


@dataclass(frozen=True)
class Chains:
    """Many chains of some classes, with one in between that is as long as is allowed."""

    classes: int

    def parent(self, number: int) -> int | None:
        """The class before, unless a chain begins."""
        place = number % (LONG_CHAIN + SHORT_CHAIN * SHORT_CHAINS)
        if place >= LONG_CHAIN:
            place = (place - LONG_CHAIN) % SHORT_CHAIN
        return number - 1 if place else None

    def is_parent(self, number: int) -> bool:
        """Whether the next class is its child."""
        return number + 1 < self.classes and self.parent(number + 1) is not None


SHAPES: Mapping[ShapeName, Callable[[int], Shape]] = {"taxonomy": Taxonomy, "chains": Chains}


@dataclass(frozen=True)
class _Classes(Sequence[GeneratedClass]):
    """All classes of a release, each made whenever it is asked for."""

    total: int
    shape: Shape
    release: int
    identity: Identity

    def __len__(self) -> int:
        return self.total

    @overload
    def __getitem__(self, place: int) -> GeneratedClass: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[GeneratedClass]: ...
    def __getitem__(self, place: int | slice) -> GeneratedClass | Sequence[GeneratedClass]:
        if isinstance(place, slice):
            return [self._class(number) for number in range(self.total)[place]]
        return self._class(range(self.total)[index(place)])

    def iri(self, number: int) -> str:
        """The IRI of a class; in the order of their numbers."""
        return self.identity.class_iri(self.identity.prefix, number)

    def _class(self, number: int) -> GeneratedClass:
        words = (QUALITIES, number), (PLACES, number // 7), (KINDS, number // 61)
        name = " ".join([*(kind[at % len(kind)] for kind, at in words), str(number)])
        relabelled = self.release - (self.release - number) % RELABELLED
        parent = self.shape.parent(number)
        xrefs = [Xref(f"NCIT:C{number}")]
        xrefs += [Xref(f"UMLS:C{number:07d}", ("MONDO:equivalentTo",))] if number % 2 else []
        xrefs += [Xref(f"MESH:D{number:06d}")] if number % 25 == 0 else []
        return GeneratedClass(
            iri=self.iri(number),
            curie=f"{self.identity.prefix}:{number:07d}",
            labels=(name if relabelled < 2 else f"{name} r{relabelled}",),
            definitions=(f"Any {name} that is one of its parent's.",),
            is_obsolete=False,
            is_defining=True,
            parents=() if parent is None else (Parent(self.iri(parent), "is_a"),),
            synonyms=(
                Synonym(f"{name} NOS"),
                *((Synonym(f"type of {name}", "related"),) if number % 3 else ()),
            ),
            xrefs=tuple(xrefs),
        )


@dataclass(frozen=True)
class _ByIri(Mapping[str, GeneratedClass]):
    """The classes by IRI."""

    classes: _Classes

    @cached_property
    def _kept(self) -> Callable[[int], GeneratedClass]:
        return lru_cache(KEPT_CLASSES)(self.classes.__getitem__)

    def __getitem__(self, iri: str) -> GeneratedClass:
        number = iri.rpartition("_")[2]
        if number.isdecimal() and int(number) < len(self.classes):
            each = self._kept(int(number))
            if each.iri == iri:
                return each
        raise KeyError(iri)

    def __iter__(self) -> Iterator[str]:
        return map(self.classes.iri, range(len(self)))

    def __len__(self) -> int:
        return len(self.classes)


@dataclass(frozen=True)
class _ShapedRelease(GeneratedRelease):
    """A release that knows its hierarchy by arithmetic."""

    classes: _Classes

    @cached_property
    def by_iri(self) -> Classes:
        return _ByIri(self.classes)

    def has_children(self, each: GeneratedClass) -> bool:
        return self.classes.shape.is_parent(_number(each))

    def ancestors(self, each: GeneratedClass) -> tuple[str, ...]:
        parent = self.classes.shape.parent(_number(each))
        return () if parent is None else self._up_from(parent)

    @cached_property
    def _up_from(self) -> Callable[[int], tuple[str, ...]]:
        """The IRI of a class and of all above it."""
        shape = self.classes.shape

        def up_from(number: int | None) -> Iterator[str]:
            while number is not None:
                yield self.classes.iri(number)
                number = shape.parent(number)

        return lru_cache(KEPT_CLASSES)(lambda number: tuple(up_from(number)))


def _number(each: GeneratedClass) -> int:
    return int(each.iri.rpartition("_")[2])


def shaped_release(
    name: ShapeName, classes: int, number: int = 1, identity: Identity = EFO
) -> GeneratedRelease:
    """Release `number` (from 1) of so many classes in a shape; takes no time and no memory."""
    made = _Classes(classes, SHAPES[name](classes), number, identity)
    relabelled = map(made.iri, range(number % RELABELLED, classes, RELABELLED))
    changes = {"relabelled": tuple(relabelled)} if number > 1 else {}
    return _ShapedRelease(number, made, changes, identity)
