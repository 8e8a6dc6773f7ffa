"""What SQL derives from a release, worked out class by class and without SQL."""

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from efo_assets.sample.ontology import CONSIDER, REPLACED_BY, GeneratedRelease
from efo_assets_tests.oracle.tables import (
    STRENGTH,
    Ancestor,
    Change,
    ExpectedRows,
    MeshTerm,
    ParentEdge,
    Replacement,
    Term,
    Xref,
)

Row = tuple[Any, ...]
WALKED = ("is_a", "is_a_implied", "part_of", "develops_from")
MESH_KINDS = {"D": "descriptor", "C": "supplementary", "Q": "qualifier"}
PROPERTIES = {"replaced_by": REPLACED_BY, "consider": CONSIDER}
"""Kind of replacement to the property that states it, the stronger one first."""


def words(text: str) -> list[str]:
    """The words of a text; the characters of no width that part them are white space, too."""
    return text.replace("\u200b", " ").replace("\ufeff", " ").split()


class _End(NamedTuple):
    """Where one way of replacements ends."""

    kind: str
    is_cycle: bool
    hops: int
    evidence: str
    target: str
    path: tuple[str, ...]


def expected_replacements(release: GeneratedRelease) -> frozenset[Replacement]:
    """Where the replacements of every obsolete class lead."""
    follow = _Replacements(release)
    return frozenset(
        row for each in release.classes if each.is_obsolete for row in follow.rows(each.iri)
    )


class _Replacements:
    def __init__(self, release: GeneratedRelease) -> None:
        self._by_iri = {each.iri: each for each in release.classes}
        self._iris = {each.short_form: each.iri for each in release.classes}

    def rows(self, iri: str) -> Iterator[Replacement]:
        """The rows of one obsolete class."""
        ends: dict[str, _End] = {}
        for kind in PROPERTIES:
            for end in self._ends(iri, kind):
                best = ends.get(end.target)
                if best is None or _rank(end) < _rank(best):
                    ends[end.target] = end
        if not ends:
            stated = [
                (kind, value)
                for kind, name in PROPERTIES.items()
                for value in sorted(map(str, self._by_iri[iri].annotations.get(name, ())))
            ]
            why = stated[0] if stated else (None, None)
            yield Replacement(iri, None, 1, why[0], None, "no_replacement", 0, (iri,), why[1])
            return
        ordered = sorted(ends.values(), key=lambda end: (_kind(end), end.hops, end.target))
        for ordinal, end in enumerate(ordered, 1):
            status = self._status(end)
            rivals = [o for o in ordered if o.kind == end.kind and self._status(o) == "resolved"]
            if status == "resolved" and len(rivals) > 1:
                status = "ambiguous"
            target_iri = end.target if end.target in self._by_iri else None
            how = (end.kind, end.target, status, end.hops, end.path, end.evidence)
            yield Replacement(iri, target_iri, ordinal, *how)

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
        targets: dict[str, str] = {}
        for value in sorted(map(str, each.annotations.get(PROPERTIES[kind], ()))):
            for word in words(value):
                if word.startswith("http"):
                    targets.setdefault(word, value)
                elif ":" in word or "_" in word:
                    # One whose class is gone is a target all the same, and a missing one.
                    targets.setdefault(self._iris.get(word.replace(":", "_"), word), value)
        yield from sorted(targets.items())


def _kind(end: _End) -> int:
    return list(PROPERTIES).index(end.kind)


def _rank(end: _End) -> Row:
    return (_kind(end), end.is_cycle, end.hops, end.evidence)


def expected_ancestors(edges: Iterable[ParentEdge]) -> frozenset[Ancestor]:
    """Every ancestor of every class of these edges."""
    every: dict[str, set[str]] = {}
    is_a: dict[str, set[str]] = {}
    for edge in edges:
        if edge.predicate in WALKED:
            every.setdefault(edge.child_iri, set()).add(edge.parent_iri)
        if edge.predicate == "is_a":
            is_a.setdefault(edge.child_iri, set()).add(edge.parent_iri)
    return frozenset(
        Ancestor(child, ancestor, distance, near.get(ancestor))
        for child in every
        for near in [_distances(child, is_a)]
        for ancestor, distance in _distances(child, every).items()
    )


