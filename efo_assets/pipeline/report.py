"""The report of a release: one HTML file without scripts, and the same in short as Markdown.

Text of the ontology is data that may be hostile: in HTML every value passes `_harmless` and the
template's own escaping, in Markdown `_markdown`. The page allows itself no script and no address
but links (Content-Security-Policy).
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from efo_assets.files import write_whole
from efo_assets.pipeline.exports import release_folder
from efo_assets.privacy.printable import escaped
from efo_assets.warehouse.ledger import Changes
from efo_assets.warehouse.load import Content
from efo_assets.warehouse.report import MOST_BRANCHES, Branch, Growth, Report, Term
from efo_assets.warehouse.schema import Schema
from efo_assets.warehouse.tables import TABLES
from efo_assets.warehouse.warehouse import Warehouse

HTML_NAME = "efo_release_report.html"
MARKDOWN_NAME = "efo_release_report.md"
_TITLES = {
    "added": ("Added", ("Class", "Label")),
    "obsoleted": ("Made obsolete", ("Class", "Replaced by")),
    "relabelled": ("Relabelled", ("Class", "Before", "Since")),
    "lost synonyms": ("Synonyms that current classes lost", ("Class", "Synonym")),
    "removed": ("Gone", ("Class", "Label")),
    "restored": ("Restored", ("Class", "Label")),
}
_HEADLINES = {"added": "Added", "obsoleted": "Made obsolete", "relabelled": "Relabelled"}
_GROWTH = ("terms", "synonyms", "xrefs", "mesh_terms")
_IN_MARKDOWN = re.compile(r"[\\`*_{}\[\]()<>#+!|~@&]|://|(?<=[Ww]{3})\.")
_TOLD = 5
"""Classes of each list in the Markdown."""


class Written(NamedTuple):
    """The files of a report."""

    html: Path
    markdown: Path
    release: str


def write_report(
    warehouse: Warehouse, folder: Path, download: Mapping[str, object] | None = None
) -> Written:
    """Write the report of the release that stands into `folder`, where its exports are.

    `download` has figures of the download, by name.

    Raises:
        WarehouseError: nothing is published.
        ExportFailed: the folder can't be written.
    """
    report = warehouse.report()
    with release_folder(folder, warehouse.schema, report.digest.release) as place:
        paths = place / HTML_NAME, place / MARKDOWN_NAME
        texts = html(report, warehouse.schema, download), markdown(report)
        for path, text in zip(paths, texts, strict=True):
            write_whole(path, text.encode())
    return Written(*paths, report.digest.release.name)


def html(report: Report, schema: Schema, download: Mapping[str, object] | None = None) -> str:
    """The page."""
    from jinja2 import Environment, StrictUndefined  # noqa: PLC0415  # 0.1 s

    environment = Environment(
        autoescape=True,
        finalize=_harmless,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.from_string(
        files(__package__).joinpath("report.html.jinja").read_text(encoding="utf-8")
    )
    release, growth = report.digest.release, report.growth[::-1]
    branches = _branches(report.branches)
    lists = [
        (name.replace(" ", "-"), *_TITLES[name][:1], listed, _TITLES[name][1])
        for name, listed in report.lists.items()
        if listed.terms
    ]
    findings = [verdict for verdict in report.digest.verdicts if verdict.offenders]
    titles = [("changes", "What changed"), *([("branches", "Where")] if branches else [])]
    titles += [(id_, title) for id_, title, *_ in lists]
    titles += [("mesh", "MeSH"), ("audit", "Audit"), ("growth", "Growth"), ("proofs", "Proofs")]
    before = report.growth[1].version if report.digest.kinds and len(growth) > 1 else None
    return template.render(
        name=release.name,
        release=release,
        before=before,
        published=_moment(release.published_at_s),
        day=_day,
        link=lambda iri: link(report, iri),
        contents=titles,
        headline=[(title, report.lists[name].of_all) for name, title in _HEADLINES.items()],
        kinds=report.digest.kinds,
        branches=branches,
        most_in_branch=max((sum(each[3:]) for each in branches), default=1),
        lists=lists,
        replacements=report.replacements,
        tables={"changes": schema.place("changes")},
        mesh=report.mesh,
        mesh_rows=_mesh(report),
        checks=len(report.digest.verdicts),
        findings=findings,
        growth=growth,
        growth_columns=_GROWTH,
        line=_line(growth),
        proof_rows=_proof(report, download or {}),
        hashes=_hashes(report),
    )


def link(report: Report, iri: str) -> str:
    """The page of a class at OLS, which wants its IRI escaped twice."""
    base, ontology = report.proof.source_url, report.digest.release.ontology
    return f"{base}/ontologies/{quote(ontology)}/classes/{quote(quote(iri, safe=''), safe='')}"


def _harmless(value: Any) -> Any:
    """Text without characters that a reader doesn't see; what the template made stays."""
    return escaped(value) if type(value) is str else value


def _branches(found: Sequence[Branch]) -> list[Branch]:
    """The branches that changed most, and the others as one."""
    named = [each for each in found if each.iri is not None]
    shown = named[:MOST_BRANCHES]
    for title, rest in (
        ("other branches", named[MOST_BRANCHES:]),
        ("in no branch", [each for each in found if each.iri is None]),
    ):
        if rest:
            sums = (sum(counts) for counts in zip(*(each[3:] for each in rest), strict=True))
            shown.append(Branch(None, None, title, *sums))
    return shown


