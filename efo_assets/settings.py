"""Settings: the environment, read once, as one typed and validated object.

This module alone reads `os.environ`. Every setting has a default that works; a value that cannot
be used is one sentence that names the variable and what it takes.

No pydantic-settings: it takes no mapping for the environment, `5.0` and `+5` for whole numbers and
a blank for a value, its complaints of several lines would be reworded one by one, and every check
below would stay.
"""

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import quote, unquote

from dotenv import load_dotenv
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from yarl import URL

from efo_assets.errors import SettingsError

DEMO_DIR = Path(".efo/demo")
ENV_FILE = ".env"
EBI_OLS_URL = "https://www.ebi.ac.uk/ols4"
MAX_PAGE_SIZE = 1000
"""Rows. OLS serves no more in one page, and earlier generations cut it silently."""
MAX_MAX_IN_FLIGHT = 50
RELEASE_CONFIRM_S, MAX_RELEASE_CONFIRM_S = 300, 86_400
"""Each data release of OLS begins with a short outage: a release is believed when it stays."""
IDENTIFIER_LIMIT_BYTES = 63
"""PostgreSQL cuts longer identifiers without a word (NAMEDATALEN - 1)."""

SMTP = {"smtp": (25, "offered"), "smtp+starttls": (587, "starttls"), "smtps": (465, "tls")}
"""Scheme of EFO_ALERT_SMTP_URL to its default port and `SmtpTarget.security`."""

_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_{|}~-]+@[A-Za-z0-9][A-Za-z0-9.-]*")
_CREDENTIALS = re.compile(r"://([^/?#\s]*)@")
_MISREAD_URL = re.compile(r"postgres(ql)?://(?!([^@/]*@)?[^@]*$)")
"""libpq would take a part of its password for the host or the database, and say so."""
_PASSWORD_VARIABLES = ("EFO_PASSWORD", "DAGSTER_POSTGRES_PASSWORD", "PGPASSWORD")
_URL_VARIABLES = ("EFO_OLS_URL", "EFO_PROXY", "EFO_DATABASE_URL", "EFO_ALERT_SMTP_URL")
_PROXY_VARIABLES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")

_databases_given: set[str] = set()
"""URLs that came from elsewhere than EFO_DATABASE_URL, whose passwords are secrets, too."""

_NO_TEXT = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
"""Control characters, and what Python makes of bytes that are no UTF-8."""
_ONTOLOGY = re.compile(r"[a-z][a-z0-9_-]{0,30}")
_SCHEMA = re.compile(rf"[a-z_][a-z0-9_]{{0,{IDENTIFIER_LIMIT_BYTES - 1}}}")
_RESERVED_SCHEMA = re.compile(r"(efo_meta|efo_load_|pg_|information_schema).*|(.*_)?semsql")
"""The ledger's, those of loads, PostgreSQL's, and those of SemSQL's views, which people drop."""
_NOT_BY_AN_ID = ("public", "ols")
"""Schemas that EFO_SCHEMA may name, and that no ontology gets for its id: everybody's, and that of
the views over all ontologies."""
_LOGIN = "a user or a password"
_PARTS = {"user": _LOGIN, "password": _LOGIN, "query_string": "a ?", "fragment": "a #"}


def schema_of(ontology: str) -> str:
    """The schema that an ontology is published in where none is given.

    Raises:
        SettingsError: the schema of its name is kept for something else.
    """
    schema = ontology.lower().replace("-", "_")
    if schema in _NOT_BY_AN_ID or _RESERVED_SCHEMA.fullmatch(schema):
        raise SettingsError(
            f"The ontology {ontology} gets no schema of its name, since {schema} is kept for what "
            "is of PostgreSQL, of efo_assets or of everybody: nothing was changed; exclude it from "
            "a catalogue, and load it by a component of its own that names another `schema`."
        )
    return schema


