"""Replacements and ancestors of a generated release, worked out class by class, without SQL."""

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, Protocol

from efo_assets.sample.ontology import GeneratedRelease

Row = tuple[Any, ...]
WALKED = ("is_a", "is_a_implied", "part_of", "develops_from")


class HasRows(Protocol):
    """The rows of a release that changes are told from; see `expected.ExpectedRows`."""

    @property
    def terms(self) -> frozenset[Row]: ...
    @property
    def synonyms(self) -> frozenset[Row]: ...
    @property
    def parent_edges(self) -> frozenset[Row]: ...
    @property
    def xrefs(self) -> frozenset[Row]: ...
    @property
    def replacements(self) -> frozenset[Row]: ...


class _End(NamedTuple):
    """Where one way of replacements ends."""

    kind: str
    is_cycle: bool
    hops: int
    evidence: str
    target: str
    path: tuple[str, ...]


def expected_replacements(release: GeneratedRelease) -> frozenset[Row]:
    """iri, ordinal, kind, target, status, hops, path, evidence of every obsolete class."""
    follow = _Replacements(release)
    return frozenset(
        row for each in release.classes if each.is_obsolete for row in follow.rows(each.iri)
    )


class _Replacements:
    def __init__(self, release: GeneratedRelease) -> None:
        self._by_iri = {each.iri: each for each in release.classes}
        self._iris = {each.short_form: each.iri for each in release.classes}

    def rows(self, iri: str) -> Iterator[Row]:
        """The rows of one obsolete class."""
        notes = self._by_iri[iri].annotations
        ends: dict[str, _End] = {}
        for kind in ("replaced_by", "consider"):
            for end in self._ends(iri, kind):
                best = ends.get(end.target)
                if best is None or _rank(end) < _rank(best):
                    ends[end.target] = end
        if not ends:
            stated = [
                (kind, value)
                for kind in ("replaced_by", "consider")
                for value in sorted(notes.get(kind, ()))
            ]
            why = stated[0] if stated else (None, None)
            yield (iri, 1, why[0], None, "no_replacement", 0, (iri,), why[1])
            return
        ordered = sorted(ends.values(), key=lambda end: (_kind(end), end.hops, end.target))
        for ordinal, end in enumerate(ordered, 1):
            status = self._status(end)
            rivals = [o for o in ordered if o.kind == end.kind and self._status(o) == "resolved"]
            if status == "resolved" and len(rivals) > 1:
                status = "ambiguous"
            yield (iri, ordinal, end.kind, end.target, status, end.hops, end.path, end.evidence)

    def _status(self, end: _End) -> str:
        if end.is_cycle:
            return "cycle"
        if end.target not in self._by_iri:
            return "target_missing"
        return "dead_end" if self._by_iri[end.target].is_obsolete else "resolved"

    def _ends(self, iri: str, kind: str) -> Iterator[_End]:
        waiting: deque[tuple[str, str, tuple[str, ...]]] = deque(
            (target, value, (iri, target)) for target, value in self._targets(iri, kind)
        )
        seen = {target for target, _, _ in waiting}
        while waiting:
            target, evidence, path = waiting.popleft()
            is_cycle = target in path[:-1]
            following = [] if is_cycle else list(self._targets(target, "replaced_by"))
            if not following:
                yield _End(kind, is_cycle, len(path) - 1, evidence, target, path)
            for further, _ in following:
                if further not in seen or further in path:
                    waiting.append((further, evidence, (*path, further)))
                    seen.add(further)

    def _targets(self, iri: str, kind: str) -> Iterator[tuple[str, str]]:
        each = self._by_iri.get(iri)
        if each is None or not each.is_obsolete:
            return
        found: dict[str, str] = {}
        for value in sorted(each.annotations.get(kind, ())):
            for word in value.split():
                if word.startswith("http"):
                    found.setdefault(word, value)
                elif ":" in word or "_" in word:
                    # One whose class is gone is a target all the same, and a missing one.
                    found.setdefault(self._iris.get(word.replace(":", "_"), word), value)
        yield from sorted(found.items())


def _kind(end: _End) -> int:
    return ("replaced_by", "consider").index(end.kind)


def _rank(end: _End) -> tuple[Any, ...]:
    return (_kind(end), end.is_cycle, end.hops, end.evidence)


def expected_ancestors(edges: Iterable[Row]) -> frozenset[Row]:
    """term, ancestor, distance over all relations that are walked, distance over is_a or None."""
    every: dict[str, set[str]] = {}
    is_a: dict[str, set[str]] = {}
    for child, parent, predicate in edges:
        if predicate in WALKED:
            every.setdefault(child, set()).add(parent)
        if predicate == "is_a":
            is_a.setdefault(child, set()).add(parent)
    return frozenset(
        (child, ancestor, distance, near.get(ancestor))
        for child in every
        for near in [_distances(child, is_a)]
        for ancestor, distance in _distances(child, every).items()
    )


def _distances(child: str, parents: dict[str, set[str]]) -> dict[str, int]:
    """The shortest distance to each ancestor, generation by generation."""
    found: dict[str, int] = {}
    generation, distance = parents.get(child, set()), 1
    while generation:
        for ancestor in generation:
            found[ancestor] = distance
        above = (parents.get(ancestor, set()) for ancestor in generation)
        generation = {each for some in above for each in some} - found.keys()
        distance += 1
    return found


