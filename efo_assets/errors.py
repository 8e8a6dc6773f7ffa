"""Every failure that we expect, as one sentence for the person who reads it.

    EfoError
    ├── SettingsError              an environment variable holds what it cannot
    ├── OlsError
    │   ├── OlsUnreachable         no connection, or none that answers in time
    │   ├── OlsRefused             OLS answered, and asking again would not help
    │   ├── UnknownOntology        OLS does not hold the ontology, or holds it empty
    │   ├── PageRejected           a page that never became acceptable, with its rows
    │   ├── RecordRejected         a class with a value that PostgreSQL can't hold as a key
    │   ├── IncompleteDownload     pages that do not make the whole that was announced
    │   └── ReleaseChanged         another release came up while we were downloading
    ├── NotDelivered               a receiver of alerts did not take a message
    ├── PageStoreError             the page store cannot be read, written or trusted
    ├── DbtError                   dbt is missing, or a model or test of its project failed
    ├── ExportFailed               files of the published release can't be written
    └── WarehouseError
        ├── DatabaseUnavailable    PostgreSQL is down or out of reach
        │   └── ConnectionLost     it was there, and the link broke under way
        ├── DatabaseRefused        a password, a privilege, a read-only server
        ├── DatabaseFull           no space left where PostgreSQL keeps its data
        ├── SchemaDrift            a table of ours whose columns someone changed
        ├── LoadInProgress         another process is loading into the same schema
        ├── NothingStaged          there is no staged load to audit or publish
        ├── AuditNotPassed         a blocking check failed, or was never run, for this load
        └── PublicationRefused     a partial, foreign or outdated load

A message says what is wrong and where, what was kept, and what to do next. It never holds a
credential. Failures that are not listed here are defects of ours and keep their traceback.
"""


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
    """A receiver of alerts did not take a message, or nobody knows whether it did."""


class PageStoreError(EfoError):
    """The page store cannot be read, written or trusted."""


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
    """PostgreSQL refuses us: a password, a privilege, a read-only server."""


class DatabaseFull(WarehouseError):
    """No space is left where PostgreSQL keeps its data."""


class SchemaDrift(WarehouseError):
    """A table of ours is not as its specification says."""


class LoadInProgress(WarehouseError):
    """Another process is loading into the same schema."""


class NothingStaged(WarehouseError):
    """There is no staged load to audit or to publish."""


class AuditNotPassed(WarehouseError):
    """A blocking check failed, or was never run, for this load and content."""


class PublicationRefused(WarehouseError):
    """The load may not replace what is published."""
