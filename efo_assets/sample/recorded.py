"""Recorded answers of OLS, served as they are: flat lists of classes and ontology documents.

The folder is given at run time; nothing of it is part of the project.
"""

import json
from pathlib import Path
from typing import Any

Json = dict[str, Any]


class Recordings:
    """`v2/<id>.classes.json` and `v2/<id>.ontology.json` of one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "v2"

    @property
    def ontologies(self) -> list[str]:
        """The ids that classes were recorded of."""
        names = (path.name for path in self._folder.glob("*.classes.json"))
        return sorted(name.removesuffix(".classes.json") for name in names)

    def classes(self, ontology: str) -> list[Json]:
        """All classes of an ontology, current and obsolete."""
        classes: list[Json] = json.loads((self._folder / f"{ontology}.classes.json").read_text())
        return classes

    def document(self, ontology: str) -> Json:
        """The ontology document, or a bare one where none was recorded."""
        path = self._folder / f"{ontology}.ontology.json"
        document: Json = json.loads(path.read_text()) if path.exists() else {"type": ["ontology"]}
        return {"ontologyId": ontology, **document}