@dataclass(frozen=True, slots=True, repr=False)
class DatabaseTarget:
    """Where PostgreSQL is, as libpq keywords; its text never shows the password."""

    parameters: Mapping[str, str]
    named_by: str | None = "EFO_DATABASE_URL"
    """What to correct where it's another that is meant; None for the embedded server."""

    @property
    def place(self) -> str:
        """`host:port/dbname`, for messages."""
        keywords = self.parameters
        host = keywords.get("host") or keywords.get("hostaddr") or "localhost"
        return f"{host}:{keywords.get('port', '5432')}/{self.dbname}"

    @property
    def dbname(self) -> str:
        """The database's name."""
        return self.parameters.get("dbname", self.parameters.get("user", ""))

    @property
    def uri(self) -> str:
        """`postgresql://host:port/dbname`, without user and password."""
        host, port = self.parameters.get("host", ""), self.parameters.get("port", "5432")
        if host.startswith("/"):  # the folder of a socket
            return f"postgresql:///{quote(self.dbname)}?host={quote(host)}&port={port}"
        return f"postgresql://{self.place}"

    def __repr__(self) -> str:
        return f"DatabaseTarget({self.place})"


@dataclass(frozen=True, slots=True)
class SmtpTarget:
    """A mail server; its text never shows the password."""

    host: str
    port: int
    security: str
    """`tls` from the first byte, `starttls` or nothing, or `offered`: STARTTLS if it is offered."""
    user: str | None = None
    password: str | None = field(default=None, repr=False)


