"""OAK over what is published: `runoak -i efo-assets: …`, wherever oaklib is installed.

oaklib finds `EfoAssetsImplementation` by the entry point group `oaklib.plugins`. Nothing else
imports this module, and oaklib is no dependency. OAK's own implementation for SQL asks the views of
SemSQL (`warehouse.semsql`); here is how it gets to them, and what it would otherwise do in another
way than in SQLite, or in minutes.
"""

import atexit
import weakref
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, nullcontext
from typing import Any

import click
import sqlalchemy as sa
from oaklib.datamodels.vocabulary import OWL_CLASS, OWL_NOTHING, OWL_THING
from oaklib.implementations.sqldb.sql_implementation import SqlImplementation
from sqlalchemy.dialects.postgresql.psycopg import PGCompiler_psycopg, PGDialect_psycopg

from efo_assets.errors import EfoError
from efo_assets.settings import DatabaseTarget, Settings
from efo_assets.warehouse import session
from efo_assets.warehouse.embedded import embedded_server, is_made
from efo_assets.warehouse.semsql import beside
from efo_assets.warehouse.statements import compose

_LABELS_AT_ONCE = 1000


class NotReadable(EfoError, click.ClickException):
    """There is nothing for OAK to read; `runoak` prints the sentence alone."""

    def __init__(self, sentence: str) -> None:
        click.ClickException.__init__(self, sentence)


class _Compiler(PGCompiler_psycopg):
    """LIKE as in SQLite, for which OAK's queries are: in any case, and without an escape."""

    def visit_like_op_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        left, right = (self.process(side, **kw) for side in (binary.left, binary.right))
        return f"{left} ILIKE {right} ESCAPE ''"


class EfoAssetsImplementation(SqlImplementation):  # type: ignore[misc]  # oaklib may be absent
    """An ontology in PostgreSQL, by the selector `efo-assets:`.

    `efo-assets:` is the database and schema of the EFO_* variables, the embedded database included;
    `efo-assets:mondo` another published schema; `efo-assets:postgresql://…` another database, and
    `efo-assets:postgresql://…#mondo` another schema of it.
    """

    engine: Any
    _session: Any
    _connection: Any

    def __post_init__(self) -> None:
        """Connect as the selector says.

        Raises:
            NotReadable: a setting is wrong, PostgreSQL can't be reached, or there are no views.
        """
        self._server = ExitStack()
        self._known_labels: dict[str, str | None] = {}
        if self.engine is not None:
            return
        try:
            settings = _settings(self.resource.slug or "")
            is_there = settings.database is not None or is_made(settings.data_dir)
            target = settings.database or self._server.enter_context(
                embedded_server(settings.data_dir) if is_there else nullcontext()
            )
            if target is not None:
                self.engine = _engine(target, settings.schema)
        except EfoError as error:
            raise NotReadable(str(error)) from error
        if self.engine is None:
            raise NotReadable(
                f"{settings.data_dir} holds no database: load into it with EFO_SEMSQL=1, or set "
                "EFO_DATA_DIR or EFO_DATABASE_URL."
            )
        # Before the embedded server ends, and while SQLAlchemy is there still.
        atexit.register(_close, weakref.ref(self))

    def close(self) -> None:
        """Close the connections, and leave the embedded server."""
        for each in (self._session, self._connection):
            if each is not None:
                each.close()
        if self.engine is not None:
            self.engine.dispose()
        self._session = self._connection = self.engine = None
        self._server.close()

    def __del__(self) -> None:
        """Close what is open still."""
        self.close()

    def label(self, curie: str, lang: str | None = None) -> str | None:
        """As OAK's, which asks for each of thousands of roots or leaves on its own."""
        if lang is None and curie in self._known_labels:
            return self._known_labels[curie]
        label: str | None = super().label(curie, lang)
        return label

    def roots(
        self,
        predicates: list[str] | None = None,
        ignore_owl_thing: bool = True,
        filter_obsoletes: bool = True,
        annotated_roots: bool = False,
        id_prefixes: list[str] | None = None,
    ) -> Iterable[str]:
        """As OAK's, which looks each edge up in a list of all classes."""
        if annotated_roots:
            yield from super().roots(
                predicates, ignore_owl_thing, filter_obsoletes, annotated_roots, id_prefixes
            )
            return
        wanted = tuple(f"{prefix}:" for prefix in id_prefixes or ()) or ""
        children = {
            child
            for child, predicate, parent in self.relationships()
            if child != parent and not (ignore_owl_thing and parent == OWL_THING)
            if parent.startswith(wanted) and (not predicates or predicate in predicates)
        }
        for each in self._classes_but(children):
            if each.startswith(wanted):
                yield each

    def leafs(
        self,
        predicates: list[str] | None = None,
        ignore_owl_nothing: bool = True,
        filter_obsoletes: bool = True,
    ) -> Iterable[str]:
        """As OAK's, which looks each class up in a list of all obsolete ones."""
        parents = {
            parent
            for child, predicate, parent in self.relationships()
            if child != parent and not (ignore_owl_nothing and child == OWL_NOTHING)
            if predicates is None or predicate in predicates
        }
        yield from self._classes_but(parents)

    def singletons(
        self, predicates: list[str] | None = None, filter_obsoletes: bool = True
    ) -> Iterable[str]:
        """As OAK's, which looks each edge up in a list of all roots."""
        ends = {
            end
            for child, predicate, parent in self.relationships()
            if child != parent and (predicates is None or predicate in predicates)
            for end in (child, parent)
        }
        yield from self._classes_but(ends)

    def _classes_but(self, others: set[str]) -> Iterator[str]:
        """Current classes that are none of these; their labels are asked for together."""
        others |= {OWL_THING, OWL_NOTHING}
        left = [each for each in self.entities(owl_type=OWL_CLASS) if each not in others]
        for start in range(0, len(left), _LABELS_AT_ONCE):
            some = left[start : start + _LABELS_AT_ONCE]
            self._known_labels |= dict(self.labels(some))
            yield from some

    def _object_property_assertion_relationships(self, *_: Any) -> Iterator[Any]:
        """None, since they are of individuals; OAK would read all statements for them."""
        return iter(())


