"""Text from elsewhere made harmless: one line, and nothing that a terminal would obey.

OLS's versions, labels and error bodies reach logs, sentences and terminals. Tables hold them byte
for byte; what people read of them outside the tables goes through here.
"""

NAME_CHARACTERS = 100


def escaped(text: str) -> str:
    """The text with control, direction and other unprintable characters as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def release_name(ontology: str, version: str | None) -> str:
    """For people: `efo 3.92.0`."""
    return f"{ontology} {escaped((version or '(no version)')[:NAME_CHARACTERS])}"
