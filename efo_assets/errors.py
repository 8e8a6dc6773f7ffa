"""Every failure that we expect, as one sentence for the person who reads it.

    EfoError
    ├── SettingsError, NotDelivered, PageStoreError, WorkerEnded, DbtError, ExportFailed
    ├── OlsError
    │   ├── OlsUnreachable, OlsRefused, UnknownOntology
    │   └── PageRejected, RecordRejected, IncompleteDownload, ReleaseChanged
    └── WarehouseError
        ├── DatabaseUnavailable ── ConnectionLost
        ├── DatabaseRefused, DatabaseFull, SchemaDrift, LoadInProgress
        └── NothingStaged, AuditNotPassed, PublicationRefused

A message says what is wrong and where, what was kept, and what to do next. It never holds a
credential. A failure that is not listed here is a defect and keeps its traceback.
"""

LOAD_COMMAND = "dagster asset materialize -m efo_assets.definitions --select '*efo_terms'"
"""What a message advises where a whole load is the way out."""


class EfoError(Exception):
    """An expected failure whose text is meant to be read on its own."""


class SettingsError(EfoError):
    """An environment variable holds a value that it cannot take."""


class OlsError(EfoError):
    """The Ontology Lookup Service did not give what was asked."""


class OlsUnreachable(OlsError):
    """No connection to OLS, or none that answers in time."""


class OlsRefused(OlsError):
    """OLS answered in a way that asking again would not change."""


class UnknownOntology(OlsError):
    """OLS does not hold the ontology, or holds it empty."""


class PageRejected(OlsError):
    """One page never became acceptable; the message names its rows."""


class RecordRejected(OlsError):
    """A class holds a value that PostgreSQL cannot index; the message names the class."""


class IncompleteDownload(OlsError):
    """The accepted pages do not make the whole that OLS announced."""


class ReleaseChanged(OlsError):
    """OLS served more than one release during the download."""


class NotDelivered(EfoError):
    """A receiver of alerts did not take a message, or may not have taken it."""


class PageStoreError(EfoError):
    """The page store cannot be read, written or trusted."""


class WorkerEnded(EfoError):
    """A process that reads pages was killed."""


class DbtError(EfoError):
    """dbt is missing, can't read its project, or a model or test of it failed."""


class ExportFailed(EfoError):
    """Files of the published release can't be written."""


class WarehouseError(EfoError):
    """PostgreSQL, or what stands in it, does not allow the step."""


class DatabaseUnavailable(WarehouseError):
    """PostgreSQL is down or out of reach."""


class ConnectionLost(DatabaseUnavailable):
    """The connection broke while something was under way."""


class DatabaseRefused(WarehouseError):
    """PostgreSQL refuses a connection or a step: a password, a privilege, a read-only server."""


class DatabaseFull(WarehouseError):
    """No space is left where PostgreSQL keeps its data."""


class SchemaDrift(WarehouseError):
    """A table's columns are not as its specification says."""


class LoadInProgress(WarehouseError):
    """Another process is loading into the same schema."""


class NothingStaged(WarehouseError):
    """There is no staged load to audit or to publish."""


class AuditNotPassed(WarehouseError):
    """A blocking check failed, or was never run, for this load and content."""

    def __init__(self, sentence: str, checks: tuple[str, ...] = ()) -> None:
        super().__init__(sentence)
        self.checks = checks
        """Names of those that failed."""


class PublicationRefused(WarehouseError):
    """The load may not replace what is published."""