def _distances(child: str, parents: dict[str, set[str]]) -> dict[str, int]:
    """The shortest distance to each ancestor, generation by generation."""
    distances: dict[str, int] = {}
    generation, distance = parents.get(child, set()), 1
    while generation:
        distances |= dict.fromkeys(generation, distance)
        above = (parents.get(ancestor, set()) for ancestor in generation)
        generation = {iri for iris in above for iri in iris} - distances.keys()
        distance += 1
    return distances


def expected_mesh_terms(
    release: GeneratedRelease, xrefs: Iterable[Xref], replacements: Iterable[Replacement]
) -> frozenset[MeshTerm]:
    """Every pair of a MeSH id and a current class that carries it or replaces one that does."""
    current = {each.iri for each in release.classes if not each.is_obsolete}
    leads = {
        row.iri: row.target
        for row in replacements
        if (row.kind, row.status) == ("replaced_by", "resolved")
    }
    pairs: dict[tuple[str, str], list[Xref]] = {}
    for xref in xrefs:
        mesh_id = xref.accession.upper()
        if xref.prefix == "mesh" and mesh_id[:1] in MESH_KINDS and mesh_id[1:].isdecimal():
            target = xref.iri if xref.iri in current else leads.get(xref.iri)
            if len(mesh_id) in {7, 10} and target is not None:
                pairs.setdefault((target, mesh_id), []).append(xref)
    terms_of = Counter(mesh_id for _, mesh_id in pairs)
    meshes_of = Counter(iri for iri, _ in pairs)
    return frozenset(
        MeshTerm(
            iri=iri,
            mesh_id=mesh_id,
            mesh_kind=MESH_KINDS[mesh_id[0]],
            relation=min((xref.relation for xref in carried), key=STRENGTH.index),
            is_own=any(xref.iri == iri for xref in carried),
            via=tuple(sorted({xref.iri for xref in carried} - {iri})),
            sources=tuple(sorted({source for xref in carried for source in xref.sources})),
            is_only_term=terms_of[mesh_id] == 1,
            is_only_mesh_id=meshes_of[iri] == 1,
        )
        for (iri, mesh_id), carried in pairs.items()
    )


def expected_changes(before: ExpectedRows, after: ExpectedRows) -> frozenset[Change]:
    """Every difference between two releases of one ontology."""
    old = {term.iri: term for term in before.terms}
    new = {term.iri: term for term in after.terms}
    both = old.keys() & new.keys()
    changes = [Change(iri, "added", None, new[iri].label) for iri in new.keys() - old.keys()]
    changes += [Change(iri, "removed", old[iri].label, None) for iri in old.keys() - new.keys()]
    for iri in both:
        changes += _term_changes(old[iri], new[iri])
    for kind, texts in (("synonym", _scopes), ("xref", _xrefs), ("parent", _parents)):
        was, now = texts(before), texts(after)
        for key in was.keys() | now.keys():
            # A class that vanishes loses its own; of one that is new nothing else is told.
            if key[0] in old and was.get(key) != now.get(key):
                changes.append(_change(key[0], kind, was.get(key), now.get(key)))
    led, leads = _targets(before), _targets(after)
    changes += [
        Change(iri, "replacement changed", led.get(iri), leads.get(iri))
        for iri in both
        if old[iri].is_obsolete and new[iri].is_obsolete and led.get(iri) != leads.get(iri)
    ]
    return frozenset(changes)


def _term_changes(old: Term, new: Term) -> Iterator[Change]:
    if new.is_obsolete and not old.is_obsolete:
        yield Change(new.iri, "obsoleted", old.label, new.label)
    elif old.is_obsolete and not new.is_obsolete:
        yield Change(new.iri, "restored", old.label, new.label)
    elif old.label != new.label:
        yield Change(new.iri, "relabelled", old.label, new.label)
    if old.definition != new.definition:
        yield Change(new.iri, "redefined", old.definition, new.definition)


def _change(iri: str, kind: str, was: str | None, now: str | None) -> Change:
    what = "added" if was is None else "removed" if now is None else "scope moved"
    return Change(iri, f"{kind} {what}", was, now)


