"""The schema that people read an ontology in, and what its tables, views and functions are called.

A schema that is an ontology's own needs no other word to tell it: `mondo.terms`,
`mondo.lookup('…')`. In one that it shares, as `public`, names begin with `efo_`, and those of EFO
always do. Where ancestors are given by a function, a view has the name of their table.
"""

from collections.abc import Mapping
from typing import Self

from psycopg import sql

EFO = "efo"
SAMPLE = "sample"
PUBLIC = "public"
PREFIX = "efo_"
TABLE, FUNCTION = WAYS = ("table", "function")
"""How ancestors are given: by a table of all, or by queries along the edges that lead to them."""
ANCESTORS, ANCESTOR_EDGES = "ancestors", "ancestor_edges"


def is_named_after(name: str, ontology: str) -> bool:
    """Whether the schema bears the name of the ontology."""
    return name == ontology.replace("-", "_")


def may_be_plain(name: str, ontology: str) -> bool:
    """Whether tables of the ontology may go without a prefix in the schema of this name.

    Those of the sample have the names of EFO's where EFO may take their place.
    """
    if is_named_after(name, ontology):
        return ontology != EFO
    return name != PUBLIC and ontology not in (EFO, SAMPLE)


class Schema(str):
    """The schema's name, as text and as a value in SQL."""

    __slots__ = ("ancestors", "prefix")
    prefix: str
    ancestors: str
    """One of `WAYS`."""

    def __new__(cls, name: str, prefix: str = PREFIX, ancestors: str = TABLE) -> Self:
        """What is called `terms` elsewhere is `<prefix>terms` in this schema."""
        schema = super().__new__(cls, name)
        schema.prefix, schema.ancestors = prefix, ancestors
        return schema

    def giving(self, ancestors: str) -> Self:
        """The same, with ancestors given this way."""
        return type(self)(self, self.prefix, ancestors)

    def called(self, name: str) -> str:
        """The name here of the table that is called `name` where there is no prefix."""
        is_view = name == ANCESTORS and self.ancestors == FUNCTION
        return self.prefix + (ANCESTOR_EDGES if is_view else name)

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
