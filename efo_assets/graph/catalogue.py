"""All ontologies that an OLS lists, or those chosen: a partition for each, and what looks for news.

The assets are those of one ontology's graph. A run's partition is OLS's id, and which `Ontology` it
loads follows from that. An ontology that fails, fails in its own run.
"""

import asyncio
import hashlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from fnmatch import fnmatchcase
from typing import Any, NamedTuple, Self

import dagster as dg
import msgspec
from pydantic import Field, ValidationError, model_validator

from efo_assets.errors import EfoError, OlsUnreachable, SettingsError
from efo_assets.graph.descriptions import DATA_VERSION_TAG
from efo_assets.graph.due import OUTAGE_S, Tries
from efo_assets.graph.ols import ATTEMPTS
from efo_assets.graph.ontology import Ontology
from efo_assets.graph.resources import PARTITION
from efo_assets.graph.sensor import OUTAGES, UNDER_WAY, TickFailed, in_time, tries_of
from efo_assets.ols.release import Listed
from efo_assets.pipeline.budget import ols_client
from efo_assets.privacy.disclosure import no_secret_shown, shown
from efo_assets.privacy.logs import scrubbing
from efo_assets.settings import Settings
from efo_assets.warehouse.warehouse import Warehouse

EVERY_S = 600
LIST_LIMIT_S = 40.0
TICK_LIMIT_S = 50.0
"""Dagster ends an evaluation after 60 s without a word about the cause."""
NAMED = 20
"""Ontologies that a sentence names, at most."""
OF_ONE = ("id", "schema_")
"""Fields that each ontology has for itself."""


class Catalogue(Ontology):
    """The ontologies of an OLS and how each is loaded: the fields of an `Ontology`, but for its id.

    Each is published in the schema of its own name, its id with `_` for `-`.
    """

    key_prefix: list[str] | None = Field(default=["ols"], description="Before every asset key.")
    include: list[str] = Field(
        default=["*"], description="Patterns of ids, such as mondo or fb*; others are left out."
    )
    exclude: list[str] = Field(default=[], description="Patterns of ids that are left out.")
    min_classes: int = Field(
        default=0, ge=0, description="Smaller ones are left out, as OLS's list counts classes."
    )
    max_classes: int | None = Field(
        default=None, ge=0, description="Larger ones are left out, as OLS's list counts classes."
    )
    by_function: list[str] = Field(
        default=[],
        description="Patterns of ids whose ancestors a function gives, whatever `ancestors` says.",
    )
    runs_per_tick: int = Field(
        default=20, ge=1, description="Runs that the sensor has under way at once, at most."
    )

    @model_validator(mode="after")
    def _none_of_one(self) -> Self:
        if self.id is not None or self.schema_ is not None:
            raise ValueError("id and schema follow from the partition, one for each ontology.")
        return self

    @property
    def partitions(self) -> dg.DynamicPartitionsDefinition:
        """One for each ontology, by OLS's id."""
        return dg.DynamicPartitionsDefinition(name=f"{self.names.graph}_ontologies")

    def of(self, partition: str | None) -> Ontology:
        """The ontology of a partition.

        Raises:
            SettingsError: none is given, or one that can't be an ontology's id.
        """
        if partition is None:
            raise SettingsError(
                "A run of the catalogue loads one ontology: choose its partition, or start a "
                "backfill of several, which is a run for each."
            )
        fields = {name: getattr(self, name) for name in Ontology.model_fields if name not in OF_ONE}
        if any(fnmatchcase(partition, each) for each in self.by_function):
            fields["ancestors"] = "function"
        try:
            return Ontology(**fields, id=partition)
        except ValidationError as error:
            why = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise SettingsError(
                f"The partition {partition[:40]!r} can't be loaded: {why}"
            ) from None

    def wants(self, listed: Listed) -> bool:
        """Whether an ontology is among those chosen."""
        most = math.inf if self.max_classes is None else self.max_classes
        return (
            any(fnmatchcase(listed.ontology, each) for each in self.include)
            and not any(fnmatchcase(listed.ontology, each) for each in self.exclude)
            and self.min_classes <= listed.classes <= most
        )