class _Variables(dict[str, str]):
    """The variables that hold something, by name; each is read with the check of its kind."""

    def __init__(self, environment: Mapping[str, str] | None) -> None:
        environment = os.environ if environment is None else environment
        super().__init__({name: each.strip() for name, each in environment.items() if each.strip()})

    def whole(self, name: str, default: int, most: int | None = None) -> int:
        """A whole number from 1 to `most`."""
        if name not in self:
            return default
        text = self[name]
        value = int(text) if re.fullmatch(r"[0-9]{1,9}", text) else 0
        if value < 1 or (most is not None and value > most):
            bound = "of at least 1" if most is None else f"from 1 to {most}"
            raise SettingsError(f"{name} takes a whole number {bound}; it holds {text[:40]!r}.")
        return value

    def release_confirm_s(self) -> int:
        return self.whole("EFO_RELEASE_CONFIRM_S", RELEASE_CONFIRM_S, MAX_RELEASE_CONFIRM_S)

    def switch(self, name: str) -> bool:
        """Whether something is switched on; off without a value."""
        text = self.get(name, "0").lower()
        if text not in ("1", "true", "yes", "on", "0", "false", "no", "off"):
            raise SettingsError(f"{name} takes 1 or 0; it holds {text[:40]!r}.")
        return text in ("1", "true", "yes", "on")

    def ontology(self) -> str:
        text = self.get("EFO_ONTOLOGY", "efo").lower()  # OLS's ids have no capitals
        if not _ONTOLOGY.fullmatch(text):
            raise SettingsError(
                f"EFO_ONTOLOGY takes an OLS ontology id that matches {_ONTOLOGY.pattern}, "
                f"such as efo; it holds {text[:40]!r}."
            )
        return text

    def ancestors(self) -> str:
        text = self.get("EFO_ANCESTORS", "table").lower()
        if text not in ("table", "function"):
            raise SettingsError(f"EFO_ANCESTORS takes table or function; it holds {text[:40]!r}.")
        return text

    def schema(self, name: str, default: str) -> str:
        """A schema of PostgreSQL that is free to be used."""
        text = self.get(name, default)
        if not _SCHEMA.fullmatch(text) or _RESERVED_SCHEMA.fullmatch(text):
            raise SettingsError(
                f"{name} takes a schema name of up to {IDENTIFIER_LIMIT_BYTES} lower-case letters, "
                f"digits and _, not one of ours or PostgreSQL's own; it holds {text[:40]!r}."
            )
        return text

    def folder(self, name: str, default: Path) -> Path:
        text = self.get(name, str(default))
        try:
            folder = Path(text).expanduser().absolute()
        except RuntimeError:
            raise SettingsError(f"{name} takes a folder; nobody's home is {text[:40]!r}.") from None
        if _NO_TEXT.search(str(folder)):
            raise SettingsError(
                f"{name} takes a folder whose path is UTF-8 without control characters; it is "
                f"{str(folder)[-80:]!r}."
            )
        return folder

    def url(
        self, name: str, what: str, *never: str, schemes: tuple[str, ...] = ("http", "https")
    ) -> URL | None:
        """A URL that lacks the parts in `never`; the sentence shows nothing of it."""
        if name not in self:
            return None
        takes = f"{name} takes {what}"
        try:
            url = URL(self[name])
        except ValueError:
            raise SettingsError(f"{takes}; what it holds is no URL.") from None
        if url.scheme not in schemes or not url.host:
            begins = " or ".join(f"{scheme}://" for scheme in schemes)
            raise SettingsError(f"{takes}; it does not begin with {begins} and a host.")
        for part in never:
            if getattr(url, part):
                raise SettingsError(f"{takes}; it must not hold {_PARTS[part]}.")
        return url

    def proxy(self) -> str | None:
        takes = "the http(s) address of a proxy, such as http://user:password@host:3128"
        url = self.url("EFO_PROXY", takes, "query_string", "fragment")
        if url is not None and url.raw_path not in ("", "/"):
            raise SettingsError(f"EFO_PROXY takes {takes}; it must not hold a path.")
        if url is not None and ":" in (url.user or ""):  # HTTP's login ends the user there
            raise SettingsError(f"EFO_PROXY takes {takes}; the user must not hold a colon.")
        return str(url) if url else None

    def database(self) -> DatabaseTarget | None:
        text = self.get("EFO_DATABASE_URL")
        if text is None:
            return None
        takes = "EFO_DATABASE_URL takes postgresql://user:password@host:port/database"
        if _MISREAD_URL.match(text):
            raise SettingsError(f"{takes}; in user and password, a @ is written %40 and a / %2F.")
        try:
            keywords = conninfo_to_dict(text)
        except ProgrammingError:
            raise SettingsError(f"{takes}; what it holds can't be read as one.") from None
        if not keywords:
            raise SettingsError(f"{takes}; it names nothing to connect to.")
        if not re.fullmatch(r"[0-9,]*", str(keywords.get("port") or "")):
            raise SettingsError(f"{takes}; the port is no number.")
        return DatabaseTarget(
            {key: str(each) for key, each in keywords.items() if each is not None}
        )

    def smtp(self) -> SmtpTarget | None:
        takes = "smtp://, smtp+starttls:// or smtps://user:password@host:port"
        url = self.url("EFO_ALERT_SMTP_URL", takes, "query_string", "fragment", schemes=tuple(SMTP))
        if url is None:
            return None
        if url.raw_path not in ("", "/"):
            raise SettingsError(f"EFO_ALERT_SMTP_URL takes {takes}; it must not hold a path.")
        if (url.user is None) != (url.password is None):
            raise SettingsError(f"EFO_ALERT_SMTP_URL takes {takes}; user and password go together.")
        port, security = SMTP[url.scheme]
        return SmtpTarget(str(url.host), url.port or port, security, url.user, url.password)

    def addresses(self, name: str, *, is_needed: bool) -> tuple[str, ...]:
        """E-mail addresses, of use with a mail server alone."""
        addresses = tuple(each.strip() for each in self.get(name, "").split(",") if each.strip())
        takes = f"{name} takes e-mail addresses such as efo@example.org, separated by commas"
        for each in addresses:
            if not _ADDRESS.fullmatch(each):
                raise SettingsError(f"{takes}; one of them is {each[:40]!r}.")
        if is_needed != bool(addresses):
            trouble = "needed with" if is_needed else "of no use without"
            raise SettingsError(f"{takes}; it is {trouble} EFO_ALERT_SMTP_URL.")
        return addresses


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of a load, valid when they come from `from_environment`."""

    ols_url: str = EBI_OLS_URL
    """Base of the OLS4 service, without `/api`."""
    ontology: str = "efo"
    page_size: int = 500
    """Rows asked for in one page."""
    max_in_flight: int = 16
    """Requests under way at once, at most."""
    ols_budget: int = 16
    """Requests under way at once over all runs that share the database, at most."""
    limit: int | None = None
    """Only the first classes of the list; such a load is partial."""
    database: DatabaseTarget | None = None
    """None: the embedded PostgreSQL in `data_dir`."""
    schema: str = "public"
    """Where the published tables are."""
    data_dir: Path = Path(".efo")
    allow_shrink: bool = False
    """Publish although the load is much smaller than what is published."""
    automation: bool = False
    """Look for new releases and load them unasked: the sensor and the schedule are on."""
    release_confirm_s: int = RELEASE_CONFIRM_S
    """A release is loaded unasked once OLS was seen serving it for so many seconds."""
    dbt_schema: str = "efo_dbt"
    """Where dbt's models are, for those who have the extra `dbt`."""
    allow_older: bool = False
    """Publish a release although one that came after it is published."""
    proxy: str | None = field(default=None, repr=False)
    """Where requests to OLS go through; its URL may hold a password."""
    ancestors: str = "table"
    """How ancestors are given: by a table, or by a function."""
    semsql: bool = False
    """Whether a publication makes the views of SemSQL."""

    def with_database_named_by(self, what: str) -> "Settings":
        """The same, where a sentence says that this is to be corrected, not EFO_DATABASE_URL."""
        if self.database is None:
            return self
        return replace(self, database=replace(self.database, named_by=what))

    @classmethod
    def from_environment(
        cls,
        environment: Mapping[str, str] | None = None,
        overrides: Mapping[str, object] | None = None,
    ) -> "Settings":
        """Read `EFO_*` from `environment` (default: `os.environ`), `overrides` before it.

        An empty value counts as unset, and so does None in `overrides`.

        Raises:
            SettingsError: a value cannot be used; the message names the variable.
        """
        set_here = {k: str(each) for k, each in (overrides or {}).items() if each is not None}
        if "EFO_DATABASE_URL" in set_here:
            _databases_given.add(set_here["EFO_DATABASE_URL"])
        variables = _Variables({**(os.environ if environment is None else environment), **set_here})
        takes = f"the http(s) address of an OLS4 service, such as {EBI_OLS_URL}"
        ols_url = variables.url("EFO_OLS_URL", takes, *_PARTS) or EBI_OLS_URL
        defaults = cls()
        return cls(
            ols_url=str(ols_url).rstrip("/").removesuffix("/api"),
            ontology=variables.ontology(),
            page_size=variables.whole("EFO_PAGE_SIZE", defaults.page_size, MAX_PAGE_SIZE),
            max_in_flight=variables.whole(
                "EFO_MAX_IN_FLIGHT", defaults.max_in_flight, MAX_MAX_IN_FLIGHT
            ),
            ols_budget=variables.whole("EFO_OLS_BUDGET", defaults.ols_budget, MAX_MAX_IN_FLIGHT),
            limit=variables.whole("EFO_LIMIT", 0) or None,
            database=variables.database(),
            schema=variables.schema("EFO_SCHEMA", defaults.schema),
            data_dir=variables.folder("EFO_DATA_DIR", defaults.data_dir),
            allow_shrink=variables.switch("EFO_ALLOW_SHRINK"),
            automation=variables.switch("EFO_AUTOMATION"),
            release_confirm_s=variables.release_confirm_s(),
            dbt_schema=variables.schema("EFO_DBT_SCHEMA", defaults.dbt_schema),
            allow_older=variables.switch("EFO_ALLOW_OLDER"),
            proxy=variables.proxy(),
            ancestors=variables.ancestors(),
            semsql=variables.switch("EFO_SEMSQL"),
        )


