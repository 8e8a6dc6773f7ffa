"""Recorded answers of OLS, served as they are: flat lists of classes and ontology documents.

The folder is given at run time; nothing of it is part of the project.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

ID_LIMIT_CHARACTERS = 31
"""Of an ontology id, as the project takes one."""


class Recordings:
    """`v2/<name>.classes.json` and `v2/<name>.ontology.json` of one folder, by ontology id."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "v2"
        names = (path.name for path in self._folder.glob("*.classes.json"))
        recorded = (name.removesuffix(".classes.json") for name in names)
        self.ontologies = {ontology_id(name): name for name in sorted(recorded)}
        """Ontology id to the name of its recording."""

    def classes(self, ontology: str) -> list[dict[str, Any]]:
        """All classes of an ontology, current and obsolete."""
        path = self._folder / f"{self.ontologies[ontology]}.classes.json"
        classes: list[dict[str, Any]] = json.loads(path.read_text())
        return classes

    def document(self, ontology: str) -> dict[str, Any]:
        """The ontology document, or a bare one where none was recorded."""
        path = self._folder / f"{self.ontologies[ontology]}.ontology.json"
        document = json.loads(path.read_text()) if path.exists() else {"type": ["ontology"]}
        return {"ontologyId": ontology, **document}


def ontology_id(name: str) -> str:
    """The id that a recording is served as: its name, or where that is too long, a short one."""
    if len(name) <= ID_LIMIT_CHARACTERS:
        return name
    return f"{name[:22]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
