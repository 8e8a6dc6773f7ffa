"""The closure over parent edges: which lie on cycles, and the ancestors of every term.

Worked out from integers, in one pass in which a term's turn comes after its parents'. A term's
ancestors are kept only until its last child had its turn, so that memory grows with the edges and
not with the ancestors. What SQL has to do is to give the edges and to take the rows.
"""

import struct
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, partial
from itertools import accumulate, compress
from typing import Self

from efo_assets.errors import WarehouseError
from efo_assets.warehouse.copy_rows import SIGNATURE, TRAILER
from efo_assets.warehouse.integers import Integers, in_pieces, of_text
from efo_assets.warehouse.session import Connection
from efo_assets.warehouse.statements import statement

MOST_LEVELS = 500
"""EFO has some thirty. Rows grow with the square of a chain's length: one of all terms would be
billions."""
COLUMNS = ("term_id", "ancestor_id", "distance", "is_a_distance")
"""Of a row of `ancestor_rows`."""
PIECE_BYTES = 1 << 17

# Both distances of an ancestor are one integer, so that a step further is one addition.
_STEP = 1 << 16
_STEP_OVER_IS_A = _STEP + 1
_IS_A_BITS = _STEP - 1
_NO_IS_A = 1 << 12
"""Added to the distance over is_a where there is none; beyond all that can be."""

_FIELDS = struct.pack(">h", len(COLUMNS))
_KEY = struct.Struct(">iq").pack
_DISTANCES = struct.Struct(">ihih").pack
_NO_IS_A_DISTANCE = struct.Struct(">ihi").pack


@dataclass(frozen=True, slots=True)
class Edges:
    """One edge per child and parent, by their places among the keys of terms that have edges."""

    keys: Integers
    """In ascending order."""
    children: Integers
    parents: Integers
    is_a: bytes
    """1 where an edge is of is_a, whatever else it is; 0 elsewhere."""

    @classmethod
    def read(cls, connection: Connection, load_schema: str) -> Self:
        """The edges of a load that make ancestors."""
        keys, children, parents, is_a = array("q"), array("i"), array("i"), bytearray()
        for (text,) in in_pieces(connection, statement("closure_terms", load=load_schema)):
            keys.extend(of_text(text))
        place_of = partial(bisect_left, keys)
        query = statement("closure_edges", load=load_schema)
        for child_keys, parent_keys, flags in in_pieces(connection, query):
            children.extend(map(place_of, of_text(child_keys)))
            parents.extend(map(place_of, of_text(parent_keys)))
            is_a += flags
        return cls(keys, children, parents, bytes(is_a))

    def only(self, chosen: bytes) -> Self:
        """Those for which there is no 0 in `chosen`."""
        children, parents = (
            array("i", compress(places, chosen)) for places in (self.children, self.parents)
        )
        return type(self)(self.keys, children, parents, bytes(compress(self.is_a, chosen)))

    def turned(self) -> Self:
        """The same with children for parents."""
        return type(self)(self.keys, self.parents, self.children, self.is_a)


def _numbers(of: Integers, places: int) -> Integers:
    """How often each place is one of these."""
    numbers = array("i", bytes(places * 4))
    for place in of:
        numbers[place] += 1
    return numbers


def in_turn(edges: Edges) -> Integers:
    """Places in an order in which parents come first; what a cycle is above has no turn.

    The last that became ready is next: children soon follow their parents.
    """
    places = len(edges.keys)
    waits_for = _numbers(edges.children, places)
    # Children by parent: of each place they end where those of the next begin.
    ends = array("i", accumulate(_numbers(edges.parents, places)))
    begins, children = ends[:], array("i", bytes(len(edges.children) * 4))
    for child, parent in zip(edges.children, edges.parents, strict=True):
        begins[parent] -= 1
        children[begins[parent]] = child
    ready = array("i", (place for place in range(places) if not waits_for[place]))
    turns = array("i")
    while ready:
        turns.append(place := ready.pop())
        for child in children[begins[place] : ends[place]]:
            waits_for[child] -= 1
            if not waits_for[child]:
                ready.append(child)
    return turns


