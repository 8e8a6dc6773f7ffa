"""What a graph is made for: an ontology of OLS, where it goes, and the names that follow from it.

An `Ontology` is written in Python or in YAML; what it leaves out comes from `EFO_*` variables, read
when a run begins. Keys and names of a graph are made in `Names` alone.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Self, TypeAlias

import dagster as dg
from pydantic import ConfigDict, Field, ValidationInfo, field_validator, model_validator

from efo_assets.errors import SettingsError
from efo_assets.settings import Automation, Settings, schema_of
from efo_assets.warehouse.schema import PREFIX
from efo_assets.warehouse.tables import Table

DEFAULT = "efo"
_VARIABLE = re.compile(r"\{\{\s*env\.(\w+)\s*\}\}")
_VARIABLES = {
    "id": "EFO_ONTOLOGY",
    "schema_": "EFO_SCHEMA",
    "ols_url": "EFO_OLS_URL",
    "database": "EFO_DATABASE_URL",
    "data_dir": "EFO_DATA_DIR",
    "page_size": "EFO_PAGE_SIZE",
    "max_in_flight": "EFO_MAX_IN_FLIGHT",
    "limit": "EFO_LIMIT",
    "allow_shrink": "EFO_ALLOW_SHRINK",
    "allow_older": "EFO_ALLOW_OLDER",
    "automation": "EFO_AUTOMATION",
    "release_confirm_s": "EFO_RELEASE_CONFIRM_S",
    "ancestors": "EFO_ANCESTORS",
    "semsql": "EFO_SEMSQL",
}
"""Field of an `Ontology` to the variable that it stands before."""


def _with_variables(context: dg.ResolutionContext, value: str | None) -> str | dg.EnvVar | None:
    """A URL of YAML, where `{{ env.NAME }}` stands for what the variable holds when a run begins.

    Resolved at once, a variable that isn't set would mean no database of one's own.
    """
    if value is not None and (variable := _VARIABLE.fullmatch(value.strip())):
        return dg.EnvVar(variable[1])
    if value is not None and re.search(r"\{\{.*\benv\b", value):
        raise ValueError(
            "database takes a postgresql:// URL, or {{ env.NAME }} alone, for what the variable "
            "NAME holds when a run begins."
        )
    return _given(context, value)


def _given(context: dg.ResolutionContext, value: str | None) -> str | None:
    """A text of YAML; where it names a variable that isn't set, it isn't left out."""
    resolved = context.resolve_value(value, as_type=str)
    return "" if value is not None and resolved is None else resolved


_Given: TypeAlias = Annotated[
    str | None,
    dg.Resolver(_given, model_field_type=str | None, inject_before_resolve=False),
]


class Ontology(dg.Model, dg.Resolvable):
    """An ontology of OLS and how it is loaded; `Ontology()` is the one of the environment.

    Raises:
        pydantic.ValidationError: a value can't be used; a sentence for each field.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,  # one may be a password
        arbitrary_types_allowed=True,
    )

    id: _Given = Field(default=None, description="OLS id, such as mondo (EFO_ONTOLOGY).")
    schema_: _Given = Field(
        default=None,
        alias="schema",
        description="PostgreSQL schema of the published tables; left out, the id's own name.",
    )
    key_prefix: list[str] | None = Field(
        default=None, description="Before every asset key; left out, the id."
    )
    group: str | None = Field(
        default=None,
        description="Group of the published assets; others are in GROUP_raw, GROUP_staged, "
        "GROUP_exports. Left out, the id.",
    )
    owners: list[str] = Field(
        default=["team:efo"], description="Owners of every asset, e-mail addresses or team:NAME."
    )
    ols_url: str | None = Field(default=None, description="Base of the OLS4 service (EFO_OLS_URL).")
    database: Annotated[
        str | dg.EnvVar | None,
        dg.Resolver(_with_variables, model_field_type=str | None, inject_before_resolve=False),
    ] = Field(
        default=None,
        repr=False,
        description="postgresql:// URL, or dg.EnvVar with the variable that holds it; left out, "
        "EFO_DATABASE_URL, and without that the embedded PostgreSQL.",
    )
    database_resource: str | None = Field(
        default=None,
        description="In place of `database`: key of a resource of the code location that is such a "
        "URL, or has it as its `url`.",
    )
    data_dir: str | None = Field(
        default=None, description="Folder of pages, exports and the embedded PostgreSQL."
    )
    page_size: int | None = Field(default=None, description="Rows in one page (EFO_PAGE_SIZE).")
    max_in_flight: int | None = Field(
        default=None, description="Requests under way at once, at most (EFO_MAX_IN_FLIGHT)."
    )
    limit: int | None = Field(default=None, description="Only the first classes (EFO_LIMIT).")
    allow_shrink: bool | None = Field(
        default=None, description="Publish although much is gone (EFO_ALLOW_SHRINK)."
    )
    allow_older: bool | None = Field(
        default=None, description="Publish an older release than stands (EFO_ALLOW_OLDER)."
    )
    automation: bool | None = Field(
        default=None, description="Sensor and schedule are on from the start (EFO_AUTOMATION)."
    )
    release_confirm_s: int | None = Field(
        default=None, description="Seconds that a release is to last (EFO_RELEASE_CONFIRM_S)."
    )
    ancestors: str | None = Field(
        default=None,
        description="table, or function: ancestors by queries along edges, for an ontology of "
        "millions of classes (EFO_ANCESTORS).",
    )
    semsql: bool | None = Field(
        default=None, description="Views for OAK and SQL written for SemSQL (EFO_SEMSQL)."
    )
    pool: str | None = Field(
        default=None, description="Dagster's pool of the steps that load; left out, its own."
    )
    run_tags: dict[str, Any] = Field(
        default={},
        description="On every run of its job, for Dagster's launchers and daemon, such as "
        "dagster-k8s/config.",
    )

    @field_validator(*_VARIABLES, "database_resource")
    @classmethod
    def _holds_something(cls, value: Any) -> Any:
        """Refuse a blank: of a variable it means the default, and here another place."""
        if isinstance(value, str) and not value.strip():
            raise ValueError("it holds nothing: leave it out, or say what it is to be.")
        return value

    @field_validator("id")
    @classmethod
    def _as_ols_has_it(cls, value: str | None) -> str | None:
        return value and value.strip().lower()

    @field_validator(*_VARIABLES)
    @classmethod
    def _as_settings_take_it(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse what the run would refuse; what a variable holds is known then alone."""
        name = str(info.field_name)
        if value is not None and not isinstance(value, dg.EnvVar):
            try:
                Settings.from_environment({}, overrides={_VARIABLES[name]: value})
            except SettingsError as error:
                raise ValueError(_in_words_of(error, [name])) from None
        return value

    @field_validator("key_prefix", "group")
    @classmethod
    def _as_dagster_takes_it(cls, value: list[str] | str | None) -> list[str] | str | None:
        if isinstance(value, str) and not re.fullmatch(r"\w+", value, re.ASCII):
            raise ValueError(f"it takes letters, digits and _; it holds {value[:40]!r}.")
        for part in value if isinstance(value, list) else ():
            if not re.fullmatch(r"[\w-]+", part, re.ASCII):
                raise ValueError(
                    f"a part of an asset key takes letters, digits, _ and -; one is {part[:40]!r}."
                )
        return value

    @model_validator(mode="after")
    def _schema_is_free(self) -> Self:
        if self.schema_ is None and self.id is not None:
            try:
                schema_of(self.id)
            except SettingsError as error:
                raise ValueError(str(error)) from None
        return self

    @property
    def names(self) -> "Names":
        """The keys and names of its graph."""
        prefix = [self.id] if self.key_prefix is None and self.id else self.key_prefix or []
        # Dagster takes no - in the name of a group.
        return Names(prefix, self.group or (self.id and self.id.replace("-", "_")))

    @model_validator(mode="after")
    def _one_database(self) -> Self:
        if self.database is not None and self.database_resource is not None:
            raise ValueError("database and database_resource are one or the other.")
        return self

    @property
    def resources(self) -> set[str]:
        """Keys of other people's resources that it needs."""
        return {self.database_resource} if self.database_resource else set()

    def settings(
        self, this_run: Mapping[str, object] | None = None, resources: object = None
    ) -> Settings:
        """The settings of a load: of this run, then what is set here, then the environment's.

        `resources` are those of a run or a tick, of which it takes its own.

        Raises:
            SettingsError: a value can't be used.
        """
        fields: dict[str, object] = {name: getattr(self, name) for name in _VARIABLES}
        if self.schema_ is None and self.id is not None:
            fields["schema_"] = schema_of(self.id)
        fields |= {name: each for name, each in (this_run or {}).items() if each is not None}
        fields["database"] = self._database(resources)
        given = [name for name, each in fields.items() if each is not None]
        try:
            settings = Settings.from_environment(
                overrides={_VARIABLES[name]: fields[name] for name in given}
            )
        except SettingsError as error:
            raise SettingsError(_in_words_of(error, given)) from None
        return (
            settings.with_database_named_by(self._database_holder)
            if fields["database"]
            else settings
        )

    @property
    def _database_holder(self) -> str:
        """What to correct where another database is meant."""
        if self.database_resource is not None:
            return f"the resource {self.database_resource}"
        if isinstance(self.database, dg.EnvVar):
            return self.database.env_var_name
        return f"the `database` of {self.names.graph}"

    def _database(self, resources: object) -> str | None:
        if self.database_resource is not None:
            found = getattr(resources, self.database_resource)
            url = found if isinstance(found, str) else getattr(found, "url", None)
            if not isinstance(url, str) or not url.strip():
                raise SettingsError(
                    f"The database of {self.names.graph} is to be in the resource "
                    f"{self.database_resource}, which is no postgresql:// URL and has none as its "
                    "`url`."
                )
            return url
        if not isinstance(self.database, dg.EnvVar):
            return self.database
        url = self.database.get_value()
        if not url or not url.strip():
            raise SettingsError(
                f"The database of {self.names.graph} is to be in {self.database.env_var_name}, "
                "which holds nothing: set it where the run's process starts."
            )
        return url

    @property
    def partitions(self) -> dg.PartitionsDefinition | None:
        """What its assets are divided by; one ontology isn't."""
        return None

    def of(self, partition: str | None) -> "Ontology":
        """The ontology that a run loads."""
        del partition
        return self

    def when_to_look(self) -> Automation:
        """How its sensor and schedule begin; a wrong variable means the default."""
        of_environment = Automation.from_environment()
        return Automation(
            of_environment.is_on if self.automation is None else self.automation,
            self.release_confirm_s or of_environment.release_confirm_s,
        )


def _in_words_of(error: SettingsError, names: Iterable[str]) -> str:
    """The sentence of a wrong value, by the field that holds it and not by its variable."""
    sentence = str(error)
    for name in names:
        sentence = re.sub(rf"\b{_VARIABLES[name]}\b", name.rstrip("_"), sentence)
    return sentence


class Names:
    """The keys of a graph's assets, and names of all else that must be its own in a code location.

    Without a prefix, they are those of the default graph.
    """

    def __init__(self, prefix: Iterable[str], group: str | None) -> None:
        self._prefix = tuple(prefix)
        self._group = group
        self.graph = re.sub(r"\W", "_", "_".join(self._prefix)) or DEFAULT
        self.ols = self._key("ols_ontology")
        self.raw = self._key("raw_ols_pages")
        self.release = self._key("release" if self._prefix else f"{PREFIX}release")
        """The release that stands, named as the view of the ledger."""
        self.report = self.exported(f"{PREFIX}release_report")
        self.job = f"refresh_{self.graph}"
        self.sensor = f"{self.graph}_release_sensor"
        self.schedule = f"{self.graph}_weekly_schedule"
        self.exports_sensor = f"{self.graph}_exports_sensor"
        self.loader = f"{self.graph}_loader"
        """The resource; a pool of this name where none is given."""
        self.io_manager = f"{self.graph}_postgres_copy"
        """The IO manager of staged tables."""
        self.release_tag = f"{self.graph}/release"
        """On every run that the sensor requests: for which release it is."""

    def _key(self, *path: str) -> dg.AssetKey:
        return dg.AssetKey([*self._prefix, *path])

    def staged(self, table: Table) -> dg.AssetKey:
        """A staged table's; in a folder, since `terms` alone may be anybody's."""
        return self._key("staged" if self._prefix else f"{DEFAULT}_staged", table.staged_name)

    def published(self, table: Table) -> dg.AssetKey:
        """A published table's, named as in the schema of an ontology's own name."""
        return self._key(table.staged_name if self._prefix else table.name)

    def exported(self, name: str) -> dg.AssetKey:
        """An exported file's."""
        return self._key(name.removeprefix(PREFIX) if self._prefix else name)

    def step(self, name: str) -> str:
        """The step that makes assets; one name is one step in a code location."""
        return f"{self.graph}__{name}" if self._prefix else name

    def group(self, stage: str | None = None) -> str:
        """The group of the published assets, or of those of another stage."""
        group = self._group or self.graph
        if stage is None:
            return group
        return f"{group}_{stage}" if self._prefix or self._group else stage
