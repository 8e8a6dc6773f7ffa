"""The resource of a graph: OLS and the warehouse of one run, by its settings.

Every graph has one of its own name, so that graphs and other people's resources meet in one code
location. What may be given for one run is its configuration, and shows in the
launchpad; the rest is the `Ontology`, whose secrets Dagster never sees.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Self

import dagster as dg
from pydantic import Field

from efo_assets.graph.ontology import Ontology
from efo_assets.ols.download import Download
from efo_assets.ols.release import Release
from efo_assets.pipeline.load import fetch
from efo_assets.privacy.disclosure import no_secret_shown
from efo_assets.settings import Settings
from efo_assets.warehouse.warehouse import Warehouse

PARTITION = "dagster/partition"
"""On every run of a partition; Dagster gives a resource no other word of it."""


class ThisRun(dg.Config):
    """What is another value in one run alone."""

    allow_shrink: bool | None = Field(
        default=None, description="Publish although much is gone (EFO_ALLOW_SHRINK)."
    )
    allow_older: bool | None = Field(
        default=None, description="Publish an older release than stands (EFO_ALLOW_OLDER)."
    )
    limit: int | None = Field(default=None, description="Only the first classes (EFO_LIMIT).")
    page_size: int | None = Field(default=None, description="Rows in one page (EFO_PAGE_SIZE).")
    max_in_flight: int | None = Field(
        default=None, description="Requests under way at once, at most (EFO_MAX_IN_FLIGHT)."
    )


class Loader:
    """What the steps of a graph work with; a context manager.

    The warehouse is opened at the first use and closed with it; so is the lock that keeps a second
    loader out. Where each step is a process of its own, so is each step's.
    """

    def __init__(
        self,
        ontology: Ontology,
        this_run: ThisRun | None = None,
        resources: object = None,
        partition: str | None = None,
    ) -> None:
        self._ontology = ontology
        self._resources = resources
        self._partition = partition
        self._this_run = this_run.model_dump() if this_run else {}
        self._warehouse: Warehouse | None = None
        self._open = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._warehouse = None
        with no_secret_shown():
            self._open.close()

    @property
    def settings(self) -> Settings:
        """The settings of this run.

        Raises:
            SettingsError: a value can't be used.
        """
        return self._ontology.of(self._partition).settings(self._this_run, self._resources)

    @property
    def warehouse(self) -> Warehouse:
        """PostgreSQL: the configured one, or the embedded one.

        Raises:
            SettingsError: a value can't be used.
            WarehouseError: the embedded PostgreSQL doesn't start.
        """
        if self._warehouse is None:
            self._warehouse = self._open.enter_context(Warehouse.opened(self.settings))
        return self._warehouse

    @contextmanager
    def attempt(self, run_id: str) -> Iterator[Warehouse]:
        """The warehouse, which keeps the sentence of a failure in the block."""
        with self.warehouse.attempt(run_id):
            yield self.warehouse

    def fetch(
        self,
        *,
        fills: bool,
        run_id: str,
        on_release: Callable[[Release], None],
        log: Callable[..., None],
    ) -> Download:
        """Download what is missing of the release that OLS serves; see `pipeline.load.fetch`."""
        return fetch(
            self.settings,
            self.warehouse,
            fills=fills,
            run_id=run_id,
            on_release=on_release,
            log=log,
        )


def loader_resource(ontology: Ontology) -> dg.ResourceDefinition:
    """Make the resource of an ontology's graph."""

    @dg.resource(
        config_schema=ThisRun.to_config_schema(),
        required_resource_keys=ontology.resources,
        description="OLS, asked concurrently with aiohttp, and PostgreSQL, of one ontology; "
        "the configuration is for one run alone.",
    )
    def loader(context: dg.InitResourceContext) -> Iterator[Loader]:
        this_run = ThisRun(**context.resource_config)
        partition = context.run.tags.get(PARTITION) if context.run else None
        with Loader(ontology, this_run, context.resources, partition) as opened:
            yield opened

    return loader
