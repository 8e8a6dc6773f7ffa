"""OAK over what is published: `runoak -i efo-assets: …`, wherever oaklib is installed.

oaklib finds `EfoAssetsImplementation` by the entry point group `oaklib.plugins`. Nothing else
imports this module, and oaklib is no dependency. OAK's own implementation for SQL asks the views of
SemSQL (`warehouse.semsql`); here is how it gets to them, and what it would otherwise do in another
way than in SQLite, or in minutes.
"""

import atexit
import weakref
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, nullcontext
from sys import intern
from typing import Any

import click
import psycopg
import sqlalchemy as sa
from linkml_runtime.utils.metamodelcore import URIorCURIE
from oaklib.datamodels.vocabulary import (
    ALL_MATCH_PREDICATES,
    HAS_DEFINITION_CURIE,
    IN_SUBSET,
    LABEL_PREDICATE,
    OWL_CLASS,
    OWL_NOTHING,
    OWL_THING,
    SYNONYM_PREDICATES,
)
from oaklib.implementations.sqldb.sql_implementation import SqlImplementation
from psycopg import errors as pg
from semsql.sqla.semsql import Statements
from sqlalchemy.dialects.postgresql.psycopg import PGCompiler_psycopg, PGDialect_psycopg

from efo_assets.errors import EfoError, SettingsError
from efo_assets.settings import DatabaseTarget, Settings
from efo_assets.warehouse import session
from efo_assets.warehouse.embedded import embedded_server, is_made
from efo_assets.warehouse.ledger import WATCHER_PATIENCE_S
from efo_assets.warehouse.semsql import SCOPES, beside
from efo_assets.warehouse.statements import compose

_MANY = 50
"""Labels asked for one by one take longer from there on than all of them at once."""
_NAMES = (LABEL_PREDICATE, *SYNONYM_PREDICATES)
_DIFFED = (*_NAMES, HAS_DEFINITION_CURIE, IN_SUBSET, *ALL_MATCH_PREDICATES)
"""What OAK asks of each class where it compares all of two ontologies."""


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
        self._kept: dict[str, list[tuple[str, str]]] = defaultdict(list)
        self._kept_predicates: set[str] = set()
        self._labels_asked_for = 0
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
        yield from (each for each in self._classes_but(children) if each.startswith(wanted))

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

    def _classes_but(self, others: set[str]) -> list[str]:
        """Current classes that are none of these."""
        others |= {OWL_THING, OWL_NOTHING}
        return [each for each in self.entities(owl_type=OWL_CLASS) if each not in others]

    def annotate_text(self, text: str, configuration: Any = None) -> Iterator[Any]:
        """As OAK's, whose index takes three questions for each class."""
        if self.lexical_index is None and not getattr(configuration, "matches_whole_text", None):
            self.read_ahead((*_NAMES, *ALL_MATCH_PREDICATES))
        yield from super().annotate_text(text, configuration)

    def diff(self, other_ontology: Any, configuration: Any = None, **kw: Any) -> Iterator[Any]:
        """As OAK's, which takes some twenty questions for each class."""
        for each in (self, other_ontology):
            if isinstance(each, EfoAssetsImplementation):
                each.read_ahead(_DIFFED)
                each.precompute_lookups()
        yield from super().diff(other_ontology, configuration, **kw)

    def read_ahead(self, predicates: Iterable[str]) -> None:
        """Keep what all classes have by these predicates, beside what was kept."""
        missing = set(predicates) - self._kept_predicates
        columns = (Statements.subject, Statements.predicate, Statements.object, Statements.value)
        wanted = sa.select(*columns).where(Statements.predicate.in_(tuple(missing)))
        for subject, predicate, object_, value in self.session.execute(wanted):
            text = object_ if value is None else value
            self._kept[subject].append((intern(predicate), text))
        self._kept_predicates |= missing

    def _has_kept(self, *predicates: str) -> bool:
        return self._kept_predicates.issuperset(predicates)

    def _texts(self, curie: str, *predicates: str) -> list[tuple[str, str]]:
        """Predicates and texts, or ids of what is named, that were kept of a class."""
        return [each for each in self._kept.get(curie, ()) if each[0] in predicates]

    def label(self, curie: str, lang: str | None = None) -> str | None:
        """As OAK's, which asks for that of each row of an answer on its own."""
        self._labels_asked_for += 1
        if self._labels_asked_for == _MANY:
            self.read_ahead([LABEL_PREDICATE])
        if lang is not None or not self._has_kept(LABEL_PREDICATE):
            label: str | None = super().label(curie, lang)
            return label
        return next((text for _, text in self._texts(curie, LABEL_PREDICATE)), None)

    def definition(self, curie: str, lang: str | None = None) -> str | None:
        """As OAK's."""
        if lang is not None or not self._has_kept(HAS_DEFINITION_CURIE):
            definition: str | None = super().definition(curie, lang)
            return definition
        return next((text for _, text in self._texts(curie, HAS_DEFINITION_CURIE)), None)

    def entity_alias_map(self, curie: str) -> dict[str, list[str | None]]:
        """As OAK's."""
        if not self._has_kept(LABEL_PREDICATE, *SCOPES.values()):
            aliases: dict[str, list[str | None]] = super().entity_alias_map(curie)
            return aliases
        kept = defaultdict(list, {LABEL_PREDICATE: [self.label(curie)]})
        for predicate, text in self._texts(curie, *SCOPES.values()):
            kept[predicate].append(text)
        return kept

    def simple_mappings_by_curie(
        self, curie: str, bidirectional: bool = False
    ) -> Iterator[tuple[str, str]]:
        """As OAK's, which leaves out what is no CURIE or IRI."""
        if bidirectional or not self._has_kept(*ALL_MATCH_PREDICATES):
            yield from super().simple_mappings_by_curie(curie, bidirectional)
            return
        for predicate, text in self._texts(curie, *ALL_MATCH_PREDICATES):
            bare = text[1:-1] if text.startswith("<") else text
            if URIorCURIE.is_valid(curie) and URIorCURIE.is_valid(bare):
                yield predicate, bare

    def terms_subsets(self, curies: Iterable[str]) -> Iterator[tuple[str, str]]:
        """As OAK's."""
        if not self._has_kept(IN_SUBSET):
            yield from super().terms_subsets(curies)
            return
        for curie in curies:
            for _, text in self._texts(curie, IN_SUBSET):
                yield curie, self._get_subset_curie(text)

    def _object_property_assertion_relationships(self, *_: Any) -> Iterator[Any]:
        """None, since they are of individuals; OAK would read all statements for them."""
        return iter(())