def _scopes(rows: ExpectedRows) -> dict[Row, str]:
    scopes: dict[Row, list[str]] = {}
    for synonym in rows.synonyms:
        scopes.setdefault((synonym.iri, synonym.synonym), []).append(synonym.scope)
    return {key: f"{', '.join(sorted(each))}: {key[1]}" for key, each in scopes.items()}


def _xrefs(rows: ExpectedRows) -> dict[Row, str]:
    return {xref[:3]: f"{xref.prefix}:{xref.accession}" for xref in rows.xrefs}


def _parents(rows: ExpectedRows) -> dict[Row, str]:
    return {edge: f"{edge.predicate} {edge.parent_iri}" for edge in rows.parent_edges}


def expected_as_of(rows: ExpectedRows) -> frozenset[Row]:
    """Each term of a release with what `efo_as_of` tells of it, the lists as sorted tuples."""
    lists: list[dict[str, list[str]]] = []
    for texts in (_scopes, _parents, _xrefs):
        by_iri: dict[str, list[str]] = {}
        for key, text in texts(rows).items():
            by_iri.setdefault(key[0], []).append(text)
        lists.append(by_iri)
    return frozenset(
        (
            term.iri,
            term.label,
            term.definition,
            term.is_obsolete,
            *(tuple(sorted(each.get(term.iri, ()))) for each in lists),
        )
        for term in rows.terms
    )


def _targets(rows: ExpectedRows) -> dict[str, str]:
    targets: dict[str, list[str]] = {}
    for row in rows.replacements:
        if row.target is not None:
            targets.setdefault(row.iri, []).append(f"{row.kind} {row.target}")
    return {iri: "; ".join(sorted(each)) for iri, each in targets.items()}


def expected_labels(rows: ExpectedRows, earlier: Sequence[ExpectedRows] = ()) -> frozenset[Row]:
    """iri, kind, text, inherited from, lost in of every label and synonym of a term.

    `earlier` are the releases before, from the first on; the last two are None but for names that
    a replaced class passes on, and that it lost as it became obsolete.
    """
    own: dict[str, list[tuple[str, str]]] = {}
    for term in rows.terms:
        others = (("other label", other) for other in term.other_labels)
        own[term.iri] = [("label", term.label), *others]
    for synonym in rows.synonyms:
        own[synonym.iri].append((synonym.scope, synonym.synonym))
    labels = {(iri, kind, text, None, None) for iri, texts in own.items() for kind, text in texts}
    inherited = {
        (row.target, kind, text, row.iri, None)
        for row in _replaced(rows)
        for kind, text in own[row.iri]
    }
    lost = {
        (target, each.scope, each.synonym, iri, number)
        for target, iri, number, before, after in _obsoletions(rows, earlier)
        for each in before.synonyms
        if each.iri == iri
        and (iri, each.synonym) not in {other[:2] for other in after.synonyms}
        and (each.scope, each.synonym) not in own[iri]
    }
    return frozenset(labels | inherited | lost)


def expected_inherited_xrefs(rows: ExpectedRows, earlier: Sequence[ExpectedRows]) -> frozenset[Row]:
    """iri, prefix, accession, inherited from, lost in of what replaced classes lost."""
    return frozenset(
        (target, *each[1:3], iri, number)
        for target, iri, number, before, after in _obsoletions(rows, earlier)
        for each in before.xrefs
        if each.iri == iri and each[:3] not in {other[:3] for other in after.xrefs | rows.xrefs}
    )


def _replaced(rows: ExpectedRows) -> Iterator[Replacement]:
    """Each class that one current term replaces."""
    for row in rows.replacements:
        if (row.kind, row.status) == ("replaced_by", "resolved"):
            yield row


def _obsoletions(
    rows: ExpectedRows, earlier: Sequence[ExpectedRows]
) -> Iterator[tuple[str | None, str, int, ExpectedRows, ExpectedRows]]:
    """What replaces a class, the class, when it last became obsolete, and the two releases."""
    releases = [*earlier, rows]
    are_obsolete = [{term.iri: term.is_obsolete for term in each.terms} for each in releases]
    for row in _replaced(rows):
        for number in range(len(releases), 1, -1):
            was, now = (are_obsolete[n].get(row.iri) for n in (number - 2, number - 1))
            if now and was is False:
                yield row.target, row.iri, number, releases[number - 2], releases[number - 1]
                break