@dataclass(frozen=True, slots=True)
class AlertSettings:
    """The receivers of alerts; each is off until it is configured."""

    webhook_url: str | None = field(default=None, repr=False)
    """Takes Slack's JSON. Its address is all that it takes to post, so it is a secret."""
    smtp: SmtpTarget | None = None
    email_from: str = ""
    email_to: tuple[str, ...] = ()
    sentry_dsn: str | None = field(default=None, repr=False)
    ui_url: str | None = None
    """Where people open Dagster's UI, for links to runs."""
    ontology: str = "efo"
    """As configured for the loads, unchecked: it is only shown."""
    releases: bool = False
    """Whether the receivers are told of a new release, too."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "AlertSettings":
        """Read the variables of the alerts alone: a wrong one elsewhere must not silence them.

        Raises:
            SettingsError: a value cannot be used; the message names the variable, never a secret.
        """
        variables = _Variables(environment)
        takes = "the http(s) address of a webhook that takes Slack's JSON"
        variables.url("EFO_ALERT_WEBHOOK_URL", takes, "user", "password", "fragment")
        takes = "the http(s) address of Dagster's UI, such as http://127.0.0.1:3000"
        ui_url = variables.url("EFO_UI_URL", takes, *_PARTS)
        takes = "the DSN of a Sentry project, https://key@host/number"
        dsn = variables.url("SENTRY_DSN", takes, "query_string", "fragment")
        if dsn is not None and not (dsn.user and dsn.name.isdigit()):
            raise SettingsError(f"SENTRY_DSN takes {takes}; what it holds is none.")
        smtp = variables.smtp()
        senders = variables.addresses("EFO_ALERT_EMAIL_FROM", is_needed=smtp is not None)
        if len(senders) > 1:
            raise SettingsError("EFO_ALERT_EMAIL_FROM takes one e-mail address; it holds several.")
        return cls(
            webhook_url=variables.get("EFO_ALERT_WEBHOOK_URL"),
            smtp=smtp,
            email_from="".join(senders),
            email_to=variables.addresses("EFO_ALERT_EMAIL_TO", is_needed=smtp is not None),
            sentry_dsn=variables.get("SENTRY_DSN"),
            ui_url=str(ui_url).rstrip("/") if ui_url else None,
            ontology=variables.get("EFO_ONTOLOGY", cls().ontology).lower(),
            releases=variables.switch("EFO_ALERT_RELEASES"),
        )


@dataclass(frozen=True, slots=True)
class Automation:
    """The settings of the sensor and the schedule, read when a code location loads."""

    is_on: bool
    release_confirm_s: int
    ontology: str = "efo"

    @classmethod
    def from_environment(cls) -> "Automation":
        """Read `os.environ`; a wrong value means the default, since a code location must load.

        It is one sentence as soon as a run begins.
        """
        variables = _Variables(None)
        is_on, confirm_s, ontology = False, RELEASE_CONFIRM_S, Settings().ontology
        with suppress(SettingsError):
            is_on = variables.switch("EFO_AUTOMATION")
        with suppress(SettingsError):
            confirm_s = variables.release_confirm_s()
        with suppress(SettingsError):
            ontology = variables.ontology()
        return cls(is_on, confirm_s, ontology)


def configured_secrets(environment: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Every secret of the environment and of databases named elsewhere; read without complaint.

    Passwords as they are and as they stand in a URL, the key of the DSN, the path of the webhook.
    """
    variables = os.environ if environment is None else environment
    secrets = [variables.get(name, "") for name in _PASSWORD_VARIABLES]
    for name in _URL_VARIABLES:
        for credentials in _CREDENTIALS.findall(variables.get(name, "")):
            password = credentials.partition(":")[2]
            secrets += [password, unquote(password)]
    secrets += _CREDENTIALS.findall(variables.get("SENTRY_DSN", ""))
    for database_url in (variables.get("EFO_DATABASE_URL", ""), *_databases_given):
        try:
            keywords = conninfo_to_dict(database_url)
            # The second opens the key of a client certificate.
            secrets += [str(keywords.get(key) or "") for key in ("password", "sslpassword")]
        except ProgrammingError:
            # It can't be read, and any part of it may be the password.
            secrets.append(database_url)
    webhook = variables.get("EFO_ALERT_WEBHOOK_URL", "").strip()
    secrets += [webhook, webhook.partition("://")[2].partition("/")[2]]
    return tuple(dict.fromkeys(each for each in secrets if each))