def _close(it: "weakref.ref[EfoAssetsImplementation]") -> None:
    if (adapter := it()) is not None:
        adapter.close()


def _settings(selector: str) -> Settings:
    place, _, schema = selector.partition("#") if "://" in selector else ("", "", selector)
    given = {"EFO_DATABASE_URL": place, "EFO_SCHEMA": schema}
    given = {name: text for name, text in given.items() if text}
    try:
        settings = Settings.from_environment(overrides=given)
    except SettingsError as error:
        said = str(error)
        for name in given:
            said = said.replace(name, "`efo-assets:`")
        raise SettingsError(said) from None
    return settings.with_database_named_by("the address after `efo-assets:`") if place else settings


def _engine(target: DatabaseTarget, schema: str) -> sa.Engine:
    """An engine that reads the views of a published schema alone.

    Raises:
        NotReadable: there are none, or none that this role may read.
    """
    views = beside(schema)

    def connect() -> session.Connection:
        # A person waits for it.
        connection = session.connect(target, patience_s=WATCHER_PATIENCE_S)
        connection.autocommit = False
        return connection

    engine = sa.create_engine("postgresql+psycopg://", creator=connect)
    dialect = engine.dialect
    assert isinstance(dialect, PGDialect_psycopg)  # noqa: S101  # for the type checker
    dialect.statement_compiler = _Compiler
    # Behind a pooler nothing that is set outlives a transaction. Of several definitions OAK takes
    # the first, so the arms of a view must come in their order.
    begin = (
        "set transaction read only; set local search_path to {}, {}; set local jit to off;"
        " set local max_parallel_workers_per_gather to 0"
    )

    @sa.event.listens_for(engine, "begin")
    def _(connection: sa.Connection) -> None:
        path = compose(begin, views, schema).as_string(None)
        connection.exec_driver_sql(path)

    lacking = (
        f"Schema {views} of {target.place} has no views of SemSQL that this role may read{{}}: "
        f"run a load into schema {schema} with EFO_SEMSQL=1, or name another schema."
    )

    @sa.event.listens_for(engine, "handle_error")
    def _(context: sa.ExceptionContext) -> None:
        error = context.original_exception
        if isinstance(error, (pg.UndefinedTable, pg.InsufficientPrivilege)):
            raise NotReadable(lacking.format(f" in full ({error.diag.message_primary})")) from error
        try:
            with session.translated(target, "reading"):
                raise error
        except EfoError as told:
            raise NotReadable(str(told)) from error
        except psycopg.Error:
            """A defect, which stays as it is."""

    with engine.connect() as connection:
        found = connection.execute(
            sa.text("select has_table_privilege(to_regclass(:name), 'SELECT')"),
            {"name": f'"{views}".statements'},
        ).scalar()
    if not found:
        raise NotReadable(lacking.format(""))
    return engine
