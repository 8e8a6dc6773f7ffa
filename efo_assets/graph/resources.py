"""Dagster resources: OLS and the warehouse, configured by the environment.

Fields that are left out come from `EFO_*` variables, read when a run begins, so that a wrong value
fails that run with one sentence and not the code location with a traceback. Secrets are no fields:
Dagster shows those in its UI.
"""

from contextlib import ExitStack

import dagster as dg
from pydantic import Field, PrivateAttr

from efo_assets.privacy.disclosure import no_secret_shown
from efo_assets.settings import Settings
from efo_assets.warehouse.warehouse import Warehouse


class OlsResource(dg.ConfigurableResource):  # type: ignore[type-arg]  # no value type of its own
    """The Ontology Lookup Service, asked concurrently with aiohttp."""

    url: str | None = Field(default=None, description="Base of the OLS4 service (EFO_OLS_URL).")
    ontology: str | None = Field(default=None, description="OLS id of the ontology (EFO_ONTOLOGY).")
    page_size: int | None = Field(default=None, description="Rows in one page (EFO_PAGE_SIZE).")
    max_in_flight: int | None = Field(
        default=None, description="Requests under way at once, at most (EFO_MAX_IN_FLIGHT)."
    )
    limit: int | None = Field(default=None, description="Only the first classes (EFO_LIMIT).")

    @property
    def settings(self) -> Settings:
        """The settings of the environment, with the fields that are set here before them.

        Raises:
            SettingsError: a value can't be used.
        """
        return Settings.from_environment(
            overrides={
                "EFO_OLS_URL": self.url,
                "EFO_ONTOLOGY": self.ontology,
                "EFO_PAGE_SIZE": self.page_size,
                "EFO_MAX_IN_FLIGHT": self.max_in_flight,
                "EFO_LIMIT": self.limit,
            }
        )


class WarehouseResource(dg.ConfigurableResource):  # type: ignore[type-arg]  # as above
    """PostgreSQL: the configured one (EFO_DATABASE_URL), or the embedded one.

    Opened at the first use and closed when the run ends; so is the lock that keeps a second
    loader out.
    """

    schema_name: str | None = Field(
        default=None, description="Schema of the published tables (EFO_SCHEMA)."
    )
    _warehouse: Warehouse | None = PrivateAttr(default=None)
    _open: ExitStack = PrivateAttr(default_factory=ExitStack)

    def get(self) -> Warehouse:
        """The warehouse of this run.

        Raises:
            SettingsError: a value can't be used.
            WarehouseError: the embedded PostgreSQL doesn't start.
        """
        if self._warehouse is None:
            settings = Settings.from_environment(overrides={"EFO_SCHEMA": self.schema_name})
            self._warehouse = self._open.enter_context(Warehouse.opened(settings))
        return self._warehouse

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Release the lock, and the embedded server if no other process uses it."""
        del context
        self._warehouse = None
        with no_secret_shown():
            self._open.close()