def on_cycles(edges: Edges) -> bytes:
    """1 for each edge that lies on a cycle, or between two; 0 for the others."""
    cyclic = bytearray(b"\1" * len(edges.children))
    # Neither what is above all cycles nor what is below them, which is all where there is none.
    for each, ends in ((edges, edges.parents), (edges.turned(), edges.children)):
        if len(turns := in_turn(each)) == len(edges.keys):
            return bytes(len(cyclic))
        has_turn = bytearray(len(edges.keys))
        for place in turns:
            has_turn[place] = 1
        for number, end in enumerate(ends):
            if has_turn[end]:
                cyclic[number] = 0
    return bytes(cyclic)


def _cut(edges: Edges) -> Edges:
    """The edges without those on cycles, or between two, that are of other relations than is_a.

    Without any on a cycle if all of them are is_a, of which a load that passes its audit has none.
    """
    cyclic = on_cycles(edges)
    others = bytes(on and not is_a for on, is_a in zip(cyclic, edges.is_a, strict=True))
    left_out = others if any(others) else cyclic
    return edges.only(bytes(not each for each in left_out))


def ancestor_rows(edges: Edges, *, only_parents: bool = False) -> Iterator[bytes]:
    """All ancestors of all terms as one COPY in binary, in pieces; or of those only the parents.

    Raises:
        WarehouseError: there is a chain of over `MOST_LEVELS` edges.
    """
    places = len(edges.keys)
    while len(turns := in_turn(edges)) < places:
        edges = _cut(edges)
    ends = array("i", accumulate(_numbers(edges.children, places)))
    children_left = _numbers(edges.parents, places)
    level = array("h", bytes(places * 2))
    kept: dict[int, tuple[bytes, dict[bytes, int]]] = {}
    piece = bytearray(SIGNATURE)
    for place in turns:
        ancestors: dict[bytes, int] = {}
        for edge in range(ends[place - 1] if place else 0, ends[place]):
            parent = edges.parents[edge]
            level[place] = max(level[place], level[parent] + 1)
            parent_key, above = kept[parent]
            children_left[parent] -= 1
            if not children_left[parent]:
                del kept[parent]
            if edges.is_a[edge]:
                found = {key: both + _STEP_OVER_IS_A for key, both in above.items()}
                found[parent_key] = _STEP_OVER_IS_A
            else:
                found = {key: (both | _IS_A_BITS) + 1 + _NO_IS_A for key, both in above.items()}
                found[parent_key] = _STEP + _NO_IS_A
            ancestors = _nearest(ancestors, found) if ancestors else found
        if level[place] > MOST_LEVELS:
            raise WarehouseError(
                f"The parents of one term or more form a chain of over {MOST_LEVELS} levels, which "
                "is no classification: nothing was published and the last release stays; look at "
                "the ontology's parents in OLS, and run again when they are mended."
            )
        key = _KEY(8, edges.keys[place])
        if children_left[place]:
            kept[place] = key, {} if only_parents else ancestors
        if ancestors:
            begin = _FIELDS + key
            rows = [ancestor + _distances(both) for ancestor, both in ancestors.items()]
            piece += begin + begin.join(rows)
        if len(piece) > PIECE_BYTES:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece + TRAILER)


def _nearest(ancestors: dict[bytes, int], others: dict[bytes, int]) -> dict[bytes, int]:
    """Add others to ancestors, and take the shorter of each distance."""
    for key, both in others.items():
        known = ancestors.setdefault(key, both)
        if known != both:
            nearer = min(known & _IS_A_BITS, both & _IS_A_BITS)
            ancestors[key] = min(known, both) & ~_IS_A_BITS | nearer
    return ancestors


@cache
def _distances(both: int) -> bytes:
    """The fields of both distances."""
    distance, is_a_distance = divmod(both, _STEP)
    if is_a_distance >= _NO_IS_A:
        return _NO_IS_A_DISTANCE(2, distance, -1)
    return _DISTANCES(2, distance, 2, is_a_distance)