def _close(it: "weakref.ref[EfoAssetsImplementation]") -> None:
    if (adapter := it()) is not None:
        adapter.close()


def _settings(selector: str) -> Settings:
    place, _, schema = selector.partition("#") if "://" in selector else ("", "", selector)
    return Settings.from_environment(
        overrides={"EFO_DATABASE_URL": place or None, "EFO_SCHEMA": schema or None}
    )


def _engine(target: DatabaseTarget, schema: str) -> sa.Engine:
    """An engine that reads the views of a published schema alone.

    Raises:
        NotReadable: there are none, or none that this role may read.
    """
    views = beside(schema)

    def connect() -> session.Connection:
        connection = session.connect(target)
        connection.autocommit = False
        return connection

    engine = sa.create_engine("postgresql+psycopg://", creator=connect)
    dialect = engine.dialect
    assert isinstance(dialect, PGDialect_psycopg)  # noqa: S101  # for the type checker
    dialect.statement_compiler = _Compiler
    # Behind a pooler nothing that is set outlives a transaction.
    begin = "set transaction read only; set local search_path to {}, {}"

    @sa.event.listens_for(engine, "begin")
    def _(connection: sa.Connection) -> None:
        path = compose(begin, views, schema).as_string(None)
        connection.exec_driver_sql(path)

    with engine.connect() as connection:
        found = connection.execute(
            sa.text("select has_table_privilege(to_regclass(:name), 'SELECT')"),
            {"name": f'"{views}".statements'},
        ).scalar()
    if not found:
        raise NotReadable(
            f"Schema {views} of {target.place} has no views of SemSQL that this role may read: "
            f"run a load into schema {schema} with EFO_SEMSQL=1, or name another schema."
        )
    return engine