class Seen(msgspec.Struct, frozen=True):
    """What the sensor remembers: releases by ontology with the moment each was seen first."""

    releases: dict[str, tuple[str, float]] = {}
    vanished: list[str] = []
    unanswered_since_s: float | None = None
    """Since when OLS has not listed anything; None while it does."""

    @classmethod
    def read(cls, cursor: str | None) -> "Seen":
        """Read a cursor; one that isn't of this form means nothing was seen."""
        try:
            return msgspec.json.decode(cursor or "", type=cls)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return cls()

    def written(self) -> str:
        """Inverse of `read`."""
        return msgspec.json.encode(self).decode()


class Due(NamedTuple):
    """An ontology with news, and the runs for it that have ended."""

    listed: Listed
    key: str
    tries: Tries


def catalogue_sensor(
    catalogue: Catalogue, *, clock: Callable[[], float] = time.time
) -> dg.SensorDefinition:
    """Make the sensor of a catalogue; `clock` gives seconds since the epoch."""
    names, partitions = catalogue.names, catalogue.partitions
    automation = catalogue.when_to_look()
    confirm_s = automation.release_confirm_s
    every_s = max(EVERY_S, confirm_s)

    @dg.sensor(
        name=names.sensor,
        job_name=names.job,
        required_resource_keys=catalogue.resources,
        minimum_interval_seconds=every_s,
        default_status=(
            dg.DefaultSensorStatus.RUNNING if automation.is_on else dg.DefaultSensorStatus.STOPPED
        ),
        description=(
            "Reads OLS's list, adds a partition for each ontology that is new, and requests a run "
            "for each whose release isn't the published one and was listed for at least "
            f"{confirm_s} s. One that fails is tried again with growing pauses."
        ),
    )
    def looks_for_news(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        now_s, log, instance = clock(), scrubbing(context.log), context.instance
        before = Seen.read(context.cursor)
        # Before the ledger: a run that ends between the two questions isn't taken for a failed one.
        under_way = _under_way(instance, names.job)
        try:
            with no_secret_shown(), ExitStack() as opened:
                settings = catalogue.settings(resources=context.resources)
                warehouse = opened.enter_context(Warehouse.opened(settings))
                standing, listed = in_time(
                    lambda: (
                        warehouse.standing_releases(),
                        asyncio.run(_listed(settings, warehouse)),
                    ),
                    TICK_LIMIT_S,
                )
                wanted = [each for each in listed if catalogue.wants(each)]
                schemas, unfit = _schemas(catalogue, wanted, standing, context)
                for ontology, sentence in unfit.items():
                    log.warning("%s", sentence)
                    warehouse.record_failure(ontology.replace("-", "_"), ontology, sentence)
        except EfoError as error:
            sentence = (
                f"{shown(error)} No run was requested, no partition changed; the sensor asks again "
                f"within {math.ceil(every_s / 60)} minutes."
            )
            since_s = min(before.unanswered_since_s or now_s, now_s)
            if isinstance(error, OUTAGES) and now_s - since_s < OUTAGE_S:
                outage = msgspec.structs.replace(before, unanswered_since_s=since_s)
                return dg.SensorResult(
                    skip_reason=f"{sentence} For {(now_s - since_s) / 60:.0f} minutes so far; it "
                    f"is an error after {OUTAGE_S / 60:.0f}.",
                    cursor=outage.written(),
                )
            raise TickFailed(sentence) from None
        if settings.limit is not None:
            sentence = (
                "Nothing is requested, since EFO_LIMIT, or `limit` of the catalogue, is set and "
                "its loads are no releases."
            )
            return dg.SensorResult(skip_reason=sentence)
        seen = _seen(before, listed, instance, partitions.name, now_s)
        due = []
        for each in listed:
            schema = schemas.get(each.ontology)
            facts = (each.ontology, each.version, each.version_iri)
            key, since_s = seen.releases[each.ontology]
            is_news = schema is not None and standing.get(schema) != facts
            if is_news and each.ontology not in under_way and now_s >= since_s + confirm_s:
                tries = tries_of(instance, names, key)
                if now_s >= tries.next_at_s:
                    due.append(Due(each, key, tries))
        # Whatever never was tried comes before what fails, and many small ones before a large one.
        due.sort(key=lambda each: (each.tries.count, each.listed.classes))
        requested = due[: max(0, catalogue.runs_per_tick - len(under_way))]
        known = set(instance.get_dynamic_partitions(str(partitions.name)))
        new = [each for each in schemas if each not in known]
        said = (
            f"OLS lists {len(listed):,} ontologies, {len(schemas):,} are chosen, {len(new):,} of "
            f"them new; {len(due):,} are to be loaded now, {len(under_way):,} are under way."
        )
        if seen.vanished:
            said += f" Not listed any more, and kept as they stand: {_named(seen.vanished)}."
            log.warning("%s", said)
        return dg.SensorResult(
            run_requests=[
                dg.RunRequest(
                    run_key=tries.run_key(key),
                    partition_key=each.ontology,
                    tags={names.release_tag: key},
                )
                for each, key, tries in requested
            ],
            skip_reason=None if requested else shown(said),
            dynamic_partitions_requests=[partitions.build_add_request(new)] if new else [],
            asset_events=[
                dg.AssetObservation(
                    names.ols,
                    partition=each.ontology,
                    metadata={"release": dg.MetadataValue.text(each.name)},
                    tags={DATA_VERSION_TAG: seen.releases[each.ontology][0]},
                )
                for each in listed
                if each.ontology in schemas
                and before.releases.get(each.ontology, ("",))[0] != seen.releases[each.ontology][0]
            ],
            cursor=seen.written(),
        )

    return looks_for_news


async def _listed(settings: Settings, warehouse: Warehouse) -> list[Listed]:
    asking = ols_client(settings, warehouse, max_in_flight=1, attempts=ATTEMPTS)
    try:
        async with asyncio.timeout(LIST_LIMIT_S), asking as client:
            return await client.ontologies()
    except TimeoutError:
        raise OlsUnreachable(
            f"OLS at {settings.ols_url} did not list its ontologies within {LIST_LIMIT_S:g} s."
        ) from None


def _under_way(instance: dg.DagsterInstance, job: str) -> set[str]:
    """Ontologies that are loaded now or wait for it, requested by the sensor or not."""
    runs = instance.get_runs(dg.RunsFilter(job_name=job, statuses=UNDER_WAY))
    return {run.tags[PARTITION] for run in runs if PARTITION in run.tags}


def _schemas(
    catalogue: Catalogue,
    wanted: Sequence[Listed],
    standing: Mapping[str, tuple[str | None, ...]],
    context: dg.SensorEvaluationContext,
) -> tuple[dict[str, str], dict[str, str]]:
    """Where each ontology goes, by its id, and a sentence for each that can't go anywhere."""
    schemas: dict[str, str] = {}
    unfit = {}
    ids = {each.ontology for each in wanted}
    held_by = {schema: facts[0] for schema, facts in standing.items() if facts[0] in ids}
    for each in wanted:
        try:
            settings = catalogue.of(each.ontology).settings(resources=context.resources)
        except SettingsError as error:
            unfit[each.ontology] = shown(error)
            continue
        # The one that stands, else the first that is listed.
        holder = held_by.setdefault(settings.schema, each.ontology)
        if holder != each.ontology:
            unfit[each.ontology] = (
                f"{each.ontology} is left out, since {holder} has the schema {settings.schema}, "
                "which stays as it is: exclude one of the two, and load it by a component of its "
                "own that names another `schema`."
            )
            continue
        schemas[each.ontology] = settings.schema
    return schemas, unfit


def _seen(
    before: Seen,
    listed: Sequence[Listed],
    instance: dg.DagsterInstance,
    partitions: str | None,
    now_s: float,
) -> Seen:
    """Add what is listed now; a release that wasn't the last one seen begins anew."""
    releases = {}
    for each in listed:
        key = _key_of(each)
        known, since_s = before.releases.get(each.ontology, ("", now_s))
        releases[each.ontology] = key, (min(since_s, now_s) if known == key else now_s)
    vanished = set(instance.get_dynamic_partitions(str(partitions))) - releases.keys()
    return Seen(releases, sorted(vanished))


def _key_of(listed: Listed) -> str:
    """A name for a release in the list, fit for a tag."""
    facts: Any = (listed.ontology, listed.version, listed.version_iri, listed.classes)
    digest = hashlib.sha256(msgspec.json.encode(facts)).hexdigest()
    return f"{listed.ontology[:40]}-{digest[:12]}"


def _named(ontologies: Sequence[str]) -> str:
    more = f" and {len(ontologies) - NAMED:,} more" if len(ontologies) > NAMED else ""
    return ", ".join(ontologies[:NAMED]) + more