def unused_proxy_variable() -> str | None:
    """Name a variable that tells other programs of a proxy, and that nothing here reads."""
    names = (spelled for name in _PROXY_VARIABLES for spelled in (name, name.lower()))
    return next((name for name in names if os.environ.get(name, "").strip()), None)


def dagster_home() -> Path | None:
    """The folder of Dagster's instance, as Dagster itself takes it; None where it isn't set."""
    text = os.environ.get("DAGSTER_HOME", "").strip()
    return Path(text).expanduser().absolute() if text else None


def set_environment(*, is_demo: bool) -> None:
    """Put what `.env` in the working directory holds before what is exported, as Dagster does.

    For the demo, its own settings stand in place of all others.

    Raises:
        SettingsError: the file can't be read.
    """
    if is_demo:
        ours = [name for name in os.environ if name.startswith("EFO_")]
        for name in ours:
            del os.environ[name]
        os.environ |= {"EFO_DATA_DIR": str(DEMO_DIR), "EFO_ONTOLOGY": "sample"}
        return
    try:
        load_dotenv(ENV_FILE, override=True)
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"{Path(ENV_FILE).absolute()}, which Dagster reads, too, can't be read ({error}): mend "
            "it, or run elsewhere."
        ) from error


def child_environment(changes: Mapping[str, str]) -> dict[str, str]:
    """The environment of this process with `changes`, for a process to start."""
    return {**os.environ, **changes}
