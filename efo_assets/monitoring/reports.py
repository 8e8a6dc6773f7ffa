"""The reports of releases as the exporter serves them: `/reports` lists them, below it they stand.

They are the files that the asset or `efo-assets exports` wrote; nothing is made here.
"""

from collections.abc import Mapping
from html import escape
from pathlib import Path

from efo_assets.pipeline.exports import FOLDER, LATEST
from efo_assets.pipeline.report import HTML_NAME
from efo_assets.warehouse.schema import PUBLIC

PATH = "/reports"
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""What a browser lets a page do, whoever wrote the file."""


def page(data_dir: Path, path: str) -> bytes | None:
    """What a path shows: the list, the report of a schema, or None where there is none."""
    name = path.removeprefix(PATH).strip("/")
    try:
        found = _found(data_dir / FOLDER)
        return found[name].read_bytes() if name else _list(found).encode()
    except (KeyError, OSError):  # none of this name, or a folder that we may not read
        return None


def _found(folder: Path) -> Mapping[str, Path]:
    """Files by schema; of each the latest, since `public` may have been of the sample before."""
    places = [(PUBLIC, folder), *((each.parent.name, each) for each in folder.glob(f"*/{LATEST}"))]
    files = [(schema, file) for schema, place in places if (file := place / HTML_NAME).is_file()]
    return dict(sorted(files, key=lambda each: (each[0], each[1].stat().st_mtime)))


def _list(found: Mapping[str, Path]) -> str:
    names = map(escape, found)
    links = "".join(f'<li><a href="{PATH}/{name}">{name}</a></li>' for name in names)
    told = f"<ul>{links}</ul>" if found else "<p>None is written yet (efo_release_report).</p>"
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Reports of releases</title>'
        "<style>:root { color-scheme: light dark; font: 1rem/1.6 sans-serif }</style>"
        f"<h1>Reports of releases, by schema</h1>{told}</html>\n"
    )
