"""The schema that people read an ontology in, and what its tables, views and functions are called.

A schema that bears its ontology's name needs no other word to tell it: `mondo.terms`,
`mondo.lookup('…')`. Elsewhere, as in `public`, names begin with `efo_`, and those of EFO always.
"""

from collections.abc import Mapping
from typing import Self

from psycopg import sql

EFO = "efo"
PREFIX = "efo_"


def is_named_after(name: str, ontology: str) -> bool:
    """Whether the schema of this name tells the ontology, so that its tables need no prefix."""
    return ontology != EFO and name == ontology.replace("-", "_")


class Schema(str):
    """The schema's name, as text and as a value in SQL."""

    __slots__ = ("prefix",)
    prefix: str

    def __new__(cls, name: str, prefix: str = PREFIX) -> Self:
        """What is called `terms` elsewhere is `<prefix>terms` in this schema."""
        schema = super().__new__(cls, name)
        schema.prefix = prefix
        return schema

    def called(self, name: str) -> str:
        """The name here of what is called `name` where there is no prefix."""
        return self.prefix + name

    def of(self, name: str) -> tuple[str, str]:
        """The same with the schema."""
        return str(self), self.called(name)

    def place(self, name: str) -> str:
        """The same for people."""
        return f"{self}.{self.called(name)}"

    def quoted(self, name: str) -> str:
        """The same as PostgreSQL reads it in a text."""
        return f'"{self}"."{self.called(name)}"'

    @property
    def parts(self) -> Mapping[str, sql.Composable]:
        """What fills `{schema}.{prefix}…` in a statement."""
        return {"schema": sql.Identifier(self), "prefix": sql.SQL(self.prefix)}

    def told(self, text: str) -> str:
        """A text that names things in backquotes, with the names that they have here."""
        return text.replace(f"`{PREFIX}", f"`{self.prefix}")