def _mesh(report: Report) -> list[tuple[str, str]]:
    mesh, change = report.mesh, report.digest.release.changes.get("efo_mesh_terms", Changes())
    share = mesh.terms / mesh.current_terms if mesh.current_terms else 0
    return [
        ("MeSH ids that lead to a class", f"{mesh.ids:,}"),
        ("current classes with a MeSH id", f"{mesh.terms:,} ({share:.1%})"),
        ("pairs of both", f"{report.digest.release.rows.get('efo_mesh_terms', 0):,}"),
        ("pairs that are new", f"{change.inserted:,}"),
        ("pairs that are gone", f"{change.removed:,}"),
        ("references to MeSH that classes got", f"{mesh.references_added:,}"),
        ("references to MeSH that classes lost", f"{mesh.references_removed:,}"),
    ]


def _line(growth: Sequence[Growth]) -> dict[str, Any] | None:
    """Where the points of the growth stand in a picture of 640 by 200; None for less than two."""
    counts = [each.rows.get("terms", 0) for each in growth]
    if len(counts) < 2:  # noqa: PLR2004  # one point is no line
        return None
    low, high = min(counts), max(counts)

    def height(n: int) -> float:
        return round(165 - 145 * (n - low) / (high - low), 1) if high > low else 92.5

    points = [
        (round(70 + 560 * place / (len(counts) - 1), 1), height(n))
        for place, n in enumerate(counts)
    ]
    first, last = growth[0], growth[-1]
    return {
        "points": points,
        "path": "M" + " L".join(f"{x} {y}" for x, y in points),
        "ticks": [(height(n), n) for n in sorted({low, high})],
        "text": f"From {counts[0]:,} in {first.version} to {counts[-1]:,} in {last.version}; "
        "the figures are in the table below.",
    }


def _proof(report: Report, download: Mapping[str, object]) -> list[tuple[str, object]]:
    release, proof = report.digest.release, report.proof
    facts: list[tuple[str, object]] = [
        ("version IRI", release.version_iri or "none given"),
        ("source", proof.source_url),
        *((f"{which} classes announced", f"{n:,}") for which, n in (release.totals or {}).items()),
        ("fingerprint of the download", proof.fingerprint),
        ("load", release.load_id),
        ("run", proof.run_id or "without Dagster"),
    ]
    return facts + [(name, value) for name, value in download.items()]


def _hashes(report: Report) -> list[tuple[str, int, Changes, str]]:
    release = report.digest.release
    content = Content.of_digest(release.content_hash)
    return [
        (
            table.name,
            release.rows.get(table.name, 0),
            release.changes.get(table.name, Changes()),
            content.hashes.get(table.staged_name, ""),
        )
        for table in TABLES
    ]


def markdown(report: Report) -> str:
    """A few lines for a chat or an issue."""
    release = report.digest.release
    lines = [f"## {_markdown(release.name)} is published", ""]
    if report.digest.kinds:
        lines += ["| change | changes | classes |", "| --- | ---: | ---: |"]
        lines += [f"| {kind} | {n:,} | {terms:,} |" for kind, n, terms, _ in report.digest.kinds]
    else:
        lines.append("There is no earlier release to compare with.")
    for name, listed in report.lists.items():
        if not listed.terms:
            continue
        lines += ["", f"**{_TITLES[name][0]}** ({listed.of_all:,})", ""]
        lines += [f"- {_told(report, name, term)}" for term in listed.terms[:_TOLD]]
        if listed.of_all > _TOLD:
            lines.append(f"- … and {listed.of_all - _TOLD:,} more")
    lines += ["", *(f"- {name}: {value}" for name, value in _mesh(report)[:3])]
    if findings := [verdict for verdict in report.digest.verdicts if verdict.offenders]:
        lines += ["", "**The audit found**", ""]
        lines += [f"- {_markdown(each.check.name)}: {each.count}" for each in findings]
    return "\n".join(lines) + "\n"


def _told(report: Report, name: str, term: Term) -> str:
    # A label that ends in ")" must not end the link, nor one of a class's IRI begin another.
    linked = f"[{_markdown(term.curie)}](<{link(report, term.iri)}>)"
    if name == "removed":  # OLS has no page of it any more
        return f"{_markdown(term.curie)} {_markdown(term.before or term.label)}"
    if name == "obsoleted":
        return f"{linked} {_markdown(term.before or '')}: {_markdown(_led(report, term))}"
    if name == "relabelled":
        return f"{linked} {_markdown(term.before or '')} → {_markdown(term.after or '')}"
    if name == "lost synonyms":
        return f"{linked} {_markdown(term.label)}: {_markdown(term.before or '')}"
    return f"{linked} {_markdown(term.after or term.before or term.label)}"


def _led(report: Report, term: Term) -> str:
    """Where an obsolete class leads, as `efo_resolve` tells."""
    targets = report.replacements.get(term.iri, [])
    for kind, verb in (("replaced_by", "replaced by"), ("consider", "consider")):
        led = [
            f"{each['curie']} {each['label']}"
            for each in targets
            if each["kind"] == kind and each["status"] in ("resolved", "ambiguous")
        ]
        if led:
            return f"{verb} {'; '.join(led)}"
    return "replaced by nothing"


def _markdown(text: str) -> str:
    """Text that Markdown shows as it is."""
    return _IN_MARKDOWN.sub(lambda match: f"\\{match[0]}", escaped(text))


def _moment(at_s: float) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d %H:%M} UTC"


def _day(at_s: float) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d}"