STRENGTH = ("exact", "close", "narrow", "broad", "related", "xref")
MESH_KINDS = {"D": "descriptor", "C": "supplementary", "Q": "qualifier"}


def expected_mesh_terms(
    release: GeneratedRelease, xrefs: Iterable[Row], replacements: Iterable[Row]
) -> frozenset[Row]:
    """iri, mesh_id, kind, relation, is_own, via, sources, is_only_term, is_only_mesh_id."""
    current = {each.iri for each in release.classes if not each.is_obsolete}
    leads = {row[0]: row[3] for row in replacements if row[2:5:2] == ("replaced_by", "resolved")}
    pairs: dict[tuple[str, str], list[Row]] = {}
    for iri, prefix, accession, relation, sources, *_ in xrefs:
        mesh_id = accession.upper()
        if prefix == "mesh" and mesh_id[:1] in MESH_KINDS and mesh_id[1:].isdecimal():
            target = iri if iri in current else leads.get(iri)
            if len(mesh_id) in {7, 10} and target is not None:
                pairs.setdefault((target, mesh_id), []).append((iri, relation, sources))
    terms_of = Counter(mesh_id for _, mesh_id in pairs)
    meshes_of = Counter(iri for iri, _ in pairs)
    return frozenset(
        (
            iri,
            mesh_id,
            MESH_KINDS[mesh_id[0]],
            min((relation for _, relation, _ in carried), key=STRENGTH.index),
            any(carrier == iri for carrier, _, _ in carried),
            tuple(sorted({carrier for carrier, _, _ in carried if carrier != iri})),
            tuple(sorted({source for _, _, sources in carried for source in sources})),
            terms_of[mesh_id] == 1,
            meshes_of[iri] == 1,
        )
        for (iri, mesh_id), carried in pairs.items()
    )


def expected_changes(before: HasRows, after: HasRows) -> frozenset[Row]:
    """iri, kind, before, after of every difference between two releases of one ontology."""
    old = {row[0]: row for row in before.terms}
    new = {row[0]: row for row in after.terms}
    both = old.keys() & new.keys()
    rows: list[Row] = [(iri, "added", None, new[iri][2]) for iri in new.keys() - old.keys()]
    rows += [(iri, "removed", old[iri][2], None) for iri in old.keys() - new.keys()]
    for iri in both:
        rows += _term_changes(iri, old[iri], new[iri])
    for kind, texts in (
        ("synonym", _scopes),
        ("xref", _plain_xrefs),
        ("parent", _parents),
    ):
        was, now = texts(before), texts(after)
        for key in was.keys() | now.keys():
            if key[0] in both and was.get(key) != now.get(key):
                rows.append((key[0], *_change(kind, was.get(key), now.get(key))))
    still = {iri for iri in both if old[iri][6] and new[iri][6]}
    led, leads = _targets(before), _targets(after)
    rows += [
        (iri, "replacement changed", led.get(iri), leads.get(iri))
        for iri in still
        if led.get(iri) != leads.get(iri)
    ]
    return frozenset(rows)


def _term_changes(iri: str, old: Row, new: Row) -> Iterator[Row]:
    if new[6] and not old[6]:
        yield iri, "obsoleted", old[2], new[2]
    elif old[6] and not new[6]:
        yield iri, "restored", old[2], new[2]
    elif old[2] != new[2]:
        yield iri, "relabelled", old[2], new[2]
    if old[4] != new[4]:
        yield iri, "redefined", old[4], new[4]


def _change(kind: str, was: str | None, now: str | None) -> Row:
    if was is None:
        return f"{kind} added", None, now
    return (f"{kind} removed", was, None) if now is None else (f"{kind} scope moved", was, now)


def _scopes(rows: HasRows) -> dict[tuple[str, ...], str]:
    found: dict[tuple[str, ...], list[str]] = {}
    for iri, text, scope, *_ in rows.synonyms:
        found.setdefault((iri, text), []).append(scope)
    return {key: f"{', '.join(sorted(scopes))}: {key[1]}" for key, scopes in found.items()}


def _plain_xrefs(rows: HasRows) -> dict[tuple[str, ...], str]:
    return {row[:3]: f"{row[1]}:{row[2]}" for row in rows.xrefs}


def _parents(rows: HasRows) -> dict[tuple[str, ...], str]:
    return {row: f"{row[2]} {row[1]}" for row in rows.parent_edges}


def _targets(rows: HasRows) -> dict[str, str]:
    found: dict[str, list[tuple[str, str]]] = {}
    for iri, _, kind, target, *_ in rows.replacements:
        if target is not None:
            found.setdefault(iri, []).append((kind, target))
    return {iri: "; ".join(map(" ".join, sorted(targets))) for iri, targets in found.items()}


def expected_labels(rows: HasRows) -> frozenset[Row]:
    """iri, kind, text, inherited from (an IRI or None) of every label and synonym of a term."""
    own: dict[str, list[tuple[str, str]]] = {}
    for iri, _, label, others, *_ in rows.terms:
        own[iri] = [("label", label), *(("other label", other) for other in others)]
    for iri, text, scope, *_ in rows.synonyms:
        own[iri].append((scope, text))
    found = {(iri, kind, text, None) for iri, texts in own.items() for kind, text in texts}
    inherited = {
        (target, kind, text, iri)
        for iri, _, leads, target, status, *_ in rows.replacements
        if (leads, status) == ("replaced_by", "resolved")
        for kind, text in own[iri]
    }
    return frozenset(found | inherited)
