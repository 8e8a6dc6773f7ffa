"""Which release may follow the one that stands, by what OLS announces of it.

Asked before the first page is, so that no download is wasted, and by the publisher in its own
transaction, whose answer counts. What the rows themselves tell is the business of `audit`.
"""

import re

from efo_assets.errors import PublicationRefused
from efo_assets.warehouse.ledger import PublishedRelease, current_release
from efo_assets.warehouse.load import Source
from efo_assets.warehouse.schema import SAMPLE, Schema
from efo_assets.warehouse.session import Connection
from efo_assets.warehouse.statements import statement

SAMPLES = "http://example.org/sample/"
"""What version IRIs of the generated ontology begin with."""


def predecessor(
    connection: Connection, schema: Schema, source: Source, *, allow_older: bool
) -> PublishedRelease | None:
    """The release that stands in `schema`, which `source` may follow; None before the first.

    Generated sample data are followed by nothing: another ontology begins anew in their place.

    Raises:
        PublicationRefused: a part of an ontology would replace the whole, another ontology, or a
            release older than the one that stands, unless `allow_older`.
    """
    current = current_release(connection, schema)
    if current is None or (_is_sample(current) and current.ontology != source.ontology):
        return None
    if current.ontology != source.ontology:
        raise PublicationRefused(
            f"Schema {schema} holds {current.ontology}, and the load is {source.ontology}: nothing "
            "was published; load into another schema (EFO_SCHEMA, `schema` of a component)."
        )
    if source.limit is not None and not current.is_partial:
        raise PublicationRefused(
            f"The load holds the first {source.limit:,} classes only (EFO_LIMIT) and can't replace "
            f"the whole release in schema {schema}, which stays: unset EFO_LIMIT (`limit` of a "
            "graph or in the launchpad), or load into another schema (EFO_SCHEMA, `schema` of a "
            "component) for the quick look."
        )
    if not allow_older and _is_older(connection, schema, source, current):
        raise PublicationRefused(
            f"{source.name} is older than {current.name}, which is published in schema {schema} "
            "and stays: a server of OLS may be behind, or the run is from before; run again "
            "later, or set EFO_ALLOW_OLDER=1 to go back."
        )
    return current


def _is_sample(release: PublishedRelease) -> bool:
    return release.ontology == SAMPLE and (release.version_iri or "").startswith(SAMPLES)


def _is_older(
    connection: Connection, schema: Schema, source: Source, current: PublishedRelease
) -> bool:
    """Whether the source's release came before the newest of the ledger.

    Their versions tell where they are numbers of one form, such as 3.92.0 or 2026-01-15; else a
    release is older that the ledger has below the newest.
    """
    form, numbers = _form_and_numbers(source.version)
    current_form, current_numbers = _form_and_numbers(current.version)
    if form == current_form and numbers:
        return numbers < current_numbers
    identity = (source.version, source.version_iri)
    if identity in {(current.version, current.version_iri), (None, None)}:
        return False
    facts = {
        "target_schema": schema,
        "version": source.version,
        "version_iri": source.version_iri,
    }
    return connection.execute(statement("release_known"), facts).fetchone() is not None


def _form_and_numbers(version: str | None) -> tuple[str, list[int]]:
    text = version or ""
    return re.sub("[0-9]+", "0", text), [int(digits) for digits in re.findall("[0-9]+", text)]
